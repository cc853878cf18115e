"""What always holds of requests, whatever happened before."""

from collections import Counter

from hypothesis.stateful import invariant
from sqlalchemy import select

from app.extensions import db
from app.models import AuditEvent, Bundle, Connection, ConnectionRequest, Health, OutboxItem, Recipient, Slot, Status
from tests.services.status_model import LIVE, OPEN
from tests.services.status_scene import Scene
from tests.support.browsing import Browser


class Truths(Scene):
    """What is stored is what the model says."""

    @invariant()
    def all_is_as_expected(self) -> None:
        db.session.rollback()
        self.note_links()
        self.requests_stand_where_they_should()
        self.slots_hold_what_was_connected()
        self.each_recipient_has_one_open_bundle_and_one_link()
        self.bundles_are_closed_exactly_when_settled()
        self.each_epoch_has_its_one_mail()
        self.every_act_is_in_the_audit_trail()

    def requests_stand_where_they_should(self) -> None:
        it = ConnectionRequest
        stored = {
            row[0]: row[1:]
            for row in db.session.execute(
                select(it.public_id, it.status, it.resends, it.recipient, it.hand_over_to, it.handed_over_at)
            )
        }
        assert {name: (*row[:-1], row[-1] is not None) for name, row in stored.items()} == {
            each.id: (each.status, each.resends, each.recipient, each.named, each.was_handed_over)
            for each in self.model.requests
        }
        live = Counter(each.slot for each in self.model.requests if each.status in LIVE)
        assert max(live.values(), default=0) <= 1

    def slots_hold_what_was_connected(self) -> None:
        works = Connection.health == Health.ACTIVE
        held = select(Slot.id, Connection.id).join(Connection, Connection.id == Slot.connection_id).where(works)
        expected = {self.slots[slot].id: connection for slot, connection in self.model.filled.items()}
        assert {row[0]: row[1] for row in db.session.execute(held)} == expected

    def each_recipient_has_one_open_bundle_and_one_link(self) -> None:
        every = db.session.scalars(select(Bundle)).all()
        whose = {bundle.id: (self.workspace_numbers[bundle.workspace_id], bundle.recipient) for bundle in every}
        open_ = [bundle for bundle in every if bundle.closed_at is None]
        assert len(open_) == len({whose[bundle.id] for bundle in open_})
        working = {whose[each.id]: each.expires_at for each in open_ if not each.is_expired(self.now)}
        assert working == self.model.alive(self.now)

    def bundles_are_closed_exactly_when_settled(self) -> None:
        rows = db.session.execute(
            select(Bundle.id, Bundle.closed_at, Bundle.expires_at, ConnectionRequest.status).outerjoin(
                ConnectionRequest, ConnectionRequest.bundle_id == Bundle.id
            )
        ).all()
        for bundle_id in {row.id for row in rows}:
            mine = [row for row in rows if row.id == bundle_id]
            unsettled, closed_at = {row.status for row in mine} & set(OPEN), mine[0].closed_at
            lapsed = closed_at is not None and mine[0].expires_at <= closed_at and unsettled == {Status.DECLINED}
            assert (closed_at is None) is bool(unsettled) or lapsed

    def each_epoch_has_its_one_mail(self) -> None:
        kept = db.session.scalars(select(OutboxItem.key).where(OutboxItem.kind == "bundle.sent")).all()
        assert sorted(kept) == sorted(self.tokens)
        assert len(kept) == self.model.mails
        rows = db.session.execute(select(Recipient.workspace_id, Recipient.email, Recipient.mailed_at))
        assert {(self.workspace_numbers[row[0]], row[1]): row[2] for row in rows} == self.model.mailed

    def every_act_is_in_the_audit_trail(self) -> None:
        written = Counter(db.session.scalars(select(AuditEvent.type)).all())
        assert {name: written[name] for name in self.model.acts} == dict(self.model.acts)
        assert [each.version for each in self.workflows] == [self.model.versions[number] for number in range(3)]

    def of_every_link_ever_minted_one_works(self) -> None:
        """At the end each is opened for good: of all that a recipient ever had in a workspace, one does at most."""
        found = [bundle for token in self.tokens.values() if (bundle := Browser().open(token).bundle)]
        opened = [(self.workspace_numbers[bundle.workspace_id], bundle.recipient) for bundle in found]
        assert sorted(opened) == sorted(self.model.alive(self.now))

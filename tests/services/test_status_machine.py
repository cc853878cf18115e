"""The table of statuses under every order of events: what may happen happens, what may not changes nothing."""

import itertools
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import hypothesis.strategies as st
import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import func, select

from app.database import transaction
from app.errors import DomainError
from app.extensions import db
from app.models import AuditEvent, Bundle, Connection, ConnectionRequest, Health, OutboxItem, Recipient, Slot, Status
from app.services import connection_requests, fulfilment, handovers, intake, link_tokens, members, sending, workflows
from app.services.audit import SYSTEM
from app.tenancy import enter_tenant
from tests import factories
from tests.services.status_model import FLOW_LIFE, LIVE, OPEN, Flow, Model, Request
from tests.support import browsing, shared_app
from tests.support.browsing import Browser, StubbedProvider
from tests.support.clock import Clock
from tests.support.rows import rows_of

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures
stub = browsing.stub

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
PEOPLE = ("priya@harbordental.example", "dana@harbordental.example", "it@cobalt-it.example")
SLACK, HUBSPOT = ("slack", "send_channel_message"), ("hubspot", "create_contact")
LATER = (
    60,
    301,
    301,
    301,
    301,
    901,
    4 * 3600 + 1,
    7 * 86400 + 1,
)  # past the wait, a flow, the portal's time and the link's
numbers = itertools.count(1)
a_number, somebody = st.integers(0, 999), st.sampled_from(PEOPLE)
Act = Callable[["Requests", int, str], None]


class Requests(RuleBasedStateMachine):
    """One agency with two workspaces, three workflows with four slots, and three people who are asked."""

    def __init__(self, app: Flask, clock: Clock, provider: StubbedProvider) -> None:
        super().__init__()
        self.clock, self.provider, self.model = clock, provider, Model()
        self.flows: list[Flow] = []
        self.tokens: dict[str, str] = {}  # by bundle and epoch
        clock.to(START)
        self.context = app.app_context()
        self.context.push()
        self.agency = factories.make_agency(f"Machine {next(numbers)}")
        enter_tenant(self.agency.id)
        self.by = factories.make_staff(self.agency)
        self.workspaces = [factories.make_workspace(self.agency, name) for name in ("Harbor Dental", "Cobalt")]
        first, second = self.workspaces
        self.workflows = [
            factories.make_workflow(first, self.by, SLACK, HUBSPOT),
            factories.make_workflow(first, self.by, SLACK, name="Recall reminders"),
            factories.make_workflow(second, self.by, SLACK),
        ]
        self.slots = [slot for workflow in self.workflows for slot in workflow.slots]
        self.workspace_numbers = {each.id: number for number, each in enumerate(self.workspaces)}
        self.workflow_numbers = {each.id: number for number, each in enumerate(self.workflows)}
        self.browser = Browser()

    def teardown(self) -> None:
        try:
            self.of_every_link_ever_minted_one_works()
        finally:
            db.session.remove()
            self.context.pop()

    @property
    def now(self) -> datetime:
        return self.clock.now

    def attempt(self, act: Callable[[], Any], *, legal: bool) -> Any:
        """Do it if it is legal; else see it refused, with nothing changed."""
        if legal:
            return act()
        before = rows_of(self.agency)
        with pytest.raises(DomainError, match=r"\w+"):
            act()
        assert rows_of(self.agency) == before
        return None

    def row(self, it: Request) -> ConnectionRequest:
        return connection_requests.get(self.agency, it.id)

    def note(self, made: ConnectionRequest) -> None:
        slot = next(number for number, each in enumerate(self.slots) if each.id == made.slot_id)
        places = self.workflow_numbers[made.workflow_id], self.workspace_numbers[made.workspace_id]
        self.model.add(Request(made.public_id, slot, *places, made.recipient))

    def note_links(self) -> None:
        for bundle in db.session.scalars(select(Bundle)):
            self.tokens.setdefault(f"{bundle.public_id}:{bundle.epoch}", link_tokens.of(bundle))

    # ── What staff do ───────────────────────────────────────────────────────

    @initialize(people=st.tuples(*[st.sampled_from(PEOPLE)] * 4), sent=st.sets(st.integers(0, 2), min_size=2))
    def ask(self, people: tuple[str, ...], sent: set[int]) -> None:
        """Begin where most of the table lies: everything asked, most of it sent."""
        for slot, person in enumerate(people):
            self.queue(slot, person)
        for workflow in sent:
            self.dispatch(workflow, publish=False)
            self.note_links()

    def queue(self, slot: int, person: str) -> None:
        slot %= 4
        row, legal = self.slots[slot], self.model.may_queue(slot)
        if made := self.attempt(lambda: factories.make_request(row, self.by, recipient=person), legal=legal):
            self.note(made)

    def send(self, number: int, _person: str) -> None:
        self.dispatch(number % 3, publish=False)

    def publish(self, number: int, _person: str) -> None:
        self.dispatch(number % 3, publish=True)

    def dispatch(self, workflow: int, *, publish: bool) -> None:
        row, queued = self.workflows[workflow], self.model.queued(workflow)
        mine = [number for number, slot in enumerate(self.slots) if slot.workflow_id == row.id]
        act = workflows.publish if publish else sending.send
        sent = self.attempt(lambda: act(row, by=self.by), legal=not publish or self.model.may_publish(mine))
        if sent:
            assert (sent.recipients, sent.requests) == (len({each.recipient for each in queued}), len(queued))
            self.model.dispatch(queued, self.now)
            self.model.versions[workflow] += publish
            self.model.did("workflow.published", publish)

    def resend(self, number: int, _person: str) -> None:
        it = self.model.pick(number, *OPEN)
        legal = self.model.may_resend(it, self.now)
        if self.attempt(lambda: sending.resend(self.agency, it.id, by=self.by), legal=legal):
            self.model.resend(it, self.now)

    def cancel(self, number: int, _person: str) -> None:
        it = self.model.pick(number, *LIVE, Status.DECLINED)
        legal = self.model.may_cancel(it)
        if self.attempt(lambda: connection_requests.cancel(self.agency, it.id, by=self.by), legal=legal):
            self.model.cancel(it)

    def move(self, number: int, person: str) -> None:
        it = self.model.pick(number, *LIVE)
        legal = self.model.may_move(it, person)
        change = lambda: sending.change_recipient(self.agency, it.id, recipient=person, by=self.by)  # noqa: E731
        if self.attempt(change, legal=legal):
            self.model.move(it, person, self.now)

    def request_again(self, number: int, _person: str) -> None:
        it = self.model.pick(number, Status.CANCELLED, Status.REVOKED)
        legal = self.model.may_ask_again(it)
        if made := self.attempt(lambda: connection_requests.request_again(self.agency, it.id, by=self.by), legal=legal):
            assert (made.public_id != it.id, made.recipient, made.resends) == (True, it.recipient, 0)
            self.note(made)

    def change_membership(self, number: int, person: str) -> None:
        workspace = number % 2
        row, known = self.workspaces[workspace], self.model.members.pop((workspace, person), None)
        if known:
            members.remove(row, known, by=self.by)
        else:
            added = members.add(row, name="Somebody", email=person, by=self.by)
            self.model.members[workspace, person] = added.public_id

    def revoke(self, number: int, _person: str) -> None:
        if not (held := sorted(set(self.model.filled.values()))):
            return
        connection = db.session.get_one(Connection, held[number % len(held)])
        with transaction():
            connection.health, connection.revoked_at = Health.REVOKED, self.now
            fulfilment.revoke_for(connection, by=SYSTEM, at=self.now)
        self.model.revoke(connection.id)

    # ── What clients do ─────────────────────────────────────────────────────

    def decline(self, number: int, _person: str) -> None:
        it = self.model.pick(number, Status.PENDING)
        if it.status is Status.DECLINED:  # once more is no error, and changes nothing
            before = rows_of(self.agency)
            connection_requests.decline(self.row(it), reason="again")
            assert rows_of(self.agency) == before
            return
        legal = it.status is Status.PENDING
        self.attempt(lambda: connection_requests.decline(self.row(it), reason="Not ours."), legal=legal)
        if legal:
            self.model.decline(it)

    def name_colleague(self, number: int, person: str) -> None:
        it = self.model.pick(number, *OPEN)
        bundle = self.row(it).bundle
        if bundle is None:
            return
        legal = bundle.closed_at is None and self.model.may_hand_over(it, person, self.now)
        if self.attempt(lambda: handovers.ask(bundle, it.id, person), legal=legal):
            self.model.name(it, person, self.now)

    def take_back(self, number: int, _person: str) -> None:
        it = self.pick_named(number)
        bundle = self.row(it).bundle
        if bundle is None:
            return
        legal = it.named is not None and bundle.closed_at is None and it.whose in self.model.alive(self.now)
        self.attempt(lambda: handovers.take_back(bundle, it.id), legal=legal)
        if legal:
            self.model.end_wait(it, "request.hand_over_taken_back")

    def approve_hand_over(self, number: int, person: str) -> None:
        it = self.pick_named(number)
        to = it.named or person
        legal = self.model.may_approve(it)
        if self.attempt(lambda: handovers.approve(self.agency, it.id, to=to, by=self.by), legal=legal):
            self.model.hand_over(it, to, self.now)

    def refuse_hand_over(self, number: int, person: str) -> None:
        it = self.pick_named(number)
        to, legal = it.named or person, it.named is not None
        if self.attempt(lambda: handovers.refuse(self.agency, it.id, to=to, by=self.by), legal=legal):
            self.model.end_wait(it, "request.hand_over_refused")

    def pick_named(self, number: int) -> Request:
        """A request for which somebody else is named, if there is any."""
        named = [each for each in self.model.requests if each.named]
        return named[number % len(named)] if named else self.model.pick(number, *OPEN)

    def connect(self, number: int, _person: str) -> None:
        """Open the link and press “Connect”; the way back is a rule of its own."""
        it = self.model.pick(number, *OPEN)
        bundle = self.row(it).bundle
        if bundle is None:
            return
        whose = self.workspace_numbers[bundle.workspace_id], bundle.recipient
        is_present = bundle.closed_at is None
        opens = self.browser.open(bundle).bundle is not None
        assert opens is (is_present and whose in self.model.alive(self.now))
        if opens and (state := self.attempt(lambda: self.browser.start(self.row(it)), legal=it.status in OPEN)):
            self.flows.append(Flow(it, it.generation, state, self.now + FLOW_LIFE))

    def come_back(self, number: int, person: str) -> None:
        if not self.flows:
            return
        flow = self.flows[number % len(self.flows)]
        it, exchanges, held = flow.request, self.provider.exchanges, self.connections()
        self.provider.account = person
        assert self.browser.finish(flow.state) is not None
        is_taken = not flow.is_spent and flow.ends_at > self.now
        flow.is_spent = True
        assert self.provider.exchanges == exchanges + is_taken
        if not is_taken or not self.model.may_keep(flow, person):
            assert self.connections() == held
            return
        approved = self.connection_of(it, person)
        self.model.approve(approved, person)
        if it.status is not Status.FULFILLED:
            assert self.row(it).connection_id == approved
            self.model.fulfil(it, approved)

    def connection_of(self, it: Request, account: str) -> int:
        """The one connection that the workspace has of an account."""
        mine = Connection.workspace_id == self.workspaces[it.workspace].id, Connection.account == account
        return db.session.scalars(select(Connection.id).where(*mine, Connection.app_key == self.row(it).app_key)).one()

    def connections(self) -> int:
        return db.session.scalar(select(func.count(Connection.id))) or 0

    def use_offer(self, number: int, _person: str) -> None:
        """Use for one request the account that the same person connected for another."""
        it = self.model.pick(number, *OPEN)
        row = self.row(it)
        if row.bundle is None or row.bundle.recipient != it.recipient:
            return
        given = (
            select(Connection)
            .where(Connection.workspace_id == row.workspace_id, Connection.app_key == row.app_key)
            .where(Connection.owner_email == it.recipient, Connection.health == Health.ACTIVE)
        )
        offered = db.session.scalar(given.order_by(Connection.id.desc()).limit(1))
        legal = it.status in OPEN and offered is not None
        chosen = offered.public_id if offered else "a" * 20
        self.attempt(lambda: intake.use_offer(row.bundle, it.id, chosen), legal=legal)
        if legal:
            assert self.row(it).connection_id == offered.id
            self.model.fulfil(it, offered.id)

    def time_passes(self, number: int, _person: str) -> None:
        self.clock.forward(seconds=LATER[number % len(LATER)])

    @rule(
        act=st.sampled_from(
            [
                *(queue, send, publish, resend, resend, cancel, move, request_again, revoke, change_membership),
                *(name_colleague, name_colleague, name_colleague, take_back, approve_hand_over, refuse_hand_over),
                *(
                    connect,
                    connect,
                    connect,
                    come_back,
                    come_back,
                    come_back,
                    decline,
                    use_offer,
                    time_passes,
                    time_passes,
                ),
            ]
        ),
        number=a_number,
        person=somebody,
    )
    def happens(self, act: Act, number: int, person: str) -> None:
        act(self, number, person)

    # ── What always holds ───────────────────────────────────────────────────

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


SETTINGS = settings(
    max_examples=10,
    stateful_step_count=30,
    phases=(Phase.generate,),  # shrinking would outlast the time that a test has
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_every_order_of_events_keeps_to_the_table(app, clock, stub):
    run_state_machine_as_test(lambda: Requests(app, clock, stub), settings=SETTINGS)

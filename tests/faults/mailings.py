"""Mails that are on their way when a worker is killed: what was sent, what came, and what does not fit together."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select

from app.extensions import db
from app.models import AuditEvent, Bundle, OutboxItem, OutboxState
from app.models import Counter as Count
from app.services import sending
from app.tenancy import across_tenants
from tests import factories
from tests.faults.killing import House, Office, office
from tests.support.inbox import Received
from tests.support.proof import Proof

LOST, CHANGED = "lost", "the second is another"
STEPS = (("northdesk", "find_ticket"), ("postwave", "new_contact"), ("farport", "upload_file"))


@dataclass
class Tally:
    """What became of all mails that were sent while workers were killed."""

    kills: int = 0
    mails: int = 0
    transmitting: int = 0
    twice: int = 0
    wrongs: list[str] = field(default_factory=list)

    def add(self, mails: "Mailing", *, kills: int, where: object = "") -> None:
        self.kills += kills
        self.mails += len(mails.people)
        self.transmitting += mails.left.total()
        self.twice += mails.twice
        self.wrongs += [f"{where}: {wrong}" for wrong in mails.wrongs()]

    def tell(self, proof: Proof) -> None:
        """Write the figures; fails if anything was wrong."""
        assert not self.wrongs
        proof.figure("workers killed", self.kills)
        proof.figure("mails to be sent", self.mails)
        proof.figure("lost", sum(wrong.endswith(LOST) for wrong in self.wrongs))
        proof.figure("found `transmitting` after a kill", self.transmitting)
        proof.figure("came a second time, the same to the byte, with the same Message-ID", self.twice)


@dataclass
class Mailing:
    """One mail to each of some people, and what was seen of it after each kill."""

    office: Office
    people: Sequence[str]
    left: Counter[str] = field(default_factory=Counter)  # how often a worker died with it transmitting
    clocks: dict[str, datetime] = field(default_factory=dict)

    @property
    def house(self) -> House:
        return self.office.house

    def look(self) -> None:
        """Note, after a kill, what the dead worker may have sent, and what clocks it started."""
        for to, (item, bundle) in self._rows().items():
            self.left[to] += item.state is OutboxState.TRANSMITTING
            if bundle.clock_started_at:
                self.clocks.setdefault(to, bundle.clock_started_at)

    @property
    def came(self) -> dict[str, list[Received]]:
        return {to: self.house.smtp.inbox.to(to) for to in self.people}

    @property
    def twice(self) -> int:
        """How many mails came once more."""
        return sum(len(mails) - 1 for mails in self.came.values() if mails)

    def wrongs(self) -> list[str]:
        """What was lost, doubled without cause, changed on the way, or told wrongly, once all is done."""
        wrongs = [wrong for item, bundle in self._rows().values() for wrong in self._wrongs(item, bundle)]
        counted = self._capped()
        return wrongs + ([f"{counted} mails were counted against the cap"] if counted != len(self.people) else [])

    def _wrongs(self, item: OutboxItem, bundle: Bundle) -> list[str]:
        to, mails = bundle.recipient, self.came[bundle.recipient]
        started = bundle.clock_started_at
        return [
            wrong
            for wrong, is_so in {
                LOST: not mails,
                f"came {len(mails)} times, was transmitting {self.left[to]} times": len(mails) > 1 + self.left[to],
                CHANGED: len({mail.raw for mail in mails}) > 1,
                "not by the Message-ID that is kept": any(m.message["Message-ID"] != item.message_id for m in mails),
                f"is {item.state} in the end": item.state is not OutboxState.DONE,
                "is kept on": item.message is not None,
                "has no clock": started is None,
                "lives for another time": started and bundle.expires_at != started + bundle.channel.lifetime,
                "its clock moved": to in self.clocks and started != self.clocks[to],
                f"{self._counted(bundle)} times in the audit trail": self._counted(bundle) != 1,
            }.items()
            if is_so
        ]

    def _capped(self) -> int:
        """How many mails were counted against the agency's cap."""
        with self.house.app.app_context():
            key = f"mail of agency {self.office.agency_id}"
            found = sum(db.session.scalars(select(Count.count).where(Count.key == key)))
            db.session.remove()
        return found

    def _counted(self, bundle: Bundle) -> int:
        with self.house.app.app_context(), across_tenants("a test looks"):
            sent = select(AuditEvent).where(AuditEvent.subject == bundle.public_id, AuditEvent.type == "mail.sent")
            found = len(db.session.scalars(sent).all())
            db.session.remove()
        return found

    def _rows(self) -> dict[str, tuple[OutboxItem, Bundle]]:
        with self.house.app.app_context(), across_tenants("a test looks"):
            bundles = db.session.scalars(select(Bundle).where(Bundle.agency_id == self.office.agency_id))
            by_id = {bundle.id: bundle for bundle in bundles}
            items = db.session.scalars(select(OutboxItem).where(OutboxItem.agency_id == self.office.agency_id))
            rows = {by_id[item.payload["bundle"]].recipient: (item, by_id[item.payload["bundle"]]) for item in items}
            db.session.expunge_all()
            db.session.remove()
        return rows


def mailing(house: House, names: Sequence[str] = ("ann", "ben", "cleo")) -> Mailing:
    """Requests that were sent to some people just now; no worker has seen it."""
    here = office(house)
    people = [here.address(name) for name in names]
    with here.inside() as (owner, workspace):
        workflow = factories.make_workflow(workspace, owner, *STEPS[: len(people)])
        for slot, to in zip(workflow.slots, people, strict=True):
            factories.make_request(slot, owner, recipient=to)
        assert sending.send(workflow, by=owner).recipients == len(people)
    return Mailing(here, people)

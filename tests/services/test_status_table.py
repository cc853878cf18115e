"""Each cell of the table of statuses on its own: what an act comes to from each status."""

import pytest
from sqlalchemy import select

from app.database import transaction
from app.errors import Conflict, NotFound, Refused
from app.extensions import db
from app.models import Connection, Health, Status
from app.services import connection_requests, fulfilment, handovers, nodes, sending, workflows
from app.services.audit import SYSTEM
from tests import factories
from tests.support import browsing, shared_app
from tests.support.browsing import Browser
from tests.support.rows import rows_of

agency, app, config, stranger = shared_app.fixtures
stub = browsing.stub

PRIYA, SAM = "priya.nair@harbordental.example", "sam@cobalt-it.example"
ANA = "ana.reyes@harbordental.example"
EXPIRED = "expired"
Q, P, F, D, R, C = (Status.QUEUED, Status.PENDING, Status.FULFILLED, Status.DECLINED, Status.REVOKED, Status.CANCELLED)
STATES = (Q, P, EXPIRED, F, D, R, C)
SAME = "nothing changes"


class Stage:
    """A request that was brought to a status, and everybody who may act on it."""

    def __init__(self, agency, workflow, owner, clock, status):
        self.agency, self.workflow, self.owner, self.clock = agency, workflow, owner, clock
        self.browser, self.states = Browser(), []
        self.asked = factories.make_request(workflow.slots[0], owner, recipient=PRIYA)
        if status is not Status.QUEUED:
            sending.send(workflow, by=owner)
            self.browser.open(self.asked.bundle)
            self.states = [self.browser.start(self.asked), self.browser.start(self.asked)]
        getattr(self, f"to_{status}", lambda: None)()
        if status != EXPIRED:
            clock.forward(minutes=6)

    def to_expired(self):
        self.clock.forward(days=7, seconds=-1)
        self.browser.open(self.asked.bundle)
        self.states = [self.browser.start(self.asked)]
        self.clock.forward(minutes=6)

    def to_fulfilled(self):
        self.browser.finish(self.states.pop())

    def to_declined(self):
        connection_requests.decline(self.asked, reason="")

    def to_revoked(self):
        self.to_fulfilled()
        self.revoke()

    def to_cancelled(self):
        self.cancel()

    def send(self):
        sending.send(self.workflow, by=self.owner)

    def publish(self):
        nodes.remove(self.workflow, self.workflow.nodes[1].public_id, confirmed=True, by=self.owner)
        workflows.publish(self.workflow, by=self.owner)

    def cancel(self):
        connection_requests.cancel(self.agency, self.asked.public_id, by=self.owner)

    def decline(self):
        connection_requests.decline(self.asked, reason="Not ours.")

    def connect(self):
        """Press “Connect” anew."""
        self.browser.open(self.asked.bundle) if self.asked.bundle else None
        found = self.browser.enter(self.asked.bundle) if self.asked.bundle else None
        if found is None:
            raise NotFound
        self.browser.finish(self.browser.start(self.asked))

    def come_back(self):
        """End an authorization that began while it was pending."""
        self.browser.finish(self.states[0])

    def resend(self):
        sending.resend(self.agency, self.asked.public_id, by=self.owner)

    def move(self):
        sending.change_recipient(self.agency, self.asked.public_id, recipient=SAM, by=self.owner)

    def hand_over(self):
        """To a colleague within the domain, with the link."""
        if self.asked.bundle is None:
            raise NotFound
        handovers.ask(self.asked.bundle, self.asked.public_id, ANA)

    def approve(self):
        """Staff agree, whoever is named."""
        handovers.approve(self.agency, self.asked.public_id, to=SAM, by=self.owner)

    def ask_again(self):
        connection_requests.request_again(self.agency, self.asked.public_id, by=self.owner)

    def revoke(self):
        connection = db.session.scalar(select(Connection))
        with transaction():
            if connection:
                connection.health = Health.REVOKED
                fulfilment.revoke_for(connection, by=SYSTEM, at=self.clock.now)


# What an act comes to from each status, in the order of STATES: the status afterwards, or the refusal.
TABLE = {
    #             queued    pending   expired   fulfilled declined  revoked   cancelled
    "send": (P, SAME, SAME, SAME, SAME, SAME, SAME),
    "publish": (P, P, P, F, Refused, Refused, Refused),
    "cancel": (C, C, C, Conflict, C, Conflict, Conflict),
    "decline": (Conflict, D, D, Conflict, SAME, Conflict, Conflict),
    "connect": (NotFound, F, NotFound, Conflict, F, Conflict, Conflict),
    "come_back": (None, F, F, F, F, R, C),
    "resend": (Conflict, P, P, Conflict, P, Conflict, Conflict),
    "move": (Q, P, P, Conflict, Conflict, Conflict, Conflict),
    "hand_over": (NotFound, P, NotFound, NotFound, P, NotFound, NotFound),  # its link is dead once all is settled
    "approve": (Conflict, Conflict, Conflict, Conflict, Conflict, Conflict, Conflict),  # of nobody
    "ask_again": (Conflict, Conflict, Conflict, Conflict, Conflict, R, C),
    "revoke": (SAME, SAME, SAME, R, SAME, SAME, SAME),
}
CELLS = [
    pytest.param(status, act, outcome, id=f"{status}-{act}")
    for act, outcomes in TABLE.items()
    for status, outcome in zip(STATES, outcomes, strict=True)
    if outcome is not None
]


@pytest.mark.parametrize(("status", "act", "outcome"), CELLS)
def test_each_act_from_each_status(agency, workflow, owner, clock, stub, status, act, outcome):
    stage = Stage(agency, workflow, owner, clock, status)
    db.session.refresh(stage.asked)
    assert stage.asked.status is (P if status == EXPIRED else status)
    assert stage.asked.is_expired(clock.now) is (status == EXPIRED)
    before = rows_of(agency)

    if isinstance(outcome, type):
        with pytest.raises(outcome):
            getattr(stage, act)()
        if act != "publish":  # its test takes a node out first
            assert rows_of(agency) == before
        return
    getattr(stage, act)()

    if outcome is SAME:
        assert rows_of(agency) == before
    else:
        db.session.refresh(stage.asked)
        assert stage.asked.status is outcome


@pytest.mark.both_databases
def test_moved_allows_the_moves_of_the_table_and_no_other(agency, workflow, owner):
    asked = factories.make_request(workflow.slots[0], owner)
    allowed = {
        (Q, P), (Q, C), (P, C), (D, C), (P, F), (P, D), (D, F), (D, P), (P, P), (F, R)
    }  # fmt: skip
    for old in Status:
        for new in Status:
            with transaction() as session:
                asked.status, transition = old, asked.transition
                session.flush()
                did = connection_requests.moved(asked, to=new)
            assert did is ((old, new) in allowed), (old, new)
            assert asked.status is (new if did else old)
            assert asked.transition == transition + did


def test_moved_can_be_narrowed_to_some_of_its_sources(agency, workflow, owner):
    (asked, _) = factories.make_sent(workflow, owner)
    with transaction():
        assert not connection_requests.moved(asked, to=P, only_from=frozenset({Q}))
        assert not connection_requests.moved(asked, to=P, only_from=frozenset({F}))
        assert connection_requests.moved(asked, to=P, only_from=frozenset({P, F}))

"""What overtakes a hand-over: each order of the two has one winner, and both at once come to what one of the orders does."""

import itertools
import threading
import time
from datetime import timedelta
from typing import NamedTuple

import pytest
from sqlalchemy import func, select

from app import clock as app_clock
from app.database import transaction
from app.errors import Conflict, DomainError, NotFound, RateLimited, Refused
from app.extensions import db
from app.models import AuditEvent, Bundle, ConnectionRequest, OutboxItem, Recipient, Staff, Status
from app.services import connection_requests, handovers, joining, outgoing, sending, workflows
from tests import factories
from tests.support import shared_app
from tests.support.elsewhere import at_once, outcomes

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures

PRIYA, ANA, LEE, SAM = "priya", "ana", "lee", "sam"
_numbers = itertools.count(1)


class Stage:
    """One app asked of Priya a while ago; acts on it as other browsers do them, who saw it as it was then."""

    def __init__(self, workspace, owner, *, named=False):
        self.number = next(_numbers)
        flow = factories.make_workflow(workspace, owner, ("slack", "find_user"), ("hubspot", "create_contact"))
        self.asked = factories.make_sent(flow, owner, recipient=self.address(PRIYA))[0]
        if named:
            handovers.ask(self.asked.bundle, self.asked.public_id, self.address(SAM))
        with transaction():
            mine = select(Recipient).where(Recipient.email == self.address(PRIYA))
            db.session.scalars(mine).one().mailed_at -= timedelta(minutes=6)
        db.session.refresh(self.asked)
        self.rows = (self.asked, self.asked.bundle, owner)

    def address(self, name):
        domain = "cobalt-it" if name == SAM else "harbordental"
        return f"{name}.{self.number}@{domain}.example"

    def act(self, name):
        do = getattr(self, name.replace(" ", "_"))

        def alone(asked: ConnectionRequest, bundle: Bundle, owner: Staff) -> None:
            do(asked, bundle, owner)

        return alone

    def do(self, name):
        """One after the other, each in a session that knows nothing of the other."""
        return outcomes(at_once([self.act(name)], *self.rows))[0]

    def hand_over(self, asked, bundle, _owner):
        handovers.ask(bundle, asked.public_id, self.address(ANA))

    def hand_over_to_another(self, asked, bundle, _owner):
        handovers.ask(bundle, asked.public_id, self.address(LEE))

    def name(self, asked, bundle, _owner):
        handovers.ask(bundle, asked.public_id, self.address(SAM))

    def take_back(self, asked, bundle, _owner):
        handovers.take_back(bundle, asked.public_id)

    def approve(self, asked, _bundle, owner):
        handovers.approve(owner.agency, asked.public_id, to=self.address(SAM), by=owner)

    def refuse(self, asked, _bundle, owner):
        handovers.refuse(owner.agency, asked.public_id, to=self.address(SAM), by=owner)

    def cancel(self, asked, _bundle, owner):
        connection_requests.cancel(owner.agency, asked.public_id, by=owner)

    def decline(self, asked, bundle, _owner):
        connection_requests.decline(connection_requests.in_bundle(bundle, asked.public_id), reason="")

    def resend(self, asked, _bundle, owner):
        sending.resend(owner.agency, asked.public_id, by=owner)

    def move(self, asked, _bundle, owner):
        sending.change_recipient(owner.agency, asked.public_id, recipient=self.address(LEE), by=owner)

    def publish(self, asked, _bundle, owner):
        workflows.publish(asked.workflow, by=owner)

    def expire(self, asked, bundle, _owner):
        with transaction() as session:
            session.get_one(Bundle, bundle.id).expires_at = app_clock.now() - timedelta(seconds=1)

    def stands(self):
        """How the request stands: with whom, its status, who else is named; how often it was handed over."""
        db.session.rollback()
        db.session.refresh(self.asked)
        it = self.asked
        acts = select(func.count(AuditEvent.id)).where(AuditEvent.subject == it.public_id)
        handed = db.session.scalar(acts.where(AuditEvent.type == "request.handed_over"))
        assert handed == (it.handed_over_at is not None)
        assert it.bundle.recipient == it.recipient
        if it.status is Status.PENDING:
            assert it.bundle.closed_at is None
        named = it.hand_over_to and it.hand_over_to.partition(".")[0]
        return it.recipient.partition(".")[0], it.status, named


class Ends(NamedTuple):
    """How it stands after the second, and what the second was told."""

    stands: tuple[str, Status, str | None]
    second: type[DomainError] | None = None


P, D, C = Status.PENDING, Status.DECLINED, Status.CANCELLED
WITH_ANA, WITH_LEE, WITH_SAM = (ANA, P, None), (LEE, P, None), (SAM, P, None)
# In the order in which they are done.
TABLE = {
    ("hand over", "hand over to another"): Ends(WITH_ANA, NotFound),
    ("hand over to another", "hand over"): Ends(WITH_LEE, NotFound),
    ("hand over", "cancel"): Ends((ANA, C, None)),
    ("cancel", "hand over"): Ends((PRIYA, C, None), Conflict),
    ("hand over", "decline"): Ends(WITH_ANA, NotFound),
    ("decline", "hand over"): Ends(WITH_ANA),
    ("hand over", "resend"): Ends(WITH_ANA, RateLimited),
    ("resend", "hand over"): Ends(WITH_ANA),
    ("hand over", "move"): Ends(WITH_LEE),
    ("move", "hand over"): Ends(WITH_LEE, NotFound),
    ("hand over", "publish"): Ends(WITH_ANA),
    ("publish", "hand over"): Ends(WITH_ANA),
    ("hand over", "expire"): Ends(WITH_ANA),
    ("expire", "hand over"): Ends((PRIYA, P, None), NotFound),
    ("hand over", "name"): Ends(WITH_ANA, NotFound),
    ("name", "hand over"): Ends(WITH_ANA),
}
WAITING = {
    ("approve", "take back"): Ends(WITH_SAM, NotFound),
    ("take back", "approve"): Ends((PRIYA, P, None), Conflict),
    ("approve", "refuse"): Ends(WITH_SAM, Conflict),
    ("refuse", "approve"): Ends((PRIYA, P, None), Conflict),
    ("approve", "hand over"): Ends(WITH_SAM, NotFound),
    ("hand over", "approve"): Ends(WITH_ANA, Conflict),
    ("approve", "cancel"): Ends((SAM, C, None)),
    ("cancel", "approve"): Ends((PRIYA, C, None), Conflict),
    ("approve", "resend"): Ends(WITH_SAM, RateLimited),
    ("resend", "approve"): Ends((PRIYA, P, None), Conflict),
    ("approve", "move"): Ends(WITH_LEE),
    ("move", "approve"): Ends(WITH_LEE, Conflict),
    ("approve", "decline"): Ends(WITH_SAM, NotFound),
    ("decline", "approve"): Ends(WITH_SAM),
    ("approve", "expire"): Ends(WITH_SAM),
    ("expire", "approve"): Ends(WITH_SAM),
}
ALL = [(False, *pair, ends) for pair, ends in TABLE.items()] + [(True, *pair, ends) for pair, ends in WAITING.items()]


@pytest.mark.parametrize(("named", "first", "second", "ends"), ALL)
def test_each_order_has_one_outcome(workspace, owner, named, first, second, ends):
    stage = Stage(workspace, owner, named=named)

    assert stage.do(first) is None
    told = stage.do(second)

    assert (stage.stands(), told) == ends


@pytest.mark.parametrize(("named", "first", "second"), [row[:3] for row in ALL if row[1] < row[2]])
def test_at_once_it_comes_to_what_one_of_the_orders_does(workspace, owner, named, first, second):
    stage = Stage(workspace, owner, named=named)
    table = WAITING if named else TABLE
    expected = {order: table[order] for order in ((first, second), (second, first))}

    came_to = outcomes(at_once([stage.act(first), stage.act(second)], *stage.rows))

    stands = stage.stands()
    found = {
        (first, second): Ends(stands, came_to[1]) if came_to[0] is None else None,
        (second, first): Ends(stands, came_to[0]) if came_to[1] is None else None,
    }
    assert any(alike(found[order], expected[order]) for order in found), (found, expected)


def alike(found: Ends | None, expected: Ends) -> bool:
    """Whether it came to that; who had read what is gone since is told so in other words."""
    gone = {NotFound: Conflict}
    return found is not None and (found.stands, gone.get(found.second, found.second)) == (
        expected.stands,
        gone.get(expected.second, expected.second),
    )


def test_twenty_at_once_hand_over_once(workspace, owner):
    stage = Stage(workspace, owner)
    acts = [stage.act("hand over" if number % 2 else "hand over to another") for number in range(20)]

    came_to = outcomes(at_once(acts, *stage.rows))

    assert came_to.count(None) == 1
    assert set(came_to) <= {None, NotFound, Refused}
    assert stage.stands() in (WITH_ANA, WITH_LEE)
    mails = select(func.count(OutboxItem.id)).where(OutboxItem.kind == "bundle.sent")
    mine = OutboxItem.key.startswith(stage.asked.bundle.public_id)
    assert db.session.scalar(mails.where(mine)) == 1


def test_a_mail_that_leaves_just_now_names_it_or_another_will(workspace, owner):
    """Whoever reads what the mail says, and then is slow to commit, has been waited for."""
    stage = Stage(workspace, owner)
    forms = factories.make_workflow(workspace, owner, ("typeform", "new_response"), name="Forms")
    (theirs,) = factories.make_sent(forms, owner, recipient=stage.address(ANA))
    has_read, named = threading.Event(), []

    def leave(bundle: Bundle) -> None:
        with transaction():
            outgoing.start_clocks({bundle.id: bundle.epoch}, at=app_clock.now())
            mail = outgoing.read(bundle.id)
            named.extend(each.workflow for each in mail.asked)
            has_read.set()
            time.sleep(0.5)

    def hand_over(_theirs: Bundle) -> None:
        has_read.wait(30)
        handovers.ask(db.session.get_one(Bundle, bundle_id), request_id, stage.address(ANA))

    bundle_id, request_id = stage.asked.bundle_id, stage.asked.public_id
    assert outcomes(at_once([leave, hand_over], theirs.bundle)) == [None, None]

    assert named == ["Forms"]
    db.session.rollback()
    key = OutboxItem.key.startswith(stage.asked.public_id)
    assert db.session.scalar(select(func.count(OutboxItem.id)).where(OutboxItem.kind == joining.KIND, key)) == 1

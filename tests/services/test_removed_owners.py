"""What an owner can do, once removed, with the connections that passed to the workspace's members: nothing."""

import pytest
from sqlalchemy import select

from app.database import transaction
from app.errors import Refused
from app.extensions import db
from app.models import AuditEvent, Flow, Health, OutboxItem, Status
from app.services import connections, grants, members, mending_requests, secrets, sending
from tests import factories
from tests.services.settling import change
from tests.support import browsing, shared_app
from tests.support.browsing import Browser
from tests.support.statements import counted

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures
stub = browsing.stub

DANA, PRIYA = "dana@harbordental.example", "priya@harbordental.example"
SLACK = ("slack", "send_channel_message")


@pytest.fixture
def dana(workspace):
    factories.make_member(workspace, PRIYA, "Priya")
    return factories.make_member(workspace, DANA, "Dana")


@pytest.fixture
def connected(workspace, owner, stub, dana):
    """Dana's request, which her browser has just fulfilled."""
    workflow = factories.make_workflow(workspace, owner, SLACK)
    (asked,) = factories.make_sent(workflow, owner, recipient=DANA)
    browser = Browser()
    browser.open(asked.bundle)
    browser.finish(browser.start(asked))
    return fresh(asked)


@pytest.fixture
def held(connected):
    """Her connection, which broke."""
    change(connected.connection, health=Health.ERROR, health_reason="grant_ended")
    return connected.connection


def fresh(row):
    db.session.rollback()
    db.session.refresh(row)
    return row


def take_away(member, connection, at):
    """As `members.remove` does, but for what is asked of them: that was asked at this very moment."""
    with transaction():
        member.removed_at = connection.owner_left_at = at


def standing(connection):
    fresh(connection)
    return connection.owner_email, connection.owner_left_at is not None, connection.secret_id, connection.health


def test_remove_withdraws_what_asks_them_to_mend_so_that_a_member_can_be_asked(workspace, owner, dana, held):
    asked = mending_requests.queue(held, by=owner)
    sending.send(asked.workflow, by=owner)
    assert members.removal_of(dana) == members.Removal(connections=1, others=1, mending=1)

    members.remove(workspace, dana.public_id, by=owner)

    assert fresh(asked).status is Status.CANCELLED
    assert asked.bundle.closed_at is not None
    event = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "request.cancelled")).one()
    assert (event.actor, event.subject) == (owner.email, asked.public_id)
    again = mending_requests.queue(fresh(held), recipient=PRIYA, by=owner)
    assert sending.send(again.workflow, by=owner).requests == 1


def test_remove_leaves_what_fills_a_slot_and_what_is_asked_of_others(workspace, owner, dana, held):
    other = factories.make_connection(workspace, owner_email=PRIYA, name="Priya's", health=Health.ERROR)
    second = factories.make_workflow(workspace, owner, SLACK, SLACK, name="Second")
    change(second.slots[0], connection_id=other.id)
    of_priya = mending_requests.queue(other, by=owner)
    fills = factories.make_request(second.slots[0], owner, recipient=DANA)

    members.remove(workspace, dana.public_id, by=owner)

    assert (fresh(of_priya).status, fresh(fills).status) == (Status.QUEUED, Status.QUEUED)


def test_who_comes_back_is_asked_again_in_the_place_of_the_member_who_was(workspace, owner, dana, held):
    members.remove(workspace, dana.public_id, by=owner)
    asked = mending_requests.queue(fresh(held), recipient=PRIYA, by=owner)

    members.add(workspace, name="Dana", email=DANA, by=owner)

    assert fresh(asked).status is Status.CANCELLED
    assert mending_requests.queue(fresh(held), by=owner).recipient == DANA


@pytest.mark.parametrize("begun", ["before", "after"])
def test_a_request_from_before_gives_nothing_back_to_them(owner, stub, clock, dana, held, begun):
    """Whatever came between: what the provider gave is thrown away, and the members have the connection as it was."""
    asked = mending_requests.queue(held, by=owner)
    sending.send(asked.workflow, by=owner)
    browser = Browser()
    browser.open(asked.bundle)
    state = browser.start(asked) if begun == "before" else None
    take_away(dana, held, clock.now)
    before = standing(held)

    landed = browser.finish(state or browser.start(fresh(asked)))

    assert landed.is_withdrawn
    assert standing(held) == before
    assert connections.is_owned(held, PRIYA)
    assert not connections.is_owned(held, DANA)
    assert fresh(asked).status is Status.PENDING
    assert_given_back()


def assert_given_back():
    flow = db.session.scalars(select(Flow).order_by(Flow.id.desc())).first()
    due = db.session.scalars(select(OutboxItem).where(OutboxItem.key == flow.public_id)).one()
    assert flow.grant is not None
    assert (due.kind, due.due_at <= flow.finished_at) == (grants.KIND, True)


def test_an_authorization_that_ran_beside_the_first_gives_nothing_back_to_them(
    workspace, owner, stub, clock, dana, connected
):
    two = factories.make_workflow(workspace, owner, SLACK, name="Two")
    (asked,) = factories.make_sent(two, owner, recipient=DANA)
    browser = Browser()
    browser.open(asked.bundle)
    first, second = browser.start(asked), browser.start(asked)
    assert browser.finish(first).is_connected
    take_away(dana, fresh(asked).connection, clock.now)
    before = standing(asked.connection)

    assert browser.finish(second).is_withdrawn
    assert standing(asked.connection) == before
    assert_given_back()


def test_a_member_who_was_asked_and_then_removed_mends_nothing(workspace, owner, stub, clock, dana, held):
    members.remove(workspace, dana.public_id, by=owner)
    asked = mending_requests.queue(fresh(held), recipient=PRIYA, by=owner)
    sending.send(asked.workflow, by=owner)
    browser = Browser()
    browser.open(asked.bundle)
    state, before = browser.start(asked), standing(held)
    priya = next(each for each in members.page(workspace).items if each.email == PRIYA)
    with transaction():
        priya.removed_at = clock.now

    assert browser.finish(state).is_withdrawn
    assert standing(held) == before


def test_a_member_who_has_it_now_mends_it(workspace, owner, stub, dana, held):
    members.remove(workspace, dana.public_id, by=owner)
    asked = mending_requests.queue(fresh(held), recipient=PRIYA, by=owner)
    sending.send(asked.workflow, by=owner)
    browser = Browser()
    browser.open(asked.bundle)

    assert browser.finish(browser.start(asked)).is_connected
    assert (fresh(held).owner_email, held.owner_left_at, held.health) == (PRIYA, None, Health.ACTIVE)
    assert secrets.reveal(held)["access_token"]


# ── Sending ──────────────────────────────────────────────────────────────────


def test_send_leaves_out_what_asks_a_removed_owner_to_mend_and_says_so(workspace, owner, clock, dana, held):
    asked = mending_requests.queue(held, by=owner)
    other = factories.make_request(asked.workflow.slots[0], owner, recipient=PRIYA)
    take_away(dana, held, clock.now)

    sent = sending.send(asked.workflow, by=owner)

    assert fresh(asked).status is Status.QUEUED
    assert (sent.recipients, fresh(other).status) == (1, Status.PENDING)
    assert [(left.recipient, left.apps) for left in sent.left] == [(DANA, ("Slack",))]
    assert sending.explain(sent.left[0]) == (
        f"Not sent to {DANA}: Slack is no longer theirs to reconnect. Ask a member of the workspace instead."
    )
    with pytest.raises(Refused, match="no longer theirs"):
        sending.send(asked.workflow, by=owner, all_or_nothing=True)


def test_send_leaves_out_what_asks_a_member_for_what_its_owner_has_again(workspace, owner, dana, held):
    members.remove(workspace, dana.public_id, by=owner)
    asked = mending_requests.queue(fresh(held), recipient=PRIYA, by=owner)
    change(held, owner_left_at=None)

    sent = sending.send(asked.workflow, by=owner)

    assert fresh(asked).status is Status.QUEUED
    assert sent.left[0].reason == f"Slack is not theirs to reconnect. Ask {DANA}."


def test_resend_is_refused_for_what_asks_a_removed_owner_to_mend(agency, owner, clock, dana, held):
    asked = mending_requests.queue(held, by=owner)
    sending.send(asked.workflow, by=owner)
    take_away(dana, held, clock.now)
    clock.forward(minutes=10)
    epoch = asked.bundle.epoch

    with pytest.raises(Refused, match="Ask a member of the workspace instead"):
        sending.resend(agency, asked.public_id, by=owner)
    assert (fresh(asked).resends, asked.bundle.epoch) == (0, epoch)


def test_who_may_mend_is_looked_up_once_however_much_is_asked(workspace, owner, clock, dana):
    asked = []
    for number in range(4):
        one = factories.make_connection(workspace, owner_email=DANA, name=f"No. {number}", owner_left_at=clock.now)
        workflow = factories.make_workflow(workspace, owner, SLACK, name=f"No. {number}")
        change(workflow.slots[0], connection_id=one.id)
        change(one, health=Health.ERROR)
        asked.append(mending_requests.queue(one, recipient=PRIYA, by=owner))
    assert [each.connection.owner_left_at for each in asked]

    with counted() as seen:
        assert mending_requests.misdirected(asked) == []
    assert len(seen) == 1


def test_what_is_asked_of_whoever_was_removed_can_go_to_a_member(agency, owner, clock, dana, held):
    asked = mending_requests.queue(held, by=owner)
    take_away(dana, held, clock.now)

    with pytest.raises(Refused):
        sending.change_recipient(agency, asked.public_id, recipient="somebody@elsewhere.example", by=owner)
    assert sending.change_recipient(agency, asked.public_id, recipient=PRIYA, by=owner).recipient == PRIYA

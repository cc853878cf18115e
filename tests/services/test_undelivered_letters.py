"""Letters that failed: which of them need somebody, as long as they would still be sent, and that they can be sent again."""

import pytest
from sqlalchemy import select, update

from app.database import transaction
from app.errors import Conflict
from app.extensions import db
from app.models import Agency, AuditEvent, Health, Member, OutboxItem, OutboxState
from app.services import attention, letters, members, mending, undelivered_letters, workspaces
from app.tenancy import acting_for
from tests import factories
from tests.support.shared_app import *  # noqa: F403
from tests.support.statements import counted

DANA, TOM = "dana.reyes@harbordental.example", "tom.hale@harbordental.example"
pytestmark = pytest.mark.both_databases


def fail(agency, kind, state=OutboxState.DEAD, error="refused", at=None):
    """Have all letters of a kind end so that somebody is needed."""
    values = {"state": state, "error": error, "finished_at": at}
    with transaction() as session:
        session.execute(
            update(OutboxItem)
            .where(OutboxItem.agency_id == agency.id, OutboxItem.kind == kind)
            .values(values)
            .execution_options(synchronize_session=False)
        )
    db.session.expire_all()


def told(agency):
    few = attention.first_few(agency, attention.counts(agency))
    assert attention.counts(agency).undelivered == few.mails
    return (
        [(each.member.email, each.workspace.name, each.delivery.reason) for each in few.invitations],
        [(each.connection.name, each.recipients, each.delivery.reason) for each in few.notices],
    )


def states(agency, kind):
    found = select(OutboxItem.state).where(OutboxItem.agency_id == agency.id, OutboxItem.kind == kind)
    return db.session.scalars(found.order_by(OutboxItem.id)).all()


@pytest.fixture
def member(workspace, owner):
    return members.add(workspace, name="Dana Reyes", email=DANA, by=owner)


@pytest.fixture
def broken(workspace, clock):
    """Dana's Slack, which broke, of which she is told."""
    held = factories.make_connection(workspace, name="Front desk", owner_email=DANA)
    break_(held, clock)
    return held


def break_(held, clock):
    with transaction():
        held.health, held.health_reason, held.broken_at = Health.ERROR, "grant_ended", clock.now
        letters.tell_broken(held, at=clock.now)


REFUSED = "The recipient's address was refused. Check that it is right."


@pytest.mark.parametrize("state", [OutboxState.DEAD, OutboxState.HELD])
def test_an_invitation_that_failed_needs_somebody(agency, member, clock, state):
    assert told(agency) == ([], [])
    fail(agency, letters.INVITED, state, at=clock.now)

    assert told(agency) == ([(DANA, "Harbor Dental", REFUSED)], [])


@pytest.mark.parametrize("state", [OutboxState.DEAD, OutboxState.HELD])
def test_word_of_a_broken_connection_that_failed_needs_somebody(agency, broken, clock, state):
    assert told(agency) == ([], [])
    fail(agency, letters.BROKEN, state, at=clock.now)

    assert told(agency) == ([], [("Front desk", [DANA], REFUSED)])


def test_what_is_tried_again_by_itself_needs_nobody(agency, member, broken, clock):
    for kind in (letters.INVITED, letters.BROKEN):
        fail(agency, kind, OutboxState.RETRY)

    assert told(agency) == ([], [])


def test_a_code_that_failed_is_for_nobody_to_know(agency, clock):
    with transaction():
        letters.put(letters.CODE, "a" * 20, agency_id=agency.id, at=clock.now, code="a" * 20)
    fail(agency, letters.CODE, at=clock.now)

    assert told(agency) == ([], [])


def test_an_invitation_that_is_not_wanted_any_more_needs_nobody(agency, workspace, member, owner, clock):
    fail(agency, letters.INVITED, at=clock.now)
    workspaces.archive(agency, workspace.public_id, by=owner)
    assert told(agency) == ([], [])
    workspaces.restore(agency, workspace.public_id, by=owner)
    members.remove(workspace, member.public_id, by=owner)

    assert told(agency) == ([], [])


def test_a_later_invitation_stands_in_the_place_of_the_one_that_failed(agency, workspace, member, owner, clock):
    fail(agency, letters.INVITED, at=clock.now)
    clock.forward(minutes=6)
    members.invite_again(workspace, member.public_id, by=owner)
    assert told(agency) == ([], [])
    fail(agency, letters.INVITED, at=clock.now)
    assert len(told(agency)[0]) == 1

    undelivered_letters.try_invitation_again(member, by=owner)

    assert states(agency, letters.INVITED) == [OutboxState.DEAD, OutboxState.RETRY], "the latest alone"


@pytest.mark.parametrize("since", ["mended", "revoked", "broken again"])
def test_word_that_is_not_true_any_more_needs_nobody(agency, broken, clock, since):
    fail(agency, letters.BROKEN, at=clock.now)
    clock.forward(hours=1)
    if since == "revoked":
        with transaction():
            broken.health, broken.broken_at = Health.REVOKED, None
    else:
        with transaction():
            mending.mended(broken, at=clock.now)
    db.session.refresh(broken)
    if since == "broken again":
        clock.forward(hours=1)
        break_(broken, clock)
        assert states(agency, letters.BROKEN) == [OutboxState.DEAD, OutboxState.QUEUED]

    assert told(agency) == ([], [])


def test_all_who_were_not_told_are_named(agency, workspace, owner, clock):
    for name, email in (("Dana Reyes", DANA), ("Tom Hale", TOM)):
        members.add(workspace, name=name, email=email, by=owner)
    held = factories.make_connection(
        workspace, name="Front desk", owner_email="gone@client.example", owner_left_at=clock.now
    )
    own = factories.make_connection(workspace, name="Our own", owner_email=None)
    for each in (held, own):
        clock.forward(minutes=1)
        break_(each, clock)
    fail(agency, letters.BROKEN, at=clock.now)

    assert told(agency)[1] == [("Our own", [owner.email], REFUSED), ("Front desk", [DANA, TOM], REFUSED)]


def test_they_are_sent_again_at_once_and_it_is_in_the_trail(agency, member, broken, owner, clock):
    for kind in (letters.INVITED, letters.BROKEN):
        fail(agency, kind, at=clock.now)

    undelivered_letters.try_invitation_again(member, by=owner)
    undelivered_letters.try_notice_again(broken, agency=agency, by=owner)

    assert told(agency) == ([], [])
    assert states(agency, letters.INVITED) == states(agency, letters.BROKEN) == [OutboxState.RETRY]
    events = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "mail.retried").order_by(AuditEvent.id))
    assert [(event.subject, event.actor, event.data) for event in events] == [
        (member.public_id, owner.email, {"letter": letters.INVITED}),
        (broken.public_id, owner.email, {"letter": letters.BROKEN}),
    ]
    for again in (
        lambda: undelivered_letters.try_invitation_again(member, by=owner),
        lambda: undelivered_letters.try_notice_again(broken, agency=agency, by=owner),
    ):
        with pytest.raises(Conflict, match="on its way already"):
            again()


def test_what_was_mended_meanwhile_is_not_told_again(agency, broken, owner, clock):
    fail(agency, letters.BROKEN, at=clock.now)
    with transaction():
        mending.mended(broken, at=clock.now)
    db.session.refresh(broken)

    with pytest.raises(Conflict):
        undelivered_letters.try_notice_again(broken, agency=agency, by=owner)


def test_those_of_another_agency_do_not_show(agency, stranger, member, broken, clock):
    for kind in (letters.INVITED, letters.BROKEN):
        fail(agency, kind, at=clock.now)
    with acting_for(stranger.agency_id):
        theirs = db.session.get_one(Agency, stranger.agency_id)
        assert told(theirs) == ([], [])


def test_pages_cost_the_same_however_many_there_are(agency, workspace, owner, clock):
    def cost():
        db.session.expire_all()
        with counted() as seen:
            undelivered_letters.invitation_page(agency)
            undelivered_letters.notice_page(agency)
        return len(seen)

    def add(number):
        clock.forward(minutes=1)
        members.add(workspace, name=f"Person {number}", email=f"p{number}@client.example", by=owner)
        break_(factories.make_connection(workspace, name=f"Account {number}", owner_email=DANA), clock)
        for kind in (letters.INVITED, letters.BROKEN):
            fail(agency, kind, at=clock.now)

    add(1)
    few = cost()
    for number in range(2, 6):
        add(number)

    assert cost() == few
    assert len(undelivered_letters.notice_page(agency).items) == len(db.session.scalars(select(Member)).all()) == 5

"""Whose a connection is: of the address that gave it, and once that was removed of whoever is there."""

import pytest
from sqlalchemy import select

from app.database import transaction
from app.extensions import db
from app.models import Health, Member, Notice, OutboxItem, Status
from app.services import connections, members, secrets
from app.services.audit import Actor
from tests import factories
from tests.support import browsing, shared_app
from tests.support.browsing import Browser

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures
stub = browsing.stub

DANA, PRIYA, SAM = "dana@harbordental.example", "priya@harbordental.example", "sam@cobalt-it.example"


@pytest.fixture
def people(workspace):
    """Dana and Priya are members; Sam is not."""
    return {email: factories.make_member(workspace, email, email.partition("@")[0]) for email in (DANA, PRIYA)}


def of(owner, workspace, **values):
    return factories.make_connection(workspace, owner_email=owner, **values)


def owners(connection):
    found = []
    for email in (DANA, PRIYA, SAM):
        with transaction():
            if connections.owned(connection.id, email) is not None:
                found.append(email)
        assert (email in found) == connections.is_owned(connection, email)
    return found


def leave(member, connection, at):
    """As when staff remove a member."""
    with transaction():
        db.session.get_one(Member, member.id).removed_at = at
        connection.owner_left_at = at


@pytest.mark.parametrize("owner", [DANA, PRIYA, SAM])
def test_it_is_of_who_gave_it_and_of_no_other_member(workspace, people, owner):
    assert owners(of(owner, workspace)) == [owner]


@pytest.mark.parametrize("health", Health)
def test_it_stays_theirs_whatever_becomes_of_it(workspace, people, health):
    assert owners(of(DANA, workspace, health=health)) == [DANA]


def test_the_members_take_over_what_a_removed_owner_gave(workspace, people, clock):
    connection = of(DANA, workspace)
    leave(people[DANA], connection, clock.now)

    assert owners(connection) == [PRIYA]


def test_only_those_take_over_who_are_members_of_that_workspace_now(agency, workspace, people, clock):
    elsewhere = factories.make_workspace(agency, "Cobalt")
    factories.make_member(elsewhere, SAM, "Sam")
    connection = of(DANA, workspace)
    leave(people[DANA], connection, clock.now)
    leave(people[PRIYA], connection, clock.now)
    assert owners(connection) == []

    factories.make_member(workspace, SAM, "Sam")
    assert owners(connection) == [SAM]


def test_who_is_added_again_has_it_again(workspace, people, owner, clock):
    connection = of(DANA, workspace)
    leave(people[DANA], connection, clock.now)
    members.add(workspace, name="Dana", email=DANA, by=owner)

    assert DANA in owners(connection)


def test_a_net_new_owner_is_nobody_that_could_be_removed(workspace, people, owner, clock):
    connection = of(SAM, workspace)
    members.remove(workspace, people[DANA].public_id, by=owner)

    assert owners(connection) == [SAM]


@pytest.mark.parametrize("left", [False, True])
def test_what_the_agency_has_is_no_clients(workspace, people, clock, left):
    assert owners(of(None, workspace, owner_left_at=clock.now if left else None)) == []
    account_wide = {"workspace_id": None, "name": "account"}
    assert owners(of(None, workspace, **account_wide)) == []


@pytest.mark.parametrize("left", [False, True])
def test_what_was_deleted_is_nobodys(workspace, people, clock, left):
    gone = {"deleted_at": clock.now, "health": Health.REVOKED, "owner_left_at": clock.now if left else None}

    assert owners(of(DANA, workspace, **gone)) == []


def asked_of(recipient, workspace, owner, name):
    made = factories.make_workflow(workspace, owner, ("slack", "send_channel_message"), name=name)
    return factories.make_sent(made, owner, recipient=recipient)


def approve(asked):
    browser = Browser()
    browser.open(asked.bundle)
    landing = browser.finish(browser.start(asked))
    db.session.rollback()
    return landing


def connected(workspace, owner, recipient, name):
    """The connection that comes of asking somebody for Slack."""
    (asked,) = asked_of(recipient, workspace, owner, name)
    assert approve(asked).is_connected
    return asked.connection


def test_who_approves_it_anew_is_its_owner_from_then_on(workspace, people, owner, stub, clock):
    """And whoever had it after a removal has it no longer."""
    connection = connected(workspace, owner, DANA, "One")
    assert owners(connection) == [DANA]
    leave(people[DANA], connection, clock.now)

    assert connected(workspace, owner, SAM, "Two").id == connection.id
    assert (owners(connection), connection.owner_left_at) == ([SAM], None)


@pytest.mark.parametrize("health", [Health.ACTIVE, Health.PENDING, Health.ERROR])
@pytest.mark.parametrize("has_left", [False, True])
def test_staff_who_connect_the_same_account_replace_nothing(workspace, people, owner, stub, clock, health, has_left):
    """What they brought is given back, their request stays open, and the card says why."""
    theirs = connected(workspace, owner, DANA, "One")
    with transaction():
        theirs.health = health
    if has_left:
        leave(people[DANA], theirs, clock.now)
    before = (theirs.secret_id, theirs.secret.version, owners(theirs), theirs.health, theirs.granted_at)

    (asked,) = asked_of(owner.email, workspace, owner, "Two")
    landing = approve(asked)

    db.session.expire_all()
    assert (theirs.secret_id, theirs.secret.version, owners(theirs), theirs.health, theirs.granted_at) == before
    assert not landing.is_connected
    assert (asked.status, asked.notice, asked.connection_id) == (Status.PENDING, Notice.THEIRS, None)
    discarded = db.session.scalar(select(OutboxItem).where(OutboxItem.kind == "grant.discard"))
    assert discarded.due_at == clock.now
    stub.account = "another@client.example"
    assert approve(asked).is_connected


def test_staff_connect_what_is_their_own_or_was_let_go(workspace, owner, stub):
    mine = connected(workspace, owner, owner.email, "One")
    assert connected(workspace, owner, owner.email, "Two").id == mine.id

    with transaction():
        mine.health, mine.owner_email = Health.REVOKED, DANA
    assert connected(workspace, owner, owner.email, "Three").owner_email == owner.email


def test_staff_who_left_are_nobody_in_particular(agency, workspace, owner, stub, clock):
    theirs = connected(workspace, owner, DANA, "One")
    former = factories.make_staff(agency, "Ben Former")
    with transaction():
        former.disabled_at = clock.now

    assert connected(workspace, owner, former.email, "Two").id == theirs.id


def test_a_name_or_a_refresh_changes_no_owner(workspace, people, clock):
    connection = of(DANA, workspace)
    connections.rename(connection, "Front desk", by=Actor.client(DANA))
    with transaction():
        secrets.keep(connection, {"access_token": "fresh"}, at=clock.now)

    assert owners(connection) == [DANA]

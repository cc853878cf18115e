"""What the tables themselves hold, whatever the services do."""

from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from app.database import transaction
from app.models import (
    Channel,
    ConnectionRequest,
    Flow,
    Health,
    Kind,
    Node,
    Slot,
    Status,
    WorkflowVersion,
    Workspace,
)
from tests import factories
from tests.support import shared_app

agency, app, config, stranger = shared_app.fixtures
app_on_postgres, app_on_sqlite = shared_app.apps

LIVE = {Status.QUEUED, Status.PENDING}


@pytest.fixture
def workflow(workspace, owner):
    return factories.make_workflow(workspace, owner, ("slack", "find_user"))


def copied(row, **changes):
    keys = [column.key for column in type(row).__mapper__.column_attrs]
    values = {key: getattr(row, key) for key in keys if key not in ("id", "public_id")}
    return type(row)(**(values | changes))


def refused(row):
    with pytest.raises(IntegrityError), transaction() as session:
        session.add(row)


def taken(row):
    with transaction() as session:
        session.add(row)


@pytest.mark.both_databases
@pytest.mark.parametrize("first", Status)
@pytest.mark.parametrize("second", Status)
def test_a_slot_has_one_live_request_at_most(workflow, owner, first, second):
    asked = factories.make_request(workflow.slots[0], owner)
    with transaction():
        asked.status = first

    (refused if {first, second} <= LIVE else taken)(copied(asked, status=second))


@pytest.mark.both_databases
def test_a_connection_is_mended_by_one_live_request_at_most(workspace, workflow, owner):
    connection = factories.make_connection(workspace)
    asked = factories.make_request(workflow.slots[0], owner)
    mends = {"kind": Kind.REAUTHORIZE, "connection_id": connection.id}
    taken(copied(asked, **mends))

    refused(copied(asked, **mends))
    taken(copied(asked, **mends, status=Status.CANCELLED))


@pytest.mark.both_databases
def test_numbers_and_names_are_held_apart(agency, workspace, workflow, clock):
    refused(copied(workflow.slots[0]))
    taken(copied(workflow.slots[0], number=1))
    refused(copied(workspace, name="harbor DENTAL "))
    version = WorkflowVersion(
        agency_id=agency.id,
        workspace_id=workspace.id,
        workflow_id=workflow.id,
        number=1,
        snapshot={},
        published_at=clock.now,
    )
    taken(version)
    refused(copied(version))


@pytest.mark.both_databases
def test_a_present_member_is_there_once(workspace, clock):
    member = factories.make_member(workspace)

    refused(copied(member))
    with transaction():
        member.removed_at = clock.now
    taken(copied(member, removed_at=None))


@pytest.mark.both_databases
def test_a_slot_that_is_in_use_is_not_deleted(workflow):
    with pytest.raises(IntegrityError), transaction() as session:
        session.delete(session.get_one(Slot, workflow.slots[0].id))


@pytest.mark.parametrize(
    ("status", "live", "settled"),
    [
        (Status.QUEUED, True, False),
        (Status.PENDING, True, False),
        (Status.DECLINED, False, False),
        (Status.FULFILLED, False, True),
        (Status.REVOKED, False, True),
        (Status.CANCELLED, False, True),
    ],
)
def test_what_a_status_means(status, live, settled):
    assert (status.live, status.settled) == (live, settled)
    assert len(Status) == 6


def test_how_long_each_channel_lasts():
    assert (Channel.LINK.lifetime, Channel.PORTAL.lifetime) == (timedelta(days=7), timedelta(hours=4))


@pytest.mark.parametrize(
    ("health", "works"), [(Health.PENDING, True), (Health.ACTIVE, True), (Health.ERROR, False), (Health.REVOKED, False)]
)
def test_which_connections_a_workflow_can_count_on(workspace, health, works):
    assert factories.make_connection(workspace, health=health).works is works


@pytest.mark.parametrize("status", Status)
def test_only_a_pending_request_expires_at_the_very_second(workflow, owner, clock, status):
    (asked,) = factories.make_sent(workflow, owner)
    with transaction():
        asked.status = status
    ends = asked.bundle.expires_at

    assert not asked.is_expired(ends - timedelta(microseconds=1))
    assert asked.is_expired(ends) is (status is Status.PENDING)
    assert not ConnectionRequest(status=Status.PENDING, bundle=None).is_expired(ends)


def test_a_flow_keeps_neither_state_nor_cookie_nor_verifier_in_the_open():
    columns = {column.key: column.columns[0].type.python_type for column in Flow.__mapper__.column_attrs}

    assert {columns[name] for name in ("state_hash", "browser_hash", "session_hash", "verifier", "grant")} == {bytes}
    assert not {"state", "code", "code_verifier", "cookie", "token"} & columns.keys()


def test_names_are_compared_without_letter_case_and_outer_blanks(agency):
    workspace = factories.make_workspace(agency, " Straße ")

    assert workspace.name_key == "strasse"
    assert factories.make_connection(workspace, name="ǅ" * 100).name_key == ("ǅ" * 100).casefold()
    assert Workspace.__table__.c.name_key.type.length >= 3 * Workspace.__table__.c.name.type.length
    assert Node.__table__.c.label.type.length == 80

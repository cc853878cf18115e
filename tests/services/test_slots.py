"""Slots: who provides an account, which connection fills it, and what a change does to what is asked."""

import pytest
from sqlalchemy import select

from app.database import transaction
from app.errors import Conflict, NotFound, Refused
from app.extensions import db
from app.models import AuditEvent, Health, Slot, Source, Status
from app.services import connection_requests, nodes, slots
from app.services.slots import NeedsConfirmation
from app.tenancy import across_tenants
from tests import factories
from tests.support import shared_app
from tests.support.elsewhere import elsewhere
from tests.support.rows import rows_of
from tests.support.statements import counted

agency, app, config, stranger = shared_app.fixtures

SCOPES = ["chat:write", "channels:read"]


@pytest.fixture
def slot(workflow):
    return workflow.slots[0]


@pytest.fixture
def connection(workspace):
    return factories.make_connection(workspace, "slack", scopes=SCOPES)


def changes(slot, connection, owner):
    """Every act that takes the place of what is asked for a slot."""
    node = slot.nodes[0]
    return {
        "set_source": lambda **sure: slots.set_source(slot, Source.AGENCY, by=owner, **sure),
        "use_connection": lambda **sure: slots.use_connection(slot, connection.public_id, by=owner, **sure),
        "remove_node": lambda confirmed=False: nodes.remove(
            slot.workflow, node.public_id, confirmed=confirmed, by=owner
        ),
    }


@pytest.mark.both_databases
@pytest.mark.parametrize("sent", [False, True], ids=["queued", "pending"])
@pytest.mark.parametrize("act", ["set_source", "use_connection", "remove_node"])
def test_what_is_asked_for_a_slot_is_cancelled_by_a_change_once_confirmed(
    agency, workflow, slot, connection, owner, act, sent
):
    asked = factories.make_sent(workflow, owner)[0] if sent else factories.make_request(slot, owner)
    change, before = changes(slot, connection, owner)[act], rows_of(agency)

    with pytest.raises(NeedsConfirmation, match=f"This cancels the Slack request to {asked.recipient}"):
        change()
    assert rows_of(agency) == before
    change(confirmed=True)

    assert asked.status is Status.CANCELLED
    assert db.session.scalars(select(AuditEvent.subject).where(AuditEvent.type == "request.cancelled")).all() == [
        asked.public_id
    ]


@pytest.mark.parametrize("act", ["set_source", "use_connection", "remove_node"])
def test_a_change_needs_no_word_when_nothing_is_asked(agency, slot, connection, owner, act):
    changes(slot, connection, owner)[act]()


def test_set_source_to_the_same_changes_nothing(agency, slot, owner):
    factories.make_request(slot, owner)
    before = rows_of(agency)

    slots.set_source(slot, Source.CLIENT, by=owner)

    assert rows_of(agency) == before


def test_use_connection_fills_the_slot(slot, connection, owner):
    slots.use_connection(slot, connection.public_id, by=owner)

    assert (slot.connection_id, slot.source) == (connection.id, Source.CLIENT)


@pytest.mark.parametrize(
    "why", ["unknown", "another agency's", "another workspace's", "another app's", "broken", "revoked"]
)
def test_use_connection_knows_only_what_may_fill_the_slot(agency, workspace, slot, owner, stranger, why):
    foreign = shared_app.foreign_workspace(stranger)
    other = foreign if why == "another agency's" else factories.make_workspace(agency, "Cobalt")
    health = {"broken": Health.ERROR, "revoked": Health.REVOKED}.get(why, Health.ACTIVE)
    home = other if why in ("another agency's", "another workspace's") else workspace
    app_key = "hubspot" if why == "another app's" else "slack"
    with across_tenants("to know its id"):
        public_id = factories.make_connection(home, app_key, scopes=SCOPES, health=health).public_id

    with pytest.raises(NotFound):
        slots.use_connection(slot, "a" * 20 if why == "unknown" else public_id, by=owner)


def test_use_connection_takes_one_of_the_agencys_account(workspace, slot, owner):
    shared = factories.make_connection(workspace, "slack", scopes=SCOPES, workspace_id=None)

    slots.use_connection(slot, shared.public_id, by=owner)

    assert slot.connection_id == shared.id


def test_use_connection_refuses_one_that_lacks_permissions(workspace, slot, owner):
    narrow = factories.make_connection(workspace, "slack", scopes=SCOPES[:1])
    assert slots.covering(slot, slots.candidates([slot])) == []

    with pytest.raises(Refused, match="does not cover"):
        slots.use_connection(slot, narrow.public_id, by=owner)


def test_get_knows_the_workflows_own_slots_alone(workspace, workflow, slot, owner):
    other = factories.make_workflow(workspace, owner, ("slack", "find_user"), name="Another")

    assert slots.get(workflow, slot.public_id).id == slot.id
    with pytest.raises(NotFound):
        slots.get(other, slot.public_id)


def test_the_slot_goes_with_its_last_node_and_its_settled_requests_stay(agency, workflow, slot, owner):
    nodes.add(workflow, app_key="slack", action_key="find_user", by=owner)
    asked, slot_id, (first, _, second) = factories.make_request(slot, owner), slot.id, workflow.nodes

    nodes.remove(workflow, first.public_id, confirmed=False, by=owner)
    assert asked.status is Status.QUEUED
    nodes.remove(workflow, second.public_id, confirmed=True, by=owner)

    assert db.session.get(Slot, slot_id) is None
    db.session.refresh(asked)
    assert (asked.slot_id, asked.status) == (None, Status.CANCELLED)
    assert connection_requests.get(agency, asked.public_id).id == asked.id


def test_candidates_cost_one_statement(workspace, workflow, connection):
    everything = workflow.slots
    for each in everything:
        assert each.app_key
    with transaction(), counted() as seen:
        slots.candidates(everything)
    assert len([each for each in seen if "FROM connection" in each]) == 1
    assert slots.candidates([]) == []


@pytest.mark.both_databases
@pytest.mark.parametrize("act", ["set_source", "use_connection"])
def test_a_slot_that_somebody_removed_meanwhile_is_gone(slot, connection, owner, act):
    change = changes(slot, connection, owner)[act]
    elsewhere(
        lambda workflow, owner: nodes.remove(workflow, workflow.nodes[0].public_id, confirmed=True, by=owner),
        slot.workflow,
        owner,
    )

    with pytest.raises(Conflict, match="no longer there"):
        change()

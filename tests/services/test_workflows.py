"""Workflows: nodes in order, the slots that they share or not, and lists that cost the same however long."""

import pytest
from sqlalchemy import select

from app import clock as app_clock
from app.errors import Conflict, NotFound, Refused
from app.extensions import db
from app.models import AuditEvent, Node, Source, Status, Workflow
from app.services import board, node_views, slots, workflows, workspaces
from app.services.slots import NeedsConfirmation
from tests import factories
from tests.support import shared_app
from tests.support.elsewhere import at_once, elsewhere, outcomes
from tests.support.statements import counted

agency, app, config, stranger = shared_app.fixtures


def labels(workflow):
    db.session.expire_all()
    return [f"{node.app_key}.{node.action_key}" for node in workflow.nodes]


def add(workflow, owner, app_key="slack", action="find_user", **options):
    return workflows.add_node(workflow, app_key=app_key, action_key=action, by=owner, **options)


def test_nodes_of_one_app_share_a_slot_unless_told_otherwise(workflow, owner):
    shared, separate = add(workflow, owner), add(workflow, owner, separate=True)

    assert shared.slot_id == workflow.slots[0].id
    assert separate.slot_id not in {slot.id for slot in workflow.slots[:2]}
    assert labels(workflow) == [
        "slack.send_channel_message",
        "hubspot.create_contact",
        "slack.find_user",
        "slack.find_user",
    ]


@pytest.mark.parametrize(
    ("app_key", "action", "field"),
    [("nothing", "x", "app"), ("", "", "app"), ("slack", "nothing", "action"), ("slack", "", "action")],
)
def test_add_node_refuses_what_the_catalog_does_not_have(workflow, owner, app_key, action, field):
    with pytest.raises(Refused) as refused:
        add(workflow, owner, app_key, action)
    assert refused.value.field == field


def test_add_node_widens_what_is_asked(workflow, owner):
    asked = factories.make_sent(workflow, owner)[0]
    add(workflow, owner)

    assert set(board.scopes.required(asked)) - set(asked.sent_scopes) == {"users:read", "users:read.email"}
    assert board.scopes.changed_since_sent(asked)


def test_move_node_changes_places_with_its_neighbour(workflow, owner):
    third = add(workflow, owner)
    workflows.move_node(workflow, third.public_id, up=True, by=owner)
    assert labels(workflow) == ["slack.send_channel_message", "slack.find_user", "hubspot.create_contact"]

    workflows.move_node(workflow, workflow.nodes[0].public_id, up=True, by=owner)
    workflows.move_node(workflow, workflow.nodes[2].public_id, up=False, by=owner)
    assert labels(workflow) == ["slack.send_channel_message", "slack.find_user", "hubspot.create_contact"]
    assert [node.position for node in workflow.nodes] == [1, 2, 3]


def test_use_separate_account_and_back(workflow, owner):
    second = add(workflow, owner)
    workflows.use_separate_account(workflow, second.public_id, by=owner)
    assert len(workflow.slots) == 3
    with pytest.raises(Conflict):
        workflows.use_separate_account(workflow, second.public_id, by=owner)
    asked = factories.make_request(second.slot, owner)

    with pytest.raises(NeedsConfirmation):
        workflows.use_shared_account(workflow, second.public_id, confirmed=False, by=owner)
    workflows.use_shared_account(workflow, second.public_id, confirmed=True, by=owner)

    assert len(workflow.slots) == 2
    db.session.refresh(asked)
    assert (asked.status, asked.slot_id) == (Status.CANCELLED, None)
    with pytest.raises(Conflict):
        workflows.use_shared_account(workflow, second.public_id, confirmed=True, by=owner)


def test_a_workflow_has_so_many_nodes_at_most(workflow, owner, monkeypatch):
    monkeypatch.setattr(workflows, "MOST_NODES", 3)
    add(workflow, owner)

    with pytest.raises(Refused, match="at most 3 nodes"):
        add(workflow, owner)


def test_get_knows_no_workflow_of_another_workspace_or_agency(agency, workspace, workflow, stranger, owner):
    other = factories.make_workspace(agency, "Cobalt")
    foreign = shared_app.foreign_workspace(stranger)

    assert workflows.get(workspace, workflow.public_id).id == workflow.id
    for place in (other, foreign):
        with pytest.raises(NotFound):
            workflows.get(place, workflow.public_id)
    with pytest.raises(NotFound):
        workflows.node_of(factories.make_workflow(other, owner, ("slack", "find_user")), workflow.nodes[0].public_id)


def test_nothing_is_made_in_an_archived_workspace(agency, workspace, workflow, owner):
    workspaces.archive(agency, workspace.public_id, by=owner)

    with pytest.raises(Conflict, match="archived"):
        workflows.create(workspace, "Another", by=owner)
    with pytest.raises(Conflict, match="archived"):
        factories.make_request(workflow.slots[0], owner)


@pytest.mark.both_databases
def test_ten_nodes_added_at_once_share_one_slot(workspace, owner):
    workflow = workflows.create(workspace, "Busy", by=owner)
    db.session.commit()
    futures = at_once([lambda workflow, owner: add(workflow, owner).id] * 10, workflow, owner)

    assert not [kind for kind in outcomes(futures) if isinstance(kind, type) and not issubclass(kind, Conflict)]
    db.session.expire_all()
    assert len(workflow.slots) == 1
    assert [node.position for node in workflow.nodes] == list(range(1, len(workflow.nodes) + 1))
    assert len(workflow.nodes) == 10


def test_each_change_is_in_the_audit_trail(agency, workflow, owner):
    node = add(workflow, owner)
    workflows.rename(workflow, "Another name", by=owner)
    workflows.move_node(workflow, node.public_id, up=True, by=owner)
    workflows.use_separate_account(workflow, node.public_id, by=owner)
    workflows.use_shared_account(workflow, node.public_id, confirmed=False, by=owner)
    workflows.remove_node(workflow, node.public_id, confirmed=False, by=owner)

    acts = db.session.scalars(select(AuditEvent.type).where(AuditEvent.type.startswith("workflow."))).all()
    assert acts == [
        *("workflow.created", "workflow.node_added", "workflow.node_added", "workflow.node_added"),
        *("workflow.renamed", "workflow.node_moved", "workflow.account_separated", "workflow.account_shared"),
        "workflow.node_removed",
    ]
    assert len(db.session.scalars(select(Node)).all()) == 2


# ── What lists cost ─────────────────────────────────────────────────────────


def cost(read, *rows):
    """How many statements it takes a session that has read nothing yet."""
    with counted() as seen:
        elsewhere(read, *rows)
    return len(seen)


def grow(workspace, owner, names, steps):
    for name in names:
        workflow = factories.make_workflow(workspace, owner, *steps, name=name)
        for number, slot in enumerate(workflow.slots):
            factories.make_request(slot, owner, recipient=f"client{number}.{name}@harbordental.example")


STEPS = (("slack", "find_user"), ("hubspot", "create_deal"), ("typeform", "new_response"))


def test_progress_of_costs_one_statement_however_many(agency, workspace, owner):
    def progress(workspace):
        listed = db.session.scalars(db.select(Workflow).where(Workflow.workspace_id == workspace.id))
        return [each.label for each in workflows.progress_of(listed).values()]

    grow(workspace, owner, ["a"], STEPS)
    few = cost(progress, workspace)
    grow(workspace, owner, ["b", "c", "d", "e"], STEPS)

    assert cost(progress, workspace) == few
    assert progress(workspace) == ["Draft"] * 5


def test_a_workflow_and_its_panel_cost_the_same_however_many_nodes(agency, workspace, owner):
    def shown(name, count):
        workflow = workflows.create(workspace, name, by=owner)
        for _ in range(count):
            workflows.add_node(workflow, app_key="slack", action_key="find_user", separate=True, by=owner)
        for number, slot in enumerate(workflow.slots):
            slots.set_source(slot, Source.CLIENT, by=owner)
            factories.make_request(slot, owner, recipient=f"client{number}@harbordental.example")
        board.sending.send(workflow, by=owner)
        public_id = workflow.public_id

        def read(agency, workspace):
            found = workflows.get(workspace, public_id)
            at = app_clock.now()
            shown = node_views.view(found, agency, at=at)
            groups = board.view(found, at=at).groups
            assert (len(shown), len(groups)) == (count, count)

        return cost(read, agency, workspace)

    assert shown("few", 2) == shown("many", 12)

"""Workflows: whose they are, what is written down of them, and lists that cost the same however long."""

import pytest
from sqlalchemy import select

from app import clock as app_clock
from app.errors import Conflict, NotFound, Repeated
from app.extensions import db
from app.models import AuditEvent, Node, Source, Workflow
from app.services import board, node_views, nodes, sending, slots, workflows, workspaces
from tests import factories
from tests.support import shared_app
from tests.support.elsewhere import elsewhere
from tests.support.rows import rows_of
from tests.support.statements import counted

agency, app, config, stranger = shared_app.fixtures


def test_get_knows_no_workflow_of_another_workspace_or_agency(agency, workspace, workflow, stranger, owner):
    other = factories.make_workspace(agency, "Cobalt")
    foreign = shared_app.foreign_workspace(stranger)

    assert workflows.get(workspace, workflow.public_id).id == workflow.id
    for place in (other, foreign):
        with pytest.raises(NotFound):
            workflows.get(place, workflow.public_id)
    with pytest.raises(NotFound):
        nodes.get(factories.make_workflow(other, owner, ("slack", "find_user")), workflow.nodes[0].public_id)


def test_nothing_is_made_in_an_archived_workspace(agency, workspace, workflow, owner):
    workspaces.archive(agency, workspace.public_id, by=owner)

    with pytest.raises(Conflict, match="archived"):
        workflows.create(workspace, "Another", by=owner)
    with pytest.raises(Conflict, match="archived"):
        factories.make_request(workflow.slots[0], owner)


def test_each_change_is_in_the_audit_trail(agency, workflow, owner):
    node = nodes.add(workflow, app_key="slack", action_key="find_user", by=owner)
    workflows.rename(workflow, "Another name", by=owner)
    nodes.move(workflow, node.public_id, up=True, by=owner)
    nodes.use_separate_account(workflow, node.public_id, by=owner)
    nodes.use_shared_account(workflow, node.public_id, confirmed=False, by=owner)
    nodes.remove(workflow, node.public_id, confirmed=False, by=owner)

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
            nodes.add(workflow, app_key="slack", action_key="find_user", separate=True, by=owner)
        for number, slot in enumerate(workflow.slots):
            slots.set_source(slot, Source.CLIENT, by=owner)
            factories.make_request(slot, owner, recipient=f"client{number}@harbordental.example")
        sending.send(workflow, by=owner)
        public_id = workflow.public_id

        def read(agency, workspace):
            found = workflows.get(workspace, public_id)
            at = app_clock.now()
            shown = node_views.view(found, agency, at=at)
            groups = board.view(found, at=at).groups
            assert (len(shown), len(groups)) == (count, count)

        return cost(read, agency, workspace)

    assert shown("few", 2) == shown("many", 12)


@pytest.mark.parametrize("act", ["create", "add_node", "publish"])
def test_what_a_form_asked_for_is_done_once(workflow, owner, act):
    factories.make_sent(workflow, owner)
    acts = {
        "create": lambda: workflows.create(
            workflow.workspace, "Recall", by=owner, form=f"a mark of {workflow.public_id}"
        ),
        "add_node": lambda: nodes.add(
            workflow, app_key="slack", action_key="find_user", by=owner, form=f"a mark of {workflow.public_id}"
        ),
        "publish": lambda: workflows.publish(workflow, by=owner, form=f"a mark of {workflow.public_id}"),
    }
    acts[act]()
    before = rows_of(owner.agency)

    with pytest.raises(Repeated):
        acts[act]()

    assert rows_of(owner.agency) == before


def test_rename_to_the_same_name_is_no_act(workflow, owner):
    before = rows_of(owner.agency)

    workflows.rename(workflow, workflow.name, by=owner)

    assert rows_of(owner.agency) == before

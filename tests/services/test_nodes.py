"""Nodes: in their order, with slots that they share or not."""

import pytest

from app.errors import Conflict, Refused
from app.extensions import db
from app.models import Status
from app.services import nodes, scopes, workflows
from app.services.slots import NeedsConfirmation
from tests import factories
from tests.support import shared_app
from tests.support.elsewhere import at_once, outcomes

agency, app, config, stranger = shared_app.fixtures


def labels(workflow):
    db.session.expire_all()
    return [f"{node.app_key}.{node.action_key}" for node in workflow.nodes]


def add(workflow, owner, app_key="slack", action="find_user", **options):
    return nodes.add(workflow, app_key=app_key, action_key=action, by=owner, **options)


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
def test_add_refuses_what_the_catalog_does_not_have(workflow, owner, app_key, action, field):
    with pytest.raises(Refused) as refused:
        add(workflow, owner, app_key, action)
    assert refused.value.field == field


def test_add_widens_what_is_asked(workflow, owner):
    asked = factories.make_sent(workflow, owner)[0]
    add(workflow, owner)

    assert set(scopes.required(asked)) - set(asked.sent_scopes) == {"users:read", "users:read.email"}
    assert scopes.changed_since_sent(asked)


def test_move_changes_places_with_its_neighbour(workflow, owner):
    third = add(workflow, owner)
    nodes.move(workflow, third.public_id, up=True, by=owner)
    assert labels(workflow) == ["slack.send_channel_message", "slack.find_user", "hubspot.create_contact"]

    nodes.move(workflow, workflow.nodes[0].public_id, up=True, by=owner)
    nodes.move(workflow, workflow.nodes[2].public_id, up=False, by=owner)
    assert labels(workflow) == ["slack.send_channel_message", "slack.find_user", "hubspot.create_contact"]
    assert [node.position for node in workflow.nodes] == [1, 2, 3]


def test_move_leaves_a_node_that_moved_since_it_was_seen(workflow, owner):
    """Pressed twice, “Move down” moves by one."""
    first = workflow.nodes[0].public_id
    third = add(workflow, owner, "typeform", "new_response")

    for _ in range(2):
        nodes.move(workflow, first, up=False, seen_at=1, by=owner)

    db.session.expire_all()
    assert [node.public_id for node in workflow.nodes][1:] == [first, third.public_id]


def test_use_separate_account_and_back(workflow, owner):
    second = add(workflow, owner)
    nodes.use_separate_account(workflow, second.public_id, by=owner)
    assert len(workflow.slots) == 3
    with pytest.raises(Conflict):
        nodes.use_separate_account(workflow, second.public_id, by=owner)
    asked = factories.make_request(second.slot, owner)

    with pytest.raises(NeedsConfirmation):
        nodes.use_shared_account(workflow, second.public_id, confirmed=False, by=owner)
    nodes.use_shared_account(workflow, second.public_id, confirmed=True, by=owner)

    assert len(workflow.slots) == 2
    db.session.refresh(asked)
    assert (asked.status, asked.slot_id) == (Status.CANCELLED, None)
    with pytest.raises(Conflict):
        nodes.use_shared_account(workflow, second.public_id, confirmed=True, by=owner)


def test_a_workflow_has_so_many_nodes_at_most(workflow, owner, monkeypatch):
    monkeypatch.setattr(nodes, "MOST_NODES", 3)
    add(workflow, owner)

    with pytest.raises(Refused, match="at most 3 nodes"):
        add(workflow, owner)


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

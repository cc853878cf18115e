"""The nodes of a workflow: its steps in their order, each with the slot whose account it uses."""

from sqlalchemy.exc import IntegrityError

from app import clock, runtime
from app.database import transaction
from app.errors import Conflict, NotFound, Refused
from app.i18n import _
from app.models import Node, Staff, Workflow
from app.services import addresses, audit, bundles, counters, slots

MOST_NODES = 100


def add(
    workflow: Workflow,
    *,
    app_key: str,
    action_key: str,
    label: str = "",
    separate: bool = False,
    by: Staff,
    form: str = "",
) -> Node:
    """Append a step, one for each form; it shares its app's slot unless a separate account is wanted."""
    at = clock.now()
    catalog = runtime.current().catalog
    try:
        app = catalog.get(app_key)
    except NotFound:
        raise Refused(_("Choose an app from the list."), field="app") from None
    try:
        action = app.action(action_key)
    except NotFound:
        raise Refused(_("Choose what %(app)s is to do.", app=app.name), field="action") from None
    label = addresses.clean_name(label, field="label") if label.strip() else ""
    try:
        with transaction() as session:
            bundles.turn(workflow.workspace_id)
            counters.once(form, at=at)
            if len(workflow.nodes) >= MOST_NODES:
                raise Refused(_("A workflow has at most %(most)s nodes.", most=MOST_NODES))
            slot = slots.separate(workflow, app.key) if separate else slots.shared(workflow, app.key)
            node = Node(
                agency_id=workflow.agency_id,
                workspace_id=workflow.workspace_id,
                workflow_id=workflow.id,
                slot_id=slot.id,
                app_key=app.key,
                action_key=action.key,
                label=label,
                position=max((each.position for each in workflow.nodes), default=0) + 1,
            )
            session.add(node)
            session.flush()
            audit.record("workflow.node_added", workflow, by=by, at=at, app=app.key, action=action.key)
    except IntegrityError:
        raise Conflict(_("Somebody else changed this workflow just now. Try again.")) from None
    return node


def get(workflow: Workflow, public_id: str) -> Node:
    """The workflow's node of that id; NotFound."""
    for node in workflow.nodes:
        if node.public_id == public_id:
            return node
    raise NotFound


def move(workflow: Workflow, public_id: str, *, up: bool, seen_at: int | None = None, by: Staff) -> None:
    """Let a node change places with its neighbour; nothing happens at the end of the list, or if it moved since it was seen."""
    at = clock.now()
    with transaction():
        bundles.turn(workflow.workspace_id)
        nodes = list(workflow.nodes)
        here = nodes.index(get(workflow, public_id))
        there = here - 1 if up else here + 1
        is_as_seen = seen_at is None or seen_at == here + 1
        if is_as_seen and 0 <= there < len(nodes):
            nodes[here], nodes[there] = nodes[there], nodes[here]
            for position, node in enumerate(nodes, 1):
                node.position = position
            audit.record("workflow.node_moved", workflow, by=by, at=at, position=there + 1)


def remove(workflow: Workflow, public_id: str, *, confirmed: bool, by: Staff) -> None:
    """Take a step out; with the last one of its slot the slot goes, and what is asked for it is cancelled once confirmed."""
    at = clock.now()
    with transaction() as session:
        bundles.turn(workflow.workspace_id)
        node = get(workflow, public_id)
        slot = node.slot
        is_last = [each.id for each in slot.nodes] == [node.id]
        if is_last:
            slots.withdraw_request(slot, confirmed=confirmed, by=by, at=at)
        audit.record("workflow.node_removed", workflow, by=by, at=at, app=node.app_key, action=node.action_key)
        session.delete(node)
        session.flush()
        if is_last:
            slots.drop(slot)
        session.expire(workflow)


def use_separate_account(workflow: Workflow, public_id: str, *, by: Staff) -> None:
    """Give a node that shares its app's slot a slot of its own."""
    at = clock.now()
    with transaction() as session:
        bundles.turn(workflow.workspace_id)
        node = get(workflow, public_id)
        if len(node.slot.nodes) < 2:
            raise Conflict(_("This node has an account of its own already."))
        node.slot_id = slots.separate(workflow, node.app_key).id
        session.flush()
        session.expire_all()
        audit.record("workflow.account_separated", workflow, by=by, at=at, app=node.app_key)


def use_shared_account(workflow: Workflow, public_id: str, *, confirmed: bool, by: Staff) -> None:
    """Put a node with an account of its own back on its app's first slot."""
    at = clock.now()
    with transaction() as session:
        bundles.turn(workflow.workspace_id)
        node = get(workflow, public_id)
        old = node.slot
        target = next(slot for slot in workflow.slots if slot.app_key == node.app_key)
        if target.id == old.id:
            raise Conflict(_("This node shares its account already."))
        is_last = len(old.nodes) == 1
        if is_last:
            slots.withdraw_request(old, confirmed=confirmed, by=by, at=at)
        node.slot_id = target.id
        session.flush()
        if is_last:
            slots.drop(old)
        session.expire_all()
        audit.record("workflow.account_shared", workflow, by=by, at=at, app=node.app_key)

"""Workflows: ordered nodes, the slots they need, publishing, and the state that follows from the slots."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import case, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload, selectinload

from app import clock, runtime
from app.database import transaction
from app.errors import Conflict, NotFound, Refused
from app.extensions import db
from app.i18n import _, list_of, ngettext
from app.models import (
    Connection,
    ConnectionRequest,
    Health,
    Node,
    Slot,
    Staff,
    Status,
    Workflow,
    WorkflowVersion,
    Workspace,
)
from app.services import addresses, audit, bundles, scopes, sending, slots

MOST_NODES = 100


class State(StrEnum):
    """Derived, never stored."""

    DRAFT = "draft"
    WAITING = "waiting"
    READY = "ready"
    PAUSED = "paused"
    ARCHIVED = "archived"


@dataclass(frozen=True)
class Progress:
    """Where a workflow stands: its state, and how many of its slots have a working connection."""

    state: State
    connected: int
    total: int

    @property
    def label(self) -> str:
        """The state in words."""
        if self.state is State.WAITING:
            return _("Waiting on client (%(x)s of %(y)s connected)", x=self.connected, y=self.total)
        names = {State.READY: _("Ready"), State.PAUSED: _("Paused"), State.ARCHIVED: _("Archived")}
        return names.get(self.state, _("Draft"))


def get(workspace: Workspace, public_id: str) -> Workflow:
    """The workspace's workflow of that id with its nodes and slots; NotFound."""
    found = db.session.scalar(
        select(Workflow)
        .where(Workflow.workspace_id == workspace.id, Workflow.public_id == public_id)
        .options(
            joinedload(Workflow.workspace),
            selectinload(Workflow.nodes),
            selectinload(Workflow.slots).selectinload(Slot.nodes),
            selectinload(Workflow.slots).joinedload(Slot.connection),
        )
    )
    if found is None:
        raise NotFound
    return found


def progress_of(workflows: Iterable[Workflow]) -> dict[int, Progress]:
    """The progress of each workflow by its id, in one query however many there are."""
    listed = list(workflows)
    working = Connection.health.in_([Health.PENDING, Health.ACTIVE])
    rows = db.session.execute(
        select(
            Slot.workflow_id,
            func.count(Slot.id),
            func.coalesce(func.sum(case((working, 1), else_=0)), 0),
            func.coalesce(func.sum(case((Connection.id.is_not(None) & ~working, 1), else_=0)), 0),
        )
        .outerjoin(Connection, Connection.id == Slot.connection_id)
        .where(Slot.workflow_id.in_([workflow.id for workflow in listed]))
        .group_by(Slot.workflow_id)
    )
    counted = {row[0]: (row[1], int(row[2]), int(row[3])) for row in rows}
    return {each.id: _progress(each, *counted.get(each.id, (0, 0, 0))) for each in listed}


def _progress(workflow: Workflow, total: int, connected: int, broken: int) -> Progress:
    if workflow.archived_at:
        state = State.ARCHIVED
    elif not workflow.version:
        state = State.DRAFT
    elif broken:
        state = State.PAUSED
    else:
        state = State.READY if connected == total else State.WAITING
    return Progress(state, connected, total)


def create(workspace: Workspace, name: str, *, by: Staff) -> Workflow:
    """A new draft in the workspace."""
    at, name = clock.now(), addresses.clean_name(name)
    with transaction() as session:
        if workspace.archived_at:
            raise Conflict(_("This workspace is archived."))
        workflow = Workflow(
            agency_id=workspace.agency_id,
            workspace_id=workspace.id,
            name=name,
            created_at=at,
            created_by_id=by.id,
        )
        session.add(workflow)
        workspace.active_at = at
        session.flush()
        audit.record("workflow.created", workflow, by=by, at=at, name=name)
    return workflow


def rename(workflow: Workflow, name: str, *, by: Staff) -> None:
    """Give the workflow another name."""
    at, name = clock.now(), addresses.clean_name(name)
    with transaction():
        workflow.name = name
        audit.record("workflow.renamed", workflow, by=by, at=at, name=name)


def add_node(
    workflow: Workflow, *, app_key: str, action_key: str, label: str = "", separate: bool = False, by: Staff
) -> Node:
    """Append a step; it shares its app's slot unless a separate account is wanted."""
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
            bundles.lock(workflow.workspace_id)
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


def node_of(workflow: Workflow, public_id: str) -> Node:
    """The workflow's node of that id; NotFound."""
    for node in workflow.nodes:
        if node.public_id == public_id:
            return node
    raise NotFound


def move_node(workflow: Workflow, public_id: str, *, up: bool, by: Staff) -> None:
    """Let a node change places with its neighbour; at the end of the list nothing happens."""
    at = clock.now()
    with transaction():
        bundles.lock(workflow.workspace_id)
        nodes = list(workflow.nodes)
        here = nodes.index(node_of(workflow, public_id))
        there = here - 1 if up else here + 1
        if 0 <= there < len(nodes):
            nodes[here], nodes[there] = nodes[there], nodes[here]
            for position, node in enumerate(nodes, 1):
                node.position = position
            audit.record("workflow.node_moved", workflow, by=by, at=at, position=there + 1)


def remove_node(workflow: Workflow, public_id: str, *, confirmed: bool, by: Staff) -> None:
    """Take a step out; with the last one of its slot the slot goes, and what is asked for it is cancelled once confirmed."""
    at = clock.now()
    with transaction() as session:
        bundles.lock(workflow.workspace_id)
        node = node_of(workflow, public_id)
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
        bundles.lock(workflow.workspace_id)
        node = node_of(workflow, public_id)
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
        bundles.lock(workflow.workspace_id)
        node = node_of(workflow, public_id)
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


def unasked(workflow: Workflow) -> list[Slot]:
    """The slots that have neither a connection nor a queued or pending request: they stand in the way of publishing."""
    live = set(
        db.session.scalars(
            select(ConnectionRequest.slot_id).where(
                ConnectionRequest.workflow_id == workflow.id,
                ConnectionRequest.status.in_([Status.QUEUED, Status.PENDING]),
            )
        )
    )
    return [slot for slot in workflow.slots if not (slot.connection and slot.connection.works) and slot.id not in live]


def slot_name(slot: Slot) -> str:
    """The app's name, told apart where the workflow uses several accounts of it."""
    name = scopes.app_of(slot).name
    same = [each for each in slot.workflow.slots if each.app_key == slot.app_key]
    return name if len(same) < 2 else _("%(app)s (account %(number)s)", app=name, number=same.index(slot) + 1)


def publish(workflow: Workflow, *, by: Staff) -> sending.Sent:
    """Make the next numbered version and send what is queued, in one transaction; refused whole if anything is in the way."""
    at = clock.now()
    with transaction() as session:
        bundles.lock(workflow.workspace_id)
        session.refresh(workflow)
        if workflow.archived_at or workflow.workspace.archived_at:
            raise Conflict(_("This workflow is archived."))
        if not workflow.nodes:
            raise Refused(_("Add a node first: there is nothing to publish."))
        if empty := unasked(workflow):
            names = list_of(slot_name(slot) for slot in empty)
            raise Refused(
                ngettext(
                    "Can't be published yet: %(names)s has neither a connection nor a live request.",
                    "Can't be published yet: %(names)s have neither a connection nor a live request.",
                    len(empty),
                    names=names,
                )
            )
        sent = sending.send(workflow, by=by, all_or_nothing=True)
        workflow.version += 1
        workflow.published_at = at
        session.add(
            WorkflowVersion(
                agency_id=workflow.agency_id,
                workspace_id=workflow.workspace_id,
                workflow_id=workflow.id,
                number=workflow.version,
                snapshot=_snapshot(workflow),
                published_at=at,
                published_by_id=by.id,
            )
        )
        audit.record("workflow.published", workflow, by=by, at=at, version=workflow.version)
    return sent


def _snapshot(workflow: Workflow) -> dict[str, object]:
    return {
        "name": workflow.name,
        "nodes": [
            {"app": node.app_key, "action": node.action_key, "label": node.label, "slot": node.slot.public_id}
            for node in workflow.nodes
        ],
        "slots": [
            {
                "id": slot.public_id,
                "app": slot.app_key,
                "source": slot.source,
                "connection": slot.connection.public_id if slot.connection else None,
                "scopes": list(scopes.of_slot(slot)),
            }
            for slot in workflow.slots
        ],
    }

"""Workflows: their names, publishing, and the state that follows from their slots."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import joinedload, selectinload

from app import clock
from app.database import transaction
from app.errors import Conflict, NotFound, Refused
from app.extensions import db
from app.i18n import _, list_of, ngettext
from app.models import (
    Connection,
    ConnectionRequest,
    Health,
    Slot,
    Staff,
    Status,
    Workflow,
    WorkflowVersion,
    Workspace,
)
from app.services import addresses, audit, bundles, counters, mending_requests, scopes, sending

IS_LOST = Slot.lost_at.is_not(None) & Slot.connection_id.is_(None)  # what it had was deleted


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
            func.coalesce(func.sum(case((or_(Connection.id.is_not(None) & ~working, IS_LOST), 1), else_=0)), 0),
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


def create(workspace: Workspace, name: str, *, by: Staff, form: str = "") -> Workflow:
    """A new draft in the workspace, one for each form that asks for it."""
    at, name = clock.now(), addresses.clean_name(name)
    with transaction() as session:
        counters.once(form, at=at)
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
        bundles.turn(workflow.workspace_id)
        if workflow.name != name:
            workflow.name = name
            audit.record("workflow.renamed", workflow, by=by, at=at, name=name)


def unasked(workflow: Workflow) -> list[Slot]:
    """The slots that have neither a connection nor a queued or pending request: they stand in the way of publishing.

    A request that the slot's own connection be mended will do.
    """
    empty = [slot for slot in workflow.slots if not (slot.connection and slot.connection.works)]
    mended = mending_requests.standing({slot.connection_id for slot in empty if slot.connection_id})
    live = set(
        db.session.scalars(
            select(ConnectionRequest.slot_id).where(
                ConnectionRequest.workflow_id == workflow.id,
                ConnectionRequest.status.in_([Status.QUEUED, Status.PENDING]),
            )
        )
    )
    to_mend = {key for key, asked in mended.items() if asked.status.live}
    return [slot for slot in empty if slot.id not in live and slot.connection_id not in to_mend]


def slot_name(slot: Slot) -> str:
    """The app's name, told apart where the workflow uses several accounts of it."""
    name = scopes.app_of(slot).name
    same = [each for each in slot.workflow.slots if each.app_key == slot.app_key]
    return name if len(same) < 2 else _("%(app)s (account %(number)s)", app=name, number=same.index(slot) + 1)


def publish(workflow: Workflow, *, by: Staff, form: str = "") -> sending.Sent:
    """Make the next numbered version and send what is queued, in one transaction; refused whole if anything is in the way."""
    at = clock.now()
    with transaction() as session:
        bundles.turn(workflow.workspace_id)
        counters.once(form, at=at)
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
        # point: publish.sent
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
        # point: publish.written
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

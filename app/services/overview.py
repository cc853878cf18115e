"""How far each client is: what the home page says of a workspace."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from app.extensions import db
from app.models import Agency, ConnectionRequest, Status, Workflow, Workspace
from app.services import workflows
from app.services.workflows import Progress, State


@dataclass(frozen=True)
class Standing:
    """A workspace's workflows taken together, and how many people are still to answer."""

    workspace: Workspace
    state: State
    connected: int
    total: int
    workflows: int
    waiting_on: int


@dataclass(frozen=True)
class Awaited:
    """How many apps are still asked for, of how many clients."""

    apps: int
    clients: int


def of(workspaces: Sequence[Workspace]) -> list[Standing]:
    """How these stand; the same few queries however many."""
    ids = [each.id for each in workspaces]
    found = db.session.scalars(
        select(Workflow).where(Workflow.workspace_id.in_(ids), Workflow.archived_at.is_(None))
    ).all()
    progress = workflows.progress_of(found)
    theirs: dict[int, list[Progress]] = defaultdict(list)
    for workflow in found:
        theirs[workflow.workspace_id].append(progress[workflow.id])
    people = _people(ids)
    return [_standing(each, theirs[each.id], people.get(each.id, 0)) for each in workspaces]


def count(agency: Agency) -> int:
    """How many workspaces are in work."""
    found = select(func.count()).select_from(Workspace)
    return db.session.scalar(found.where(Workspace.agency_id == agency.id, Workspace.archived_at.is_(None))) or 0


def awaited(agency: Agency) -> Awaited:
    """What clients of the agency have yet to connect; archived ones are left in peace."""
    asked, clients = ConnectionRequest, func.count(func.distinct(ConnectionRequest.workspace_id))
    row = db.session.execute(
        select(func.count(), clients)
        .join(Workspace, Workspace.id == asked.workspace_id)
        .where(asked.agency_id == agency.id, asked.status == Status.PENDING, Workspace.archived_at.is_(None))
    ).one()
    return Awaited(row[0], row[1])


def _people(ids: Sequence[int]) -> dict[int, int]:
    rows = db.session.execute(
        select(ConnectionRequest.workspace_id, func.count(func.distinct(ConnectionRequest.recipient)))
        .where(ConnectionRequest.workspace_id.in_(ids), ConnectionRequest.status == Status.PENDING)
        .group_by(ConnectionRequest.workspace_id)
    )
    return {row[0]: row[1] for row in rows}


def _standing(workspace: Workspace, progress: Sequence[Progress], people: int) -> Standing:
    states = {each.state for each in progress}
    worst = next((each for each in (State.PAUSED, State.WAITING, State.READY) if each in states), State.DRAFT)
    return Standing(
        workspace,
        worst,
        sum(each.connected for each in progress),
        sum(each.total for each in progress),
        len(progress),
        people,
    )

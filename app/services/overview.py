"""How far each client is: what the lists of workspaces, and of a workspace's workflows, say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Subquery, case, func, or_, select

from app.extensions import db
from app.models import Agency, Connection, ConnectionRequest, Health, Slot, Status, Workflow, Workspace
from app.services import badges, paging, workflows
from app.services.badges import Badge
from app.services.paging import Page
from app.services.workflows import IS_LOST, Progress, State

WORST_LAST = (State.DRAFT, State.READY, State.WAITING, State.PAUSED)


@dataclass(frozen=True)
class Standing:
    """A workspace's workflows taken together, and how many people are still to answer."""

    workspace: Workspace
    state: State
    connected: int
    total: int
    workflows: int
    waiting_on: int

    @property
    def badge(self) -> Badge:
        """The state as it is shown."""
        return badges.of_state(self.state)


@dataclass(frozen=True)
class WorkflowStanding:
    """One workflow, and how far it is."""

    workflow: Workflow
    progress: Progress

    @property
    def badge(self) -> Badge:
        """The state as it is shown."""
        return badges.of_state(self.progress.state)


@dataclass(frozen=True)
class Awaited:
    """How many apps are still asked for, of how many clients."""

    apps: int
    clients: int


def of(workspaces: Sequence[Workspace]) -> list[Standing]:
    """How these stand: the same two statements however many, and a row for each."""
    ids = [each.id for each in workspaces]
    found, people = _together(ids), _people(ids)
    return [_standing(each, found.get(each.id), people.get(each.id, 0)) for each in workspaces]


def workflows_of(
    workspace: Workspace, *, after: str | None = None, before: str | None = None
) -> Page[WorkflowStanding]:
    """One page of the workspace's workflows, the newest first."""
    found = select(Workflow).where(Workflow.workspace_id == workspace.id, Workflow.archived_at.is_(None))
    page = paging.page(found, Workflow.created_at, after=after, before=before)
    progress = workflows.progress_of(page.items)
    return Page([WorkflowStanding(each, progress[each.id]) for each in page.items], page.newer, page.older)


def count(agency: Agency) -> int:
    """How many workspaces are in work."""
    found = select(func.count()).select_from(Workspace)
    return db.session.scalar(found.where(Workspace.agency_id == agency.id, Workspace.archived_at.is_(None))) or 0


def awaited(agency: Agency) -> Awaited:
    """What clients of the agency have yet to connect; archived ones are left in peace."""
    asked = ConnectionRequest
    of_each = (
        select(asked.workspace_id, func.count().label("apps"))
        .where(asked.agency_id == agency.id, asked.status == Status.PENDING)
        .group_by(asked.workspace_id)
        .subquery()
    )
    row = db.session.execute(
        select(func.coalesce(func.sum(of_each.c.apps), 0), func.count(Workspace.id))
        .join(of_each, of_each.c.workspace_id == Workspace.id)
        .where(Workspace.archived_at.is_(None))
    ).one()
    return Awaited(int(row[0]), row[1])


def _together(ids: Sequence[int]) -> dict[int, Any]:
    each = _each_workflow(ids)
    rank = case(
        (each.c.version == 0, WORST_LAST.index(State.DRAFT)),
        (each.c.made > each.c.connected, WORST_LAST.index(State.PAUSED)),
        (each.c.total > each.c.connected, WORST_LAST.index(State.WAITING)),
        else_=WORST_LAST.index(State.READY),
    )
    rows = db.session.execute(
        select(
            each.c.workspace_id,
            func.max(rank).label("worst"),
            func.sum(each.c.connected).label("connected"),
            func.sum(each.c.total).label("total"),
            func.count().label("workflows"),
        ).group_by(each.c.workspace_id)
    )
    return {row.workspace_id: row for row in rows}


def _each_workflow(ids: Sequence[int]) -> Subquery:
    """What `workflows.progress_of` finds out of each, left in the database."""
    works = case((Connection.health.in_([Health.PENDING, Health.ACTIVE]), 1))
    return (
        select(
            Workflow.workspace_id,
            Workflow.version,
            func.count(Slot.id).label("total"),
            func.count(case((or_(Connection.id.is_not(None), IS_LOST), 1))).label("made"),
            func.count(works).label("connected"),
        )
        .outerjoin(Slot, Slot.workflow_id == Workflow.id)
        .outerjoin(Connection, Connection.id == Slot.connection_id)
        .where(Workflow.workspace_id.in_(ids), Workflow.archived_at.is_(None))
        .group_by(Workflow.id, Workflow.workspace_id, Workflow.version)
        .subquery()
    )


def _people(ids: Sequence[int]) -> dict[int, int]:
    rows = db.session.execute(
        select(ConnectionRequest.workspace_id, func.count(func.distinct(ConnectionRequest.recipient)))
        .where(ConnectionRequest.workspace_id.in_(ids), ConnectionRequest.status == Status.PENDING)
        .group_by(ConnectionRequest.workspace_id)
    )
    return {row[0]: row[1] for row in rows}


def _standing(workspace: Workspace, row: Any, people: int) -> Standing:
    if row is None:
        return Standing(workspace, State.DRAFT, 0, 0, 0, people)
    return Standing(workspace, WORST_LAST[row.worst], int(row.connected), int(row.total), row.workflows, people)

"""Who may enter the portal, and where: a workspace's present members, and whoever owns a connection there, or did lately."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select
from sqlalchemy.orm import aliased

from app import clock
from app.extensions import db
from app.models import Agency, Connection, Member, Workflow, Workspace
from app.services import paging
from app.services.paging import Page
from app.tenancy import across_tenants

TOLD_FOR = timedelta(days=30)  # how long after it was deleted a connection stays in its owner's activity


def membership(workspace_id: Any, email: Any) -> ColumnElement[bool]:
    """Whether the address is a present member of the workspace, as a condition."""
    member = aliased(Member)
    return exists(
        select(member.id).where(member.workspace_id == workspace_id, member.email == email, member.removed_at.is_(None))
    )


def told_of(connection: Any, since: Any) -> ColumnElement[bool]:
    """Whether a connection's owner is told of it, as a condition: while it is there, and for so long after it was deleted.

    `since` is what `told_since` says, or a parameter that will be.
    """
    return or_(connection.deleted_at.is_(None), connection.deleted_at > since)


def told_since(at: datetime) -> datetime:
    """What was deleted before is told to nobody any more."""
    return at - TOLD_FOR


def ownership(workspace_id: Any, email: Any, since: Any) -> ColumnElement[bool]:
    """Whether the address has something to read in the workspace that it owns, as a condition; `since` as for `told_of`."""
    connection = aliased(Connection)
    return exists(
        select(connection.id).where(
            connection.workspace_id == workspace_id,
            connection.owner_email == email,
            connection.owner_left_at.is_(None),
            told_of(connection, since),
        )
    )


def of_address(email: Any) -> Select[int]:
    """The ids of all workspaces that an address may enter."""
    member, connection = aliased(Member), aliased(Connection)
    owned = select(connection.workspace_id).where(
        connection.owner_email == email,
        connection.workspace_id.is_not(None),
        connection.owner_left_at.is_(None),
        told_of(connection, told_since(clock.now())),
    )
    joined = select(member.workspace_id).where(member.email == email, member.removed_at.is_(None))
    place = aliased(Workspace)
    return select(place.id).where(or_(place.id.in_(joined), place.id.in_(owned)))


def within(agency_id: int | None) -> ColumnElement[bool]:
    """That a place is of the agency that a sign-in is confined to; of any where there is none."""
    return and_(True) if agency_id is None else Workspace.agency_id == agency_id


@dataclass(frozen=True)
class Place:
    """A workspace that somebody may enter, and whose client it is."""

    public_id: str
    name: str
    agency: str


def page(email: str, agency_id: int | None, *, after: str | None = None, before: str | None = None) -> Page[Place]:
    """The workspaces that somebody may enter, newest first."""
    with across_tenants("one address may be a client of several agencies"):
        found = select(Workspace).where(Workspace.id.in_(of_address(email)), within(agency_id))
        listed = paging.page(found, Workspace.created_at, after=after, before=before)
        ids = {each.agency_id for each in listed.items}
        names = {
            row.id: row.name for row in db.session.execute(select(Agency.id, Agency.name).where(Agency.id.in_(ids)))
        }
        places = [Place(each.public_id, each.name, names[each.agency_id]) for each in listed.items]
    return Page(places, listed.newer, listed.older)


def few(email: str, agency_id: int | None) -> list[tuple[int, str]]:
    """Up to two of the workspaces that somebody may enter, as (id, public id): enough to know whether there is a choice."""
    with across_tenants("one address may be a client of several agencies"):
        found = select(Workspace.id, Workspace.public_id).where(Workspace.id.in_(of_address(email)), within(agency_id))
        return [(row.id, row.public_id) for row in db.session.execute(found.order_by(Workspace.id).limit(2))]


def of_workflow(email: str, agency_id: int | None, workflow_id: str) -> str | None:
    """The public id of the workspace that a workflow is of, if somebody may enter it."""
    with across_tenants("one address may be a client of several agencies"):
        return db.session.scalar(
            select(Workspace.public_id)
            .join(Workflow, Workflow.workspace_id == Workspace.id)
            .where(Workflow.public_id == workflow_id, Workspace.id.in_(of_address(email)), within(agency_id))
        )

"""The expiry forecast: connections that work today, and whose provider is known to end their access soon."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, or_, select

from app.catalog.schema import App
from app.extensions import db
from app.models import Agency, Connection, ConnectionRequest, Health, Workflow, Workspace
from app.services import mending_requests, paging, scopes, usage
from app.services.paging import Page

AHEAD = timedelta(days=14)
SAME = timedelta(hours=1)  # between the two times that a refresh is known by


@dataclass(frozen=True)
class Ending:
    """A connection that ends soon, and what is asked of its owner already."""

    connection: Connection
    app: App
    workspace: Workspace | None
    ends_at: datetime
    workflows: Sequence[Workflow]
    asked: ConnectionRequest | None

    @property
    def may_ask(self) -> bool:
        """Whether its owner can be asked to approve it anew."""
        return mending_requests.may_ask(self.connection, self.workflows, self.asked)

    @property
    def lives_by_use(self) -> bool:
        """Whether it ends only if nobody uses it until then."""
        return lives_by_use(self.connection)


def ends_soon(at: datetime) -> ColumnElement[bool]:
    """Whether a connection works, is known to end within two weeks, and is of no workspace that was put away."""
    works = or_(*(Connection.health == health for health in (Health.PENDING, Health.ACTIVE)))
    soon = Connection.grant_ends_at <= at + AHEAD
    away = exists().where(Workspace.id == Connection.workspace_id, Workspace.archived_at.is_not(None))
    return Connection.grant_ends_at.is_not(None) & soon & works & Connection.deleted_at.is_(None) & ~away


def end_of(connection: Connection, *, at: datetime) -> datetime | None:
    """When it ends, if that is soon."""
    ends_at = connection.grant_ends_at
    return ends_at if ends_at and connection.works and ends_at <= at + AHEAD else None


def lives_by_use(connection: Connection) -> bool:
    """Whether the end that is known of it is that of lying idle, which each use or refresh puts off."""
    ways, ends_at = scopes.app_of(connection).oauth2, connection.grant_ends_at
    if ways is None or not ways.unused_lifetime_days or not connection.refreshable or not connection.token_at:
        return False
    idle_until = connection.token_at + timedelta(days=ways.unused_lifetime_days)
    return ends_at is not None and abs(ends_at - idle_until) < SAME


def ending(agency: Agency, *, at: datetime) -> Select[Connection]:
    """The agency's connections that end soon."""
    return select(Connection).where(Connection.agency_id == agency.id, ends_soon(at))


def page(
    agency: Agency, *, at: datetime, after: str | None = None, before: str | None = None, size: int | None = None
) -> Page[Ending]:
    """One page of them, those that end first on top; the same few statements however many."""
    where: dict[str, Any] = {"after": after, "before": before, "size": size}
    found = paging.page(ending(agency, at=at), Connection.grant_ends_at, earliest_first=True, **where)
    return Page(_rows(found.items), found.newer, found.older)


def _rows(rows: Sequence[Connection]) -> list[Ending]:
    homes = {each.workspace_id for each in rows if each.workspace_id}
    places = {each.id: each for each in db.session.scalars(select(Workspace).where(Workspace.id.in_(homes)))}
    using = usage.workflows_using([each.id for each in rows])
    asked = mending_requests.standing([each.id for each in rows])
    return [
        Ending(
            each,
            scopes.app_of(each),
            places.get(each.workspace_id or 0),
            each.grant_ends_at,
            using.get(each.id, ()),
            asked.get(each.id),
        )
        for each in rows
        if each.grant_ends_at
    ]

"""The expiry forecast: connections that work today, and whose provider is known to end their access soon."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, or_, select

from app.catalog.schema import App
from app.extensions import db
from app.models import Agency, Connection, ConnectionRequest, Health, Workspace
from app.services import mending_requests, paging, scopes
from app.services.paging import Page

AHEAD = timedelta(days=14)


@dataclass(frozen=True)
class Ending:
    """A connection that ends soon, and what is asked of its owner already."""

    connection: Connection
    app: App
    workspace: Workspace | None
    ends_at: datetime
    asked: ConnectionRequest | None

    @property
    def may_ask(self) -> bool:
        """Whether its owner is a client who can be asked, and is not yet."""
        return self.connection.is_clients and not (self.asked and self.asked.status.live)


def ends_soon(at: datetime) -> ColumnElement[bool]:
    """Whether a connection works, and is known to end within two weeks."""
    works = or_(*(Connection.health == health for health in (Health.PENDING, Health.ACTIVE)))
    soon = Connection.grant_ends_at <= at + AHEAD
    return Connection.grant_ends_at.is_not(None) & soon & works & Connection.deleted_at.is_(None)


def end_of(connection: Connection, *, at: datetime) -> datetime | None:
    """When it ends, if that is soon."""
    ends_at = connection.grant_ends_at
    return ends_at if ends_at and connection.works and ends_at <= at + AHEAD else None


def ending(agency: Agency, *, at: datetime) -> Select[Connection]:
    """The agency's connections that end soon."""
    return select(Connection).where(Connection.agency_id == agency.id, ends_soon(at))


def page(
    agency: Agency, *, at: datetime, after: str | None = None, before: str | None = None, size: int | None = None
) -> Page[Ending]:
    """One page of them, those made last first; the same few statements however many."""
    found = paging.page(ending(agency, at=at), Connection.id, after=after, before=before, size=size)
    return Page(_rows(found.items), found.newer, found.older)


def _rows(rows: Sequence[Connection]) -> list[Ending]:
    homes = {each.workspace_id for each in rows if each.workspace_id}
    places = {each.id: each for each in db.session.scalars(select(Workspace).where(Workspace.id.in_(homes)))}
    asked = mending_requests.standing([each.id for each in rows])
    return [
        Ending(each, scopes.app_of(each), places.get(each.workspace_id or 0), each.grant_ends_at, asked.get(each.id))
        for each in rows
        if each.grant_ends_at
    ]

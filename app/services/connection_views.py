"""Connections as the panel lists and shows them: whose each is, how it stands, where it is used, when it ends."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, false, func, or_, select

from app.catalog.schema import App
from app.extensions import db
from app.models import Agency, Connection, ConnectionRequest, Health, Workflow, Workspace
from app.services import (
    badges,
    connections,
    forecasts,
    fulfilment,
    mending_requests,
    paging,
    revocations,
    scopes,
    usage,
)
from app.services.badges import Badge
from app.services.paging import Page
from app.services.revocations import Words
from app.services.scopes import Permission

AGENCY, CLIENTS, ENDING = "agency", "clients", "ending"
MOST_OFFERED = 500


@dataclass(frozen=True)
class Filters:
    """What of the list is wanted; what is empty narrows nothing, and what is unknown finds nothing.

    `workspace` is an id, or “agency” for those of its account; `status` a health, or “ending”; `owner` “agency”,
    “clients” or an address.
    """

    search: str = ""
    workspace: str = ""
    app: str = ""
    status: str = ""
    owner: str = ""

    def __bool__(self) -> bool:
        return any(asdict(self).values())


@dataclass(frozen=True)
class ConnectionView:
    """One connection with what is around it; `expected` is the account that was asked for, where its owner kept another."""

    connection: Connection
    app: App
    workspace: Workspace | None
    badge: Badge
    cause: str
    words: Words | None
    workflows: Sequence[Workflow]
    ends_at: datetime | None
    asked: ConnectionRequest | None
    asked_badge: Badge | None
    expected: str = ""

    @property
    def is_asked(self) -> bool:
        """Whether its owner is asked to approve it anew."""
        return self.asked is not None and self.asked.status.live

    @property
    def may_ask(self) -> bool:
        """Whether its owner can be asked to."""
        return mending_requests.may_ask(self.connection, self.workflows, self.asked)

    @property
    def needs_asking(self) -> bool:
        """Whether that is called for: it broke, or ends soon."""
        return self.may_ask and (self.connection.health is Health.ERROR or self.ends_at is not None)

    @property
    def lives_by_use(self) -> bool:
        """Whether it ends only if nobody uses it until then."""
        return forecasts.lives_by_use(self.connection)

    @property
    def permissions(self) -> list[Permission]:
        """What was granted, in the catalog's order."""
        return scopes.granted(self.app, self.connection.scopes)


@dataclass(frozen=True)
class Options:
    """What there is to choose from in the filters; not `are_all`: there are more workspaces, which are searched for by name."""

    workspaces: Sequence[Workspace]
    apps: Sequence[App]
    are_all: bool = True


def page(
    agency: Agency, filters: Filters, *, at: datetime, after: str | None = None, before: str | None = None
) -> Page[ConnectionView]:
    """One page of the agency's connections, those made last first, or that end first; the same few statements however many."""
    ends = filters.status == ENDING
    moment: Any = Connection.grant_ends_at if ends else Connection.id
    found = paging.page(_wanted(agency, filters, at=at), moment, after=after, before=before, earliest_first=ends)
    return Page(_views(found.items, at=at), found.newer, found.older)


def get(agency: Agency, public_id: str, *, at: datetime) -> ConnectionView:
    """The agency's connection of that id; NotFound."""
    return _views([connections.get(agency, public_id)], at=at)[0]


def options(agency: Agency) -> Options:
    """The workspaces in work, by name, and the apps of which there is a connection."""
    workspaces = db.session.scalars(
        select(Workspace)
        .where(Workspace.agency_id == agency.id, Workspace.archived_at.is_(None))
        .order_by(func.lower(Workspace.name), Workspace.id)
        .limit(MOST_OFFERED + 1)
    ).all()
    keys = db.session.execute(
        select(Connection.app_key).where(Connection.agency_id == agency.id, Connection.deleted_at.is_(None)).distinct()
    )
    apps = sorted(map(scopes.app_of, keys), key=lambda app: app.name.casefold())
    return Options(workspaces[:MOST_OFFERED], apps, are_all=len(workspaces) <= MOST_OFFERED)


def _wanted(agency: Agency, filters: Filters, *, at: datetime) -> Select[Connection]:
    found = select(Connection).where(Connection.agency_id == agency.id, Connection.deleted_at.is_(None))
    if filters.workspace:
        found = found.where(_in_workspace(agency, filters.workspace))
    if filters.app:
        found = found.where(Connection.app_key == filters.app)
    if filters.status:
        found = found.where(_of_status(filters.status, at=at))
    if filters.owner:
        found = found.where(_owned_by(filters.owner))
    if filters.search:
        places = (Connection.name, Connection.account, Connection.owner_email)
        named = select(Workspace.id).where(
            Workspace.agency_id == agency.id, Workspace.name.icontains(filters.search, autoescape=True)
        )
        fits = [place.icontains(filters.search, autoescape=True) for place in places]
        found = found.where(or_(*fits, Connection.workspace_id.in_(named)))
    return found


def _in_workspace(agency: Agency, public_id: str) -> ColumnElement[bool]:
    if public_id == AGENCY:
        return Connection.workspace_id.is_(None)
    its_id = select(Workspace.id).where(Workspace.agency_id == agency.id, Workspace.public_id == public_id)
    return Connection.workspace_id == its_id.scalar_subquery()


def _of_status(status: str, *, at: datetime) -> ColumnElement[bool]:
    if status == ENDING:
        return forecasts.ends_soon(at)
    return Connection.health == Health(status) if status in set(Health) else false()


def _owned_by(owner: str) -> ColumnElement[bool]:
    if owner in (AGENCY, CLIENTS):
        return Connection.owner_email.is_(None) if owner == AGENCY else Connection.owner_email.is_not(None)
    return Connection.owner_email == owner.lower()


def _views(rows: Sequence[Connection], *, at: datetime) -> list[ConnectionView]:
    homes = {each.workspace_id for each in rows if each.workspace_id}
    places = {each.id: each for each in db.session.scalars(select(Workspace).where(Workspace.id.in_(homes)))}
    using = usage.workflows_using([each.id for each in rows])
    asked = mending_requests.standing([each.id for each in rows])
    others = fulfilment.kept_others([each.id for each in rows])
    return [
        replace(
            _view(each, places.get(each.workspace_id or 0), using.get(each.id, ()), asked.get(each.id), at=at),
            expected=others.get(each.id, ""),
        )
        for each in rows
    ]


def _view(
    connection: Connection,
    workspace: Workspace | None,
    workflows: Sequence[Workflow],
    asked: ConnectionRequest | None,
    *,
    at: datetime,
) -> ConnectionView:
    return ConnectionView(
        connection,
        scopes.app_of(connection),
        workspace,
        badges.of_health(connection),
        connections.why_broken(connection) if connection.health is Health.ERROR else "",
        revocations.words(connection),
        workflows,
        forecasts.end_of(connection, at=at),
        asked,
        badges.of_request(asked, at=at) if asked else None,
    )

"""Connections that need to be reauthorized: why, what waits for them, and what every page says of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select

from app.catalog.schema import App
from app.extensions import db
from app.i18n import list_of, ngettext
from app.models import Agency, Connection, ConnectionRequest, Health, Workflow, Workspace
from app.services import connections, mending_requests, paging, scopes, usage
from app.services.paging import Page

NAMED = 5  # of them on every page


@dataclass(frozen=True)
class Broken:
    """A connection that needs to be reauthorized, why, and the workflows that wait for it."""

    connection: Connection
    app: App
    workspace: Workspace | None
    reason: str
    workflows: Sequence[Workflow]
    asked: ConnectionRequest | None = None

    @property
    def may_ask(self) -> bool:
        """Whether its owner can be asked to mend it."""
        return mending_requests.may_ask(self.connection, self.workflows, self.asked)

    @property
    def paused(self) -> str:
        """Which workflows stand still because of it."""
        names = [each.name for each in self.workflows if each.version]
        if not names:
            return ""
        return ngettext("%(names)s is paused.", "%(names)s are paused.", len(names), names=list_of(names))


@dataclass(frozen=True)
class Named:
    """A connection by what a link to it says; no place means the agency's account."""

    public_id: str
    app: App
    place: str | None


@dataclass(frozen=True)
class Banner:
    """How many connections need to be reauthorized, and the first few of them."""

    count: int
    first: Sequence[Named]


def waiting(agency: Agency) -> Select[Connection]:
    """All of them."""
    return select(Connection).where(Connection.agency_id == agency.id, Connection.health == Health.ERROR)


def banner(agency: Agency, count: int) -> Banner | None:
    """What to say of them on every page; one statement, and none where there is nothing, as `count` says."""
    if not count:
        return None
    rows = db.session.execute(
        waiting(agency)
        .outerjoin(Workspace, Workspace.id == Connection.workspace_id)
        .with_only_columns(Connection.public_id, Connection.app_key, Workspace.name)
        .order_by(Connection.updated_at.desc(), Connection.id.desc())
        .limit(NAMED)
    )
    return Banner(count, [Named(row.public_id, scopes.app_of(row), row.name) for row in rows])


def page(agency: Agency, **where: Any) -> Page[Broken]:
    """One page of them, those that broke last first; `where` as for `paging.page`."""
    found = paging.page(waiting(agency), Connection.updated_at, **where)
    return Page(_shown(found.items), found.newer, found.older)


def _shown(rows: Sequence[Connection]) -> list[Broken]:
    workflows = usage.workflows_using([each.id for each in rows])
    asked = mending_requests.standing([each.id for each in rows])
    homes = {each.workspace_id for each in rows if each.workspace_id}
    places = {each.id: each for each in db.session.scalars(select(Workspace).where(Workspace.id.in_(homes)))}
    return [
        Broken(
            each,
            scopes.app_of(each),
            places.get(each.workspace_id or 0),
            connections.why_broken(each),
            workflows.get(each.id, ()),
            asked.get(each.id),
        )
        for each in rows
    ]

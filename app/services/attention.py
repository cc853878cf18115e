"""What needs somebody of the agency: connections that broke, requests that are stuck, mail that did not arrive."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.orm import contains_eager, joinedload

from app import clock, runtime
from app.catalog.schema import App
from app.extensions import db
from app.i18n import _, list_of
from app.models import (
    Agency,
    Bundle,
    Connection,
    ConnectionRequest,
    Health,
    Notice,
    Slot,
    Status,
    Workflow,
    Workspace,
)
from app.services import badges, deliveries, paging, scopes, sending
from app.services.badges import Badge
from app.services.deliveries import Delivery
from app.services.paging import Page

FEW = 5  # of each kind on the home page
MOST_MAILS = 50


@dataclass(frozen=True)
class Broken:
    """A connection that needs to be reauthorized, why, and the workflows that wait for it."""

    connection: Connection
    app: App
    workspace: Workspace | None
    reason: str
    workflows: Sequence[Workflow]

    @property
    def paused(self) -> str:
        """Which workflows stand still because of it."""
        names = [each.name for each in self.workflows if each.version]
        if not names:
            return ""
        return (
            _("%(names)s is paused.", names=names[0])
            if len(names) == 1
            else _("%(names)s are paused.", names=list_of(names))
        )


@dataclass(frozen=True)
class Stuck:
    """A request that goes no further by itself; `since` is when it came to that."""

    asked: ConnectionRequest
    app: App
    badge: Badge
    since: datetime
    resends_left: int


@dataclass(frozen=True)
class Undelivered:
    """A mail that needs somebody, and the requests that it carries."""

    bundle: Bundle
    delivery: Delivery
    requests: Sequence[ConnectionRequest]


@dataclass(frozen=True)
class Attention:
    """The first few of each kind, and how many there are."""

    broken: Sequence[Broken]
    broken_count: int
    stuck: Sequence[Stuck]
    stuck_count: int
    undelivered: Sequence[Undelivered]
    undelivered_count: int

    @property
    def count(self) -> int:
        """How many things there are in all."""
        return self.broken_count + self.stuck_count + self.undelivered_count


def view(agency: Agency) -> Attention:
    """What needs attention in an agency; the same few queries however much it is."""
    at = clock.now()
    mails = undelivered(agency)
    stuck_count, broken_count = _counts(agency, mails, at=at)
    stuck = db.session.scalars(_stuck(agency, mails, at=at).order_by(*_LATEST).limit(FEW)).all()
    broken = db.session.scalars(
        _broken(agency).order_by(Connection.updated_at.desc(), Connection.id.desc()).limit(FEW)
    ).all()
    return Attention(
        _with_workflows(broken),
        broken_count,
        [_row(each, at=at) for each in stuck],
        stuck_count,
        mails[:FEW],
        len(mails),
    )


def count(agency: Agency) -> int:
    """How many things need attention."""
    mails = undelivered(agency)
    return sum(_counts(agency, mails, at=clock.now())) + len(mails)


def stuck_page(agency: Agency, *, after: str | None = None, before: str | None = None) -> Page[Stuck]:
    """Every stuck request, those sent last first."""
    at = clock.now()
    found = _stuck(agency, undelivered(agency), at=at)
    page = paging.page(found, ConnectionRequest.sent_at, after=after, before=before)
    return Page([_row(each, at=at) for each in page.items], page.newer, page.older)


def broken_page(agency: Agency, *, after: str | None = None, before: str | None = None) -> Page[Broken]:
    """Every connection that needs to be reauthorized."""
    page = paging.page(_broken(agency), Connection.updated_at, after=after, before=before)
    return Page(_with_workflows(page.items), page.newer, page.older)


def undelivered(agency: Agency) -> Sequence[Undelivered]:
    """The mails that need somebody, the newest fifty."""
    mails = deliveries.undelivered(agency, limit=MOST_MAILS)
    return _with_requests(mails) if mails else []


_LATEST = (ConnectionRequest.sent_at.desc(), ConnectionRequest.id.desc())


def _stuck(agency: Agency, mails: Sequence[Undelivered], *, at: datetime) -> Select[ConnectionRequest]:
    """Declined, expired or without an OAuth client; what waits for a mail that failed is told with that mail."""
    unsent = [each.bundle.id for each in mails]
    halted = or_(Bundle.expires_at <= at, ConnectionRequest.notice == Notice.UNCONFIGURED)
    pending = and_(ConnectionRequest.status == Status.PENDING, halted, ConnectionRequest.bundle_id.not_in(unsent))
    return (
        select(ConnectionRequest)
        .join(ConnectionRequest.bundle)
        .join(ConnectionRequest.workflow)
        .join(Workflow.workspace)
        .where(
            ConnectionRequest.agency_id == agency.id,
            or_(ConnectionRequest.status == Status.DECLINED, pending),
            Workflow.archived_at.is_(None),
            Workspace.archived_at.is_(None),
        )
        .options(
            contains_eager(ConnectionRequest.bundle),
            contains_eager(ConnectionRequest.workflow).contains_eager(Workflow.workspace),
        )
    )


def _broken(agency: Agency) -> Select[Connection]:
    return select(Connection).where(Connection.agency_id == agency.id, Connection.health == Health.ERROR)


def _counts(agency: Agency, mails: Sequence[Undelivered], *, at: datetime) -> tuple[int, int]:
    stuck = _stuck(agency, mails, at=at).with_only_columns(func.count(ConnectionRequest.id))
    broken = _broken(agency).with_only_columns(func.count(Connection.id))
    row = db.session.execute(select(stuck.scalar_subquery(), broken.scalar_subquery())).one()
    return row[0], row[1]


def _row(asked: ConnectionRequest, *, at: datetime) -> Stuck:
    declined = asked.declined_at if asked.status is Status.DECLINED else None
    expired = asked.bundle.expires_at if asked.bundle and asked.is_expired(at) else None
    unfit = asked.status is Status.PENDING and expired is None
    badge = Badge("error", _("Not set up")) if unfit else badges.of_request(asked, at=at)
    since = declined or expired or asked.sent_at or asked.created_at
    return Stuck(asked, scopes.app_of(asked), badge, since, max(0, sending.MOST_RESENDS - asked.resends))


def _with_workflows(connections: Sequence[Connection]) -> list[Broken]:
    ids = [each.id for each in connections]
    using = db.session.execute(
        select(Slot.connection_id, Workflow)
        .join(Workflow, Workflow.id == Slot.workflow_id)
        .where(Slot.connection_id.in_(ids), Workflow.archived_at.is_(None))
        .order_by(Workflow.name)
        .options(joinedload(Workflow.workspace))
    )
    workflows: dict[int, dict[int, Workflow]] = defaultdict(dict)
    for connection_id, workflow in using:
        workflows[connection_id or 0][workflow.id] = workflow
    homes = {each.workspace_id for each in connections if each.workspace_id}
    places = {each.id: each for each in db.session.scalars(select(Workspace).where(Workspace.id.in_(homes)))}
    return [_broken_row(each, places, list(workflows[each.id].values())) for each in connections]


def _broken_row(connection: Connection, places: dict[int, Workspace], workflows: list[Workflow]) -> Broken:
    app = runtime.current().catalog.get(connection.app_key)
    return Broken(connection, app, places.get(connection.workspace_id or 0), _reason(connection, app), workflows)


def _reason(connection: Connection, app: App) -> str:
    """The cause in plain words."""
    if connection.health_reason == "invalid_grant":
        return _("Access was removed or ran out in %(app)s.", app=app.name)
    return _("%(app)s no longer accepts the access that was given.", app=app.name)


def _with_requests(mails: Sequence[tuple[Bundle, Delivery]]) -> list[Undelivered]:
    rows = db.session.scalars(
        select(ConnectionRequest)
        .where(
            ConnectionRequest.bundle_id.in_([bundle.id for bundle, _delivery in mails]),
            ConnectionRequest.status == Status.PENDING,
        )
        .order_by(ConnectionRequest.id)
        .options(joinedload(ConnectionRequest.workflow).joinedload(Workflow.workspace))
    )
    carried: dict[int, list[ConnectionRequest]] = defaultdict(list)
    for asked in rows:
        carried[asked.bundle_id or 0].append(asked)
    return [Undelivered(bundle, delivery, carried[bundle.id]) for bundle, delivery in mails if carried[bundle.id]]

"""What needs somebody of the agency: connections that broke, requests that are stuck, mail that did not arrive."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, and_, func, select, union_all
from sqlalchemy.orm import contains_eager, joinedload

from app import clock
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
    Status,
    Workflow,
    Workspace,
)
from app.services import (
    badges,
    connection_views,
    connections,
    deliveries,
    forecasts,
    hand_over_asks,
    mending_requests,
    paging,
    scopes,
    sending,
    undelivered_letters,
)
from app.services.badges import Badge
from app.services.deliveries import Delivery
from app.services.forecasts import Ending
from app.services.hand_over_asks import HandOver
from app.services.paging import Page
from app.services.undelivered_letters import Invitation
from app.services.undelivered_letters import Notice as LetterNotice

FEW = 5  # of each kind on the home page


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
        """Whether its owner is a client who can be asked to mend it, and is not yet."""
        is_asked = self.asked is not None and self.asked.status.live
        return self.connection.is_clients and bool(self.workflows) and not is_asked

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
class Counts:
    """How many things of each kind need somebody."""

    broken: int
    stuck: int
    undelivered: int
    ending: int = 0
    hand_overs: int = 0

    @property
    def total(self) -> int:
        """How many things there are in all."""
        return self.broken + self.stuck + self.undelivered + self.ending + self.hand_overs


@dataclass(frozen=True)
class Attention:
    """The first few of each kind."""

    broken: Sequence[Broken]
    stuck: Sequence[Stuck]
    undelivered: Sequence[Undelivered]
    ending: Sequence[Ending] = ()
    hand_overs: Sequence[HandOver] = ()
    invitations: Sequence[Invitation] = ()
    notices: Sequence[LetterNotice] = ()

    @property
    def mails(self) -> int:
        """How many e-mails these are."""
        return len(self.undelivered) + len(self.invitations) + len(self.notices)


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


def banner(agency: Agency, known: Counts) -> Banner | None:
    """What to say of them on every page; one statement, and none where the counts say that there is nothing."""
    if not known.broken:
        return None
    rows = db.session.execute(
        _broken(agency)
        .outerjoin(Workspace, Workspace.id == Connection.workspace_id)
        .with_only_columns(Connection.public_id, Connection.app_key, Workspace.name)
        .order_by(Connection.updated_at.desc(), Connection.id.desc())
        .limit(FEW)
    )
    return Banner(known.broken, [Named(row.public_id, scopes.app_of(row), row.name) for row in rows])


def counts(agency: Agency) -> Counts:
    """How many things need attention, in one statement that reads no row of them."""
    broken = _broken(agency).with_only_columns(func.count(Connection.id)).scalar_subquery()
    at = clock.now()
    ways = _stuck_ways(agency, at=at)
    ending = forecasts.ending(agency, at=at).with_only_columns(func.count(Connection.id)).scalar_subquery()
    stuck = [way.with_only_columns(func.count(ConnectionRequest.id)).scalar_subquery() for way in ways]
    undelivered = _undelivered(agency).with_only_columns(func.count(Bundle.id)).scalar_subquery()
    letters = undelivered_letters.count(agency)
    named = hand_over_asks.waiting(agency).with_only_columns(func.count(ConnectionRequest.id)).scalar_subquery()
    row = db.session.execute(select(broken, undelivered, letters, ending, named, *stuck)).one()
    return Counts(row[0], sum(row[5:]), row[1] + row[2], row[3], row[4])


def first_few(agency: Agency, known: Counts) -> Attention:
    """What needs attention, as far as a page has room; nothing is asked where the counts say that there is nothing."""
    at = clock.now()
    return Attention(
        _brokens(paging.page(_broken(agency), Connection.updated_at, size=FEW).items) if known.broken else [],
        _stucks(paging.page(_stuck(agency, at=at, most=FEW + 1), ConnectionRequest.sent_at, size=FEW).items, at=at)
        if known.stuck
        else [],
        _mails(paging.page(_undelivered(agency), Bundle.sent_at, size=FEW).items) if known.undelivered else [],
        forecasts.page(agency, at=at, size=FEW).items if known.ending else [],
        hand_over_asks.page(agency, size=FEW).items if known.hand_overs else [],
        undelivered_letters.invitation_page(agency, size=FEW).items if known.undelivered else [],
        undelivered_letters.notice_page(agency, size=FEW).items if known.undelivered else [],
    )


def broken_page(agency: Agency, *, after: str | None = None, before: str | None = None) -> Page[Broken]:
    """Every connection that needs to be reauthorized, those that broke last first."""
    page = paging.page(_broken(agency), Connection.updated_at, after=after, before=before)
    return Page(_brokens(page.items), page.newer, page.older)


def stuck_page(agency: Agency, *, after: str | None = None, before: str | None = None) -> Page[Stuck]:
    """Every stuck request, those sent last first."""
    at = clock.now()
    page = paging.page(_stuck(agency, at=at), ConnectionRequest.sent_at, after=after, before=before)
    return Page(_stucks(page.items, at=at), page.newer, page.older)


def undelivered_page(agency: Agency, *, after: str | None = None, before: str | None = None) -> Page[Undelivered]:
    """Every mail that needs somebody, those sent last first."""
    page = paging.page(_undelivered(agency), Bundle.sent_at, after=after, before=before)
    return Page(_mails(page.items), page.newer, page.older)


_IN_WORK = and_(Workflow.archived_at.is_(None), Workspace.archived_at.is_(None))


def _broken(agency: Agency) -> Select[Connection]:
    return select(Connection).where(Connection.agency_id == agency.id, Connection.health == Health.ERROR)


def _stuck(agency: Agency, *, at: datetime, most: int | None = None) -> Select[ConnectionRequest]:
    """Declined, expired or without an OAuth client; what waits for a mail that failed is told with that mail.

    All of them, or of each kind at least the `most` that were sent last.
    """
    latest = (ConnectionRequest.sent_at.desc(), ConnectionRequest.id.desc())
    ways = [way.order_by(*latest).limit(most).subquery() for way in _stuck_ways(agency, at=at)]
    return (
        select(ConnectionRequest)
        .where(ConnectionRequest.id.in_(union_all(*(select(way.c.id) for way in ways))))
        .options(
            joinedload(ConnectionRequest.bundle),
            joinedload(ConnectionRequest.workflow).joinedload(Workflow.workspace),
        )
    )


def _stuck_ways(agency: Agency, *, at: datetime) -> tuple[Select[int], ...]:
    """The ids of stuck requests: each kind apart, since each has an index of its own."""
    asked = ConnectionRequest
    found = (
        select(asked.id)
        .join(asked.bundle)
        .join(asked.workflow)
        .join(Workflow.workspace)
        .where(asked.agency_id == agency.id, _IN_WORK)
    )
    pending = found.where(asked.status == Status.PENDING, ~deliveries.failed())
    lapsed = and_(Bundle.agency_id == agency.id, Bundle.closed_at.is_(None), Bundle.expires_at <= at)
    unfit = and_(asked.notice.is_not(None), asked.notice == Notice.UNCONFIGURED, Bundle.expires_at > at)
    return found.where(asked.status == Status.DECLINED), pending.where(lapsed), pending.where(unfit)


def _undelivered(agency: Agency) -> Select[Bundle]:
    """The bundles whose mail failed while something is still asked with it."""
    carries = _carried().where(ConnectionRequest.bundle_id == Bundle.id).correlate(Bundle)
    return select(Bundle).where(
        Bundle.agency_id == agency.id, Bundle.closed_at.is_(None), deliveries.failed(), carries.exists()
    )


def _carried() -> Select[ConnectionRequest]:
    return (
        select(ConnectionRequest)
        .join(ConnectionRequest.workflow)
        .join(Workflow.workspace)
        .where(ConnectionRequest.status == Status.PENDING, _IN_WORK)
    )


def _stucks(rows: Sequence[ConnectionRequest], *, at: datetime) -> list[Stuck]:
    return [_stuck_row(each, at=at) for each in rows]


def _stuck_row(asked: ConnectionRequest, *, at: datetime) -> Stuck:
    declined = asked.declined_at if asked.status is Status.DECLINED else None
    expired = asked.bundle.expires_at if asked.bundle and asked.is_expired(at) else None
    unfit = asked.status is Status.PENDING and expired is None
    badge = Badge("error", _("Not set up")) if unfit else badges.of_request(asked, at=at)
    since = declined or expired or asked.sent_at or asked.created_at
    return Stuck(asked, scopes.app_of(asked), badge, since, max(0, sending.MOST_RESENDS - asked.resends))


def _brokens(rows: Sequence[Connection]) -> list[Broken]:
    workflows = connection_views.workflows_using([each.id for each in rows])
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


def _mails(bundles: Sequence[Bundle]) -> list[Undelivered]:
    ids = [bundle.id for bundle in bundles]
    found = deliveries.of_bundles(ids)
    rows = db.session.scalars(
        _carried()
        .where(ConnectionRequest.bundle_id.in_(ids))
        .order_by(ConnectionRequest.id)
        .options(contains_eager(ConnectionRequest.workflow).contains_eager(Workflow.workspace))
    )
    carried: dict[int | None, list[ConnectionRequest]] = defaultdict(list)
    for asked in rows:
        carried[asked.bundle_id].append(asked)
    return [
        Undelivered(each, found[each.id], carried[each.id]) for each in bundles if each.id in found and carried[each.id]
    ]

"""Requests that go no further by themselves: declined, expired, or of an app that is not set up."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, select, union_all
from sqlalchemy.orm import joinedload

from app import clock
from app.catalog.schema import App
from app.i18n import _
from app.models import Agency, Bundle, ConnectionRequest, Notice, Status, Workflow, Workspace
from app.services import badges, bundles, deliveries, paging, scopes, sending
from app.services.badges import Badge
from app.services.paging import Page

_IN_WORK = and_(Workflow.archived_at.is_(None), Workspace.archived_at.is_(None))


@dataclass(frozen=True)
class Stuck:
    """A request that goes no further by itself; `since` is when it came to that, `available_at` when it may be sent again."""

    asked: ConnectionRequest
    app: App
    badge: Badge
    since: datetime
    resends_left: int
    available_at: datetime | None


def _stuck(agency: Agency, *, at: datetime, most: int | None = None) -> Select[ConnectionRequest]:
    """Declined, expired or without an OAuth client; what waits for a mail that failed is told with that mail.

    All of them, or of each kind at least the `most` that were sent last.
    """
    latest = (ConnectionRequest.sent_at.desc(), ConnectionRequest.id.desc())
    found = [way.order_by(*latest).limit(most).subquery() for way in ways(agency, at=at)]
    return (
        select(ConnectionRequest)
        .where(ConnectionRequest.id.in_(union_all(*(select(way.c.id) for way in found))))
        .options(
            joinedload(ConnectionRequest.bundle),
            joinedload(ConnectionRequest.workflow).joinedload(Workflow.workspace),
        )
    )


def ways(agency: Agency, *, at: datetime) -> tuple[Select[int], ...]:
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


def page(agency: Agency, *, size: int | None = None, **where: Any) -> Page[Stuck]:
    """One page of them, those sent last first; `where` as for `paging.page`."""
    at = clock.now()
    most = None if any(where.values()) else (size or paging.PAGE) + 1  # the first page needs no more of each kind
    every = _stuck(agency, at=at, most=most)
    found = paging.page(every, ConnectionRequest.sent_at, size=size, **where)
    waits = bundles.all_resend_available_at([(each.workspace_id, each.recipient) for each in found.items])
    return Page([_shown(each, waits, at=at) for each in found.items], found.newer, found.older)


def _shown(asked: ConnectionRequest, waits: Mapping[tuple[int, str], datetime], *, at: datetime) -> Stuck:
    declined = asked.declined_at if asked.status is Status.DECLINED else None
    expired = asked.bundle.expires_at if asked.bundle and asked.is_expired(at) else None
    unfit = asked.status is Status.PENDING and expired is None
    badge = Badge("error", _("Not set up")) if unfit else badges.of_request(asked, at=at)
    since = declined or expired or asked.sent_at or asked.created_at
    left, available = max(0, sending.MOST_RESENDS - asked.resends), waits.get((asked.workspace_id, asked.recipient))
    return Stuck(asked, scopes.app_of(asked), badge, since, left, available)

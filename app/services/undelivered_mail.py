"""Mail that could not be delivered while something is still asked with it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import contains_eager

from app.extensions import db
from app.models import Agency, Bundle, ConnectionRequest, Status, Workflow, Workspace
from app.services import deliveries, paging
from app.services.deliveries import Delivery
from app.services.paging import Page


@dataclass(frozen=True)
class Undelivered:
    """A mail that needs somebody, and the requests that it carries."""

    bundle: Bundle
    delivery: Delivery
    requests: Sequence[ConnectionRequest]


def waiting(agency: Agency) -> Select[Bundle]:
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
        .where(
            ConnectionRequest.status == Status.PENDING, Workflow.archived_at.is_(None), Workspace.archived_at.is_(None)
        )
    )


def page(agency: Agency, **where: Any) -> Page[Undelivered]:
    """One page of it, what was sent last first; `where` as for `paging.page`."""
    found = paging.page(waiting(agency), Bundle.sent_at, **where)
    return Page(_shown(found.items), found.newer, found.older)


def _shown(bundles: Sequence[Bundle]) -> list[Undelivered]:
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

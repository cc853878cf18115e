"""What the portal shows of requests: those that wait for its visitor, by workflow, and one workflow's."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, bindparam, case, func, or_, select

from app.errors import NotFound
from app.models import Bundle, Connection, ConnectionRequest, FlowSurface, Health, Slot, Status, Workflow
from app.prepared import Prepared, Row
from app.services import intake_rows, paging, scopes
from app.services.intake import Intake
from app.services.paging import Page
from app.services.portal_visitors import Visitor


@dataclass(frozen=True)
class Outstanding:
    """What one workflow waits for: the apps that are pending, those that were declined, how far it is, until when."""

    workflow_id: str
    name: str
    pending: Sequence[str]
    declined: Sequence[str]
    done: int
    total: int
    expires_at: datetime
    is_expired: bool


@dataclass(frozen=True)
class Inbox:
    """One page of workflows that wait for the visitor, those that end first on top; `count` is of all their pending apps."""

    count: int
    page: Page[Outstanding]

    @property
    def is_moving(self) -> bool:
        """Whether anything in it may change by itself."""
        return bool(self.page.items)


_asked = ConnectionRequest
_theirs = (
    _asked.workspace_id == bindparam("workspace"),
    _asked.recipient == bindparam("recipient"),
    _asked.bundle_id.is_not(None),
)
# What was declined can be connected while the link lives; what is pending is asked for until staff say otherwise.
_waits = or_(
    _asked.status == Status.PENDING,
    and_(_asked.status == Status.DECLINED, Bundle.closed_at.is_(None), Bundle.expires_at > bindparam("at")),
)
_WAITING = Prepared(
    select(
        _asked.app_key,
        _asked.status,
        _asked.workflow_id,
        Workflow.public_id,
        Workflow.name,
        Bundle.expires_at,
    )
    .join(Workflow, Workflow.id == _asked.workflow_id)
    .join(Bundle, Bundle.id == _asked.bundle_id)
    .where(*_theirs, _waits)
    .order_by(Bundle.expires_at, _asked.id)
)
_works = or_(Connection.id.is_(None), Connection.health == Health.PENDING, Connection.health == Health.ACTIVE)
_is_back = and_(_asked.status == Status.REVOKED, Connection.id.is_not(None), _works)  # revoked, and connected again
_open_of = select(_asked.workflow_id).join(Bundle, Bundle.id == _asked.bundle_id).where(*_theirs, _waits)
_COUNTS = Prepared(
    select(
        _asked.workflow_id,
        func.count(_asked.id).label("total"),
        func.sum(case((or_(and_(_asked.status == Status.FULFILLED, _works), _is_back), 1), else_=0)).label("done"),
    )
    .outerjoin(Connection, Connection.id == _asked.connection_id)
    .where(_asked.workspace_id == bindparam("workspace"), *intake_rows.IS_SHOWN)
    .where(_asked.workflow_id.in_(_open_of))
    .group_by(_asked.workflow_id)
)


def inbox(visitor: Visitor, *, at: datetime, after: str | None = None, before: str | None = None) -> Inbox:
    """What is asked of the visitor's address in this workspace; two queries however much it is."""
    whose = {"workspace": visitor.workspace_id, "recipient": visitor.email, "at": at}
    found: dict[int, list[Row]] = defaultdict(list)
    for row in _WAITING(**whose):
        found[row.workflow_id].append(row)
    counts = {row.workflow_id: row for row in _COUNTS(**whose)} if found else {}
    groups = [_group(rows, counts.get(workflow_id), at=at) for workflow_id, rows in found.items()]
    count = sum(len(each.pending) for each in groups)
    return Inbox(count, paging.page_of(groups, lambda each: each.workflow_id, after=after, before=before))


def _group(rows: Sequence[Row], count: Row | None, *, at: datetime) -> Outstanding:
    first, last = rows[0], rows[-1]
    names = {
        status: [_name(row) for row in rows if row.status is status] for status in (Status.PENDING, Status.DECLINED)
    }
    return Outstanding(
        first.public_id,
        first.name,
        names[Status.PENDING],
        names[Status.DECLINED],
        int(count.done or 0) if count else 0,
        count.total if count else len(rows),
        last.expires_at,
        last.expires_at <= at,
    )


def _name(row: Row) -> str:
    return scopes.app_of(row).name


# Of a workflow the bundle in which something is still open, else the last one.
_bundles = select(
    Bundle.id,
    Bundle.public_id,
    Bundle.agency_id,
    Bundle.workspace_id,
    Bundle.recipient,
    Bundle.sent_by,
    Bundle.epoch,
    Bundle.expires_at,
    Bundle.closed_at,
    Workflow.id.label("workflow_id"),
    Workflow.public_id.label("workflow_public_id"),
    Workflow.name.label("workflow"),
)
_STANDING = Prepared(
    _bundles.join(_asked, _asked.bundle_id == Bundle.id)
    .join(Workflow, Workflow.id == _asked.workflow_id)
    .where(Workflow.public_id == bindparam("named"), *_theirs)
    .order_by(case((_asked.status == Status.PENDING, 0), else_=1), Bundle.id.desc())
    .limit(1)
)
# Where nothing is asked of them any more the last one that they handed something over of.
_HANDED_OVER = Prepared(
    _bundles.join(_asked, and_(*intake_rows.IS_HANDED_OVER))
    .join(Workflow, Workflow.id == _asked.workflow_id)
    .where(Workflow.public_id == bindparam("named"))
    .where(Bundle.workspace_id == bindparam("workspace"), Bundle.recipient == bindparam("recipient"))
    .order_by(Bundle.id.desc())
    .limit(1)
)


def intake_for(visitor: Visitor, workflow_id: str, *, at: datetime) -> Intake:
    """The visitor's access to what a workflow asks of their address: open while its time is not up; NotFound.

    The bundle carries the workflow's name and ids besides.
    """
    wanted = {"named": workflow_id, "workspace": visitor.workspace_id, "recipient": visitor.email}
    row = _STANDING(**wanted).one_or_none() or _HANDED_OVER(**wanted).one_or_none()
    if row is None:
        raise NotFound
    is_open = row.closed_at is None and row.expires_at > at
    return Intake(row, visitor.agency, is_open=is_open, surface=FlowSurface.PORTAL)


_MISSING = Prepared(
    select(func.count(Slot.id))
    .outerjoin(Connection, Connection.id == Slot.connection_id)
    .where(Slot.workflow_id == bindparam("workflow"), or_(Connection.id.is_(None), ~_works))
)


def missing(workflow_id: int) -> int:
    """How many of a workflow's slots have no working connection, whoever is asked for it."""
    return int(_MISSING(workflow=workflow_id).scalar() or 0)


def withdrawn(bundle: Row) -> list[str]:
    """The apps of a workflow's bundle that were asked for and then, until now, cancelled."""
    found = intake_rows.WITHDRAWN(bundle=bundle.id, workflow=bundle.workflow_id)
    return list(dict.fromkeys(_name(row) for row in found))

"""The rows behind the panel “Client connection requests”: who is asked by a workflow, and for what."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import aliased, contains_eager, joinedload

from app.extensions import db
from app.models import Bundle, ConnectionRequest, Kind, Member, Slot, Source, Status, Workflow
from app.services import mending_requests, paging
from app.services.paging import Page

PAGE = 25  # recipients

asked_for = ConnectionRequest


@dataclass(frozen=True)
class Found:
    """One request; `is_latest` unless another came after it for the same slot or connection."""

    asked: ConnectionRequest
    is_latest: bool


def shown(workflow: Workflow, asked: type[ConnectionRequest] = asked_for) -> ColumnElement[bool]:
    """Every request but those cancelled ones that there is nothing to ask again of."""
    open_again = and_(_is_latest(asked), _slot_waits(asked))
    return and_(asked.workflow_id == workflow.id, or_(asked.status != Status.CANCELLED, open_again))


def _slot_waits(asked: type[ConnectionRequest]) -> ColumnElement[bool]:
    by_client = or_(Slot.source.is_(None), Slot.source == Source.CLIENT)
    waits = select(Slot.id).where(Slot.id == asked.slot_id, Slot.connection_id.is_(None), by_client)
    return waits.correlate(asked).exists()


def _is_latest(asked: type[ConnectionRequest]) -> ColumnElement[bool]:
    """Whether no other request came after it for the same slot."""
    later = aliased(ConnectionRequest)
    came = select(later.id).where(later.slot_id == asked.slot_id, later.id > asked.id).correlate(asked)
    return and_(asked.slot_id.is_not(None), ~came.exists())


def _is_latest_mending() -> ColumnElement[bool]:
    """Whether no other request came after it to mend the same connection."""
    later = aliased(ConnectionRequest)
    same = (later.connection_id == asked_for.connection_id, later.kind == Kind.REAUTHORIZE, later.id > asked_for.id)
    return and_(asked_for.kind == Kind.REAUTHORIZE, ~select(later.id).where(*same).correlate(asked_for).exists())


def recipients(workflow: Workflow, *, after: str | None, before: str | None) -> Page[ConnectionRequest]:
    """The first request to each recipient, which stands for them; the latest asked first.

    Each is found by looking back for one before it, so that a page costs what it shows, not what was ever asked.
    """
    earlier = aliased(ConnectionRequest)
    first = select(earlier.id).where(shown(workflow, earlier), earlier.recipient == asked_for.recipient)
    first_id = first.order_by(earlier.id).limit(1).correlate(asked_for).scalar_subquery()
    firsts = select(asked_for).where(shown(workflow), asked_for.id == first_id)
    return paging.page(firsts, asked_for.id, after=after, before=before, size=PAGE)


def requests(workflow: Workflow, recipients: Sequence[str]) -> list[Found]:
    return _found(shown(workflow), asked_for.recipient.in_(recipients))


def asked_elsewhere(workflow: Workflow) -> list[Found]:
    """What is open of what other workflows ask to mend: one for each connection that is used here, or a few."""
    return _found(mending_requests.from_elsewhere(workflow), asked_for.status.in_(mending_requests.STANDING))


def _found(*which: ColumnElement[bool]) -> list[Found]:
    statement = (
        select(asked_for, or_(_is_latest(asked_for), _is_latest_mending()))
        .outerjoin(asked_for.slot)
        .where(*which)
        .options(joinedload(asked_for.bundle), joinedload(asked_for.connection), contains_eager(asked_for.slot))
    )
    return [Found(row[0], bool(row[1])) for row in db.session.execute(statement)]


def members(workflow: Workflow, recipients: Sequence[str]) -> set[str]:
    return set(
        db.session.scalars(
            select(Member.email).where(
                Member.workspace_id == workflow.workspace_id, Member.email.in_(recipients), Member.removed_at.is_(None)
            )
        )
    )


def is_moving(workflow: Workflow, *, at: datetime) -> bool:
    """Whether anything may change without anybody here."""
    found = (
        select(asked_for.id)
        .join(Bundle, Bundle.id == asked_for.bundle_id)
        .where(asked_for.workflow_id == workflow.id, asked_for.status.in_([Status.PENDING, Status.DECLINED]))
        .where(or_(asked_for.status == Status.PENDING, and_(Bundle.closed_at.is_(None), Bundle.expires_at > at)))
    )
    return db.session.scalar(found.limit(1)) is not None


def may_change(asked: ConnectionRequest, *, at: datetime) -> bool:
    is_open = asked.bundle is not None and asked.bundle.closed_at is None and not asked.bundle.is_expired(at)
    return asked.status is Status.PENDING or (asked.status is Status.DECLINED and is_open)

"""Work that leaves the process: written with its cause, done by the worker; `claims` is the worker's side of it."""

import threading
import weakref
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, event, or_, select, update
from sqlalchemy.orm import Session

from app.database import inserting, transaction
from app.extensions import db
from app.models import OutboxItem, OutboxState
from app.prepared import Prepared

BATCH = 500  # rows a transaction at most
WAITING = (OutboxState.QUEUED, OutboxState.RETRY)
OPEN = (*WAITING, OutboxState.CLAIMED, OutboxState.TRANSMITTING)
# Spelt as the index has it: who looks for what is due is not to go through all that was ever done.
IS_OPEN = OutboxItem.state.in_(bindparam("open", OPEN, expanding=True, literal_execute=True))

wakers: weakref.WeakSet[threading.Event] = weakref.WeakSet()  # set when work was committed in this process


_PUT = {
    name: Prepared(
        inserting(name, OutboxItem).on_conflict_do_nothing(index_elements=["kind", "key"]).returning(OutboxItem.id)
    )
    for name in ("sqlite", "postgresql")
}


def put(kind: str, key: str, *, agency_id: int, at: datetime, due_at: datetime | None = None, **payload: Any) -> bool:
    """Write one piece of work; false if this cause has written it already. The payload holds ids, never text or secrets."""
    session = db.session()
    session.info["outbox"] = True
    put = _PUT[session.get_bind().dialect.name](
        kind=kind,
        key=key,
        agency_id=agency_id,
        payload=payload,
        due_at=due_at or at,
        created_at=at,
    )
    return put.scalar() is not None


def retry_now(kind: str, key: str, *, at: datetime) -> bool:
    """“Try again”: due at once, with all its attempts before it; false if it is so already, in hand, done or unknown."""
    values = {"state": OutboxState.RETRY, "due_at": at, "attempts": 0, "finished_at": None, "error": None}
    with transaction() as session:
        session.info["outbox"] = True
        moved = session.execute(
            update(OutboxItem)
            .where(OutboxItem.kind == kind, OutboxItem.key == key, _can_be_hurried(at))
            .values(values)
            .execution_options(synchronize_session=False)
        )
        return moved.rowcount == 1  # type: ignore[attr-defined,no-any-return]


def _can_be_hurried(at: datetime) -> ColumnElement[bool]:
    put_off = and_(OutboxItem.state == OutboxState.QUEUED, OutboxItem.due_at > at)
    failed = and_(OutboxItem.state == OutboxState.RETRY, or_(OutboxItem.attempts > 0, OutboxItem.error.is_not(None)))
    return or_(OutboxItem.state.in_([OutboxState.DEAD, OutboxState.HELD]), put_off, failed)


def hurry(kinds: Collection[str], errors: Collection[str], *, at: datetime) -> None:
    """Make due what only waits because of these errors: for when their cause is known to be gone."""
    waiting = (
        select(OutboxItem.id)
        .where(OutboxItem.kind.in_(kinds), OutboxItem.state == OutboxState.RETRY, OutboxItem.error.in_(errors))
        .where(OutboxItem.due_at > at, IS_OPEN)
        .order_by(OutboxItem.due_at)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    moved = BATCH
    while moved == BATCH:
        with transaction() as session:
            statement = update(OutboxItem).where(OutboxItem.id.in_(waiting)).values(due_at=at)
            result = session.execute(statement.execution_options(synchronize_session=False))
            moved = result.rowcount  # type: ignore[attr-defined]


def _wake(session: Session) -> None:
    if session.info.pop("outbox", False):
        for waker in list(wakers):
            waker.set()


def _forget(session: Session) -> None:
    session.info.pop("outbox", None)


event.listen(Session, "after_commit", _wake)
event.listen(Session, "after_rollback", _forget)

"""Pieces of work in workers' hands: taken, and settled once; `leases` says how long a hand may hold them.

Each claim raises the row's `fence`; who holds an older one can settle nothing any more.
"""

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, case, or_, select, tuple_, update

from app.database import transaction
from app.extensions import db
from app.models import OutboxItem, OutboxState
from app.prepared import Prepared
from app.services.outbox import BATCH, IS_OPEN, WAITING

LEASE = timedelta(seconds=90)
MOST_ATTEMPTS = 20
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=6)  # twenty attempts take three days
IN_HAND = (OutboxState.CLAIMED, OutboxState.TRANSMITTING)
AS_TOLD = {"synchronize_session": False}
COLUMNS = (  # of what is claimed; message_id itself, since SQLite 3.40 answers IS NOT NULL wrongly in RETURNING
    OutboxItem.id,
    OutboxItem.kind,
    OutboxItem.key,
    OutboxItem.agency_id,
    OutboxItem.payload,
    OutboxItem.attempts,
    OutboxItem.fence,
    OutboxItem.message_id,
)


class Failed(Exception):
    """An attempt failed; `error` is a code of ours, `detail` figures alone, never text from outside.

    `permanent` ends it; `ambiguous`: it may have taken effect all the same; `down`: others would fail alike just now;
    `later`: for how many seconds it is not to be tried again, where the other side said so; `until`: when to try again at the latest.
    """

    def __init__(
        self,
        error: str,
        detail: str | None = None,
        *,
        permanent: bool = False,
        ambiguous: bool = False,
        down: bool = False,
        later: int = 0,
        until: datetime | None = None,
    ) -> None:
        super().__init__(error)
        self.error, self.detail = error, detail
        self.permanent, self.ambiguous, self.down = permanent, ambiguous, down
        self.later, self.until = timedelta(seconds=later), until


class Postponed(Exception):
    """It may not be done before `until`; that is no failure."""

    def __init__(self, error: str, until: datetime) -> None:
        super().__init__(error)
        self.error, self.until = error, until


class Superseded(Exception):
    """What caused it has moved on: there is nothing to do any more."""


class LeaseLost(Exception):
    """Another worker holds the row now: leave it alone."""


@dataclass(frozen=True)
class Claimed:
    """A row in a worker's hands; `started` says that an earlier attempt may have left something outside.

    `seen` is for what its kind has looked up of it, so that nobody asks twice.
    """

    id: int
    kind: str
    key: str
    agency_id: int
    payload: Mapping[str, Any]
    attempts: int
    fence: int
    started: bool
    seen: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)


def is_due(kinds: Collection[str], *, at: datetime, ahead: bool = False) -> bool:
    """Whether `claim` would find anything: a cheap read, for those who ask every second."""
    found = select(OutboxItem.id).where(_due(kinds, at, ahead=ahead)).order_by(OutboxItem.due_at).limit(1)
    return db.session.scalar(found) is not None


def claim(kinds: Collection[str], *, at: datetime, limit: int = BATCH, ahead: bool = False) -> list[Claimed]:
    """Take rows that are due, those due longest first, each for one worker alone.

    `ahead`: of kinds that are written for later, of which there may be very many that are not due.
    """
    due = (
        select(OutboxItem.id)
        .where(_due(kinds, at, ahead=ahead))
        .order_by(OutboxItem.due_at, OutboxItem.id)
        .limit(min(limit, BATCH))
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    row = OutboxItem
    taken = (
        update(row)
        .where(row.id.in_(select(due.c.id)))
        .values(state=OutboxState.CLAIMED, fence=row.fence + 1, leased_until=at + LEASE)
        .returning(*COLUMNS)
    )
    with transaction() as session:
        rows = session.execute(taken, execution_options=AS_TOLD).all()
        # point: claim.written
    return sorted(map(claimed, rows), key=lambda item: item.id)


def claimed(row: Any) -> Claimed:
    """A row of `COLUMNS` as what a worker holds."""
    columns = (row.id, row.kind, row.key, row.agency_id, row.payload, row.attempts, row.fence)
    return Claimed(*columns, started=row.message_id is not None)


def _due(kinds: Collection[str], at: datetime, *, ahead: bool) -> ColumnElement[bool]:
    waits = and_(OutboxItem.kind.in_(kinds), IS_OPEN, OutboxItem.state.in_(WAITING))
    if ahead:
        return and_(waits, OutboxItem.due_at <= at)
    # What nobody put off is due whatever this machine's clock says.
    fresh = and_(OutboxItem.attempts == 0, OutboxItem.error.is_(None), OutboxItem.due_at <= OutboxItem.created_at)
    return and_(waits, or_(OutboxItem.due_at <= at, fresh))


@cache
def _mine(names: tuple[str, ...]) -> Prepared:
    """A change of these columns of a row that is still in the hands of who holds this fence."""
    columns = OutboxItem.__table__.c
    changed = {name: bindparam(f"to_{name}", type_=columns[name].type) for name in names}
    still = or_(*(OutboxItem.state == state for state in IN_HAND))
    row = update(OutboxItem).where(OutboxItem.id == bindparam("row_id"), OutboxItem.fence == bindparam("held"), still)
    return Prepared(row.values(changed))


@cache
def _all_mine(names: tuple[str, ...], own: tuple[str, ...], many: int) -> Prepared:
    """What `_mine` does for several rows: `names` are changed alike, and `own` to what is each one's own."""
    columns = OutboxItem.__table__.c
    changed: dict[str, Any] = {name: bindparam(f"to_{name}", type_=columns[name].type) for name in names}
    for name in own:
        changed[name] = case(
            *(
                (OutboxItem.id == bindparam(f"row_{n}"), bindparam(f"{name}_{n}", type_=columns[name].type))
                for n in range(many)
            )
        )
    held = (
        and_(OutboxItem.id == bindparam(f"row_{n}"), OutboxItem.fence == bindparam(f"held_{n}")) for n in range(many)
    )
    still = or_(*(OutboxItem.state == state for state in IN_HAND))
    return Prepared(update(OutboxItem).where(or_(*held), still).values(changed))


# ── Settling ─────────────────────────────────────────────────────────────────


def start(item: Claimed, *, at: datetime, **kept: bytes | str) -> None:
    """Say that from now on it may take effect outside; `kept` is what a second try needs to be the same. LeaseLost."""
    _settle(item, state=OutboxState.TRANSMITTING, leased_until=at + LEASE, **kept)


def start_all(items: Sequence[Claimed], *, at: datetime, kept: Sequence[Mapping[str, bytes | str]]) -> None:
    """What `start` says, of several rows of one tenant; LeaseLost if any of them is not ours any more."""
    _settle_all(items, kept, state=OutboxState.TRANSMITTING, leased_until=at + LEASE)


def done_all(items: Sequence[Claimed], *, at: datetime) -> None:
    """What `done` says, of several rows of one tenant; LeaseLost if any of them is not ours any more."""
    _settle_all(items, (), **_done(at))


def _done(at: datetime, note: str | None = None) -> dict[str, Any]:
    return {"state": OutboxState.DONE, "finished_at": at, "message": None, "error": note, "error_detail": None}


def done(item: Claimed, *, at: datetime, note: str | None = None) -> None:
    """It took effect, or is not wanted any more and `note` says why; what was kept of it is shredded. LeaseLost."""
    _settle(item, **_done(at, note))


def fail(item: Claimed, failure: Failed, *, at: datetime, hold: bool = False) -> OutboxState:
    """Leave it for later, longer each time; or dead; or held for staff where that is wished. Says which; LeaseLost."""
    attempts = item.attempts + 1
    state = state_after(attempts, failure, hold=hold)
    due_at = at + max(wait(attempts), failure.later)
    _settle(
        item,
        state=state,
        attempts=attempts,
        due_at=min(due_at, failure.until) if failure.until else due_at,
        finished_at=None if state is OutboxState.RETRY else at,
        error="uncertain" if state is OutboxState.HELD else failure.error,
        error_detail=failure.detail,
    )
    return state


def state_after(attempts: int, failure: Failed, *, hold: bool) -> OutboxState:
    """What becomes of a row when that attempt failed."""
    if failure.ambiguous and hold:
        return OutboxState.HELD
    return OutboxState.DEAD if failure.permanent or attempts >= MOST_ATTEMPTS else OutboxState.RETRY


def wait(attempts: int) -> timedelta:
    """How long to leave it after so many attempts: twice as long each time, six hours at most, give or take a quarter."""
    exact: timedelta = min(FIRST_WAIT * 2 ** min(attempts - 1, 16), LONGEST_WAIT)
    return exact * secrets.SystemRandom().uniform(0.75, 1.25)


def postpone(item: Claimed, *, until: datetime, error: str) -> None:
    """Leave it queued until a moment, for a reason that people can see; no attempt is counted. LeaseLost."""
    _settle(item, state=OutboxState.QUEUED, due_at=until, error=error, error_detail=None)


def _settle(item: Claimed, **values: Any) -> None:
    with transaction():
        values = {"leased_until": None, **values}
        given = {f"to_{name}": value for name, value in values.items()}
        if _mine(tuple(values))(row_id=item.id, held=item.fence, **given).rowcount != 1:
            raise LeaseLost


def _settle_all(items: Sequence[Claimed], own: Sequence[Mapping[str, Any]], **values: Any) -> None:
    values = {"leased_until": None, **values}
    given = {f"to_{name}": value for name, value in values.items()}
    for number, item in enumerate(items):
        given |= {f"row_{number}": item.id, f"held_{number}": item.fence}
    for number, each in enumerate(own):
        given |= {f"{name}_{number}": value for name, value in each.items()}
    names = tuple(own[0]) if own else ()
    with transaction():
        if _all_mine(tuple(values), names, len(items))(**given).rowcount != len(items):
            raise LeaseLost


def give_back(items: Iterable[Claimed]) -> None:
    """Let others have what was claimed and not begun: a worker that stops does so."""
    pairs = [(item.id, item.fence) for item in items]
    again = case((OutboxItem.attempts == 0, OutboxState.QUEUED.value), else_=OutboxState.RETRY.value)
    statement = (
        update(OutboxItem)
        .where(tuple_(OutboxItem.id, OutboxItem.fence).in_(pairs), OutboxItem.state == OutboxState.CLAIMED)
        .values(state=again, leased_until=None)
    )
    with transaction() as session:
        session.execute(statement, execution_options=AS_TOLD)

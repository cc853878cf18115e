"""How long a worker may hold a piece of work: as long as it shows signs of life.

A worker that died is known by a row that did not change for as long as a lease lasts, measured by the observer's own steady
clock. What the clocks of the hosts say decides nothing, so they may jump, and differ.
"""

import time
from collections.abc import Callable, Hashable, Iterable
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from sqlalchemy import bindparam, select, tuple_, update

from app.database import transaction
from app.extensions import db
from app.models import OutboxItem, OutboxState
from app.services.claims import AS_TOLD, COLUMNS, IN_HAND, LEASE, Claimed, Failed, claimed, state_after
from app.services.outbox import BATCH

Held = TypeVar("Held", bound=Hashable)


class Mark(NamedTuple):
    """How a row in somebody's hands looked: every sign of life of its worker changes it."""

    id: int
    fence: int
    leased_until: datetime


# Spelt as the index has it: there may be very many open rows that are in nobody's hands.
_IS_IN_HAND = OutboxItem.state.in_(bindparam("in_hand", IN_HAND, expanding=True, literal_execute=True))


def renew(items: Iterable[Claimed], *, at: datetime) -> None:
    """Show that their worker is alive."""
    pairs = [(item.id, item.fence) for item in items]
    mine = (tuple_(OutboxItem.id, OutboxItem.fence).in_(pairs), OutboxItem.state.in_(IN_HAND))
    with transaction() as session:
        session.execute(update(OutboxItem).where(*mine).values(leased_until=at + LEASE), execution_options=AS_TOLD)


def in_hand() -> list[Mark]:
    """The rows that workers hold, those longest without a sign of life first."""
    rows = (
        select(OutboxItem.id, OutboxItem.fence, OutboxItem.leased_until)
        .where(_IS_IN_HAND)
        .order_by(OutboxItem.leased_until)
        .limit(BATCH)
    )
    return [Mark(row.id, row.fence, row.leased_until) for row in db.session.execute(rows) if row.leased_until]


def release(mark: Mark, *, at: datetime, hold: bool = False) -> tuple[Claimed, OutboxState] | None:
    """Take a row from a worker that died with it, unless it gave a sign of life since; that counts as a failed attempt.

    Says what was taken and what became of it, for who has to be told in the same transaction.
    """
    with transaction() as session:
        row = session.execute(
            select(*COLUMNS, OutboxItem.state)
            .where(OutboxItem.id == mark.id, OutboxItem.fence == mark.fence, OutboxItem.state.in_(IN_HAND))
            .where(OutboxItem.leased_until == mark.leased_until)
            .with_for_update()
        ).one_or_none()
        if row is None:
            return None
        began = row.state is OutboxState.TRANSMITTING
        state = state_after(row.attempts + 1, Failed("crashed", ambiguous=began), hold=hold)
        values = {
            "state": state,
            "fence": mark.fence + 1,
            "attempts": row.attempts + 1,
            "due_at": at,
            "leased_until": None,
            "finished_at": None if state is OutboxState.RETRY else at,
            "error": "uncertain" if state is OutboxState.HELD else "crashed",
        }
        session.execute(update(OutboxItem).where(OutboxItem.id == mark.id).values(values), execution_options=AS_TOLD)
        # point: lease.released
        return claimed(row), state


class Watch(Generic[Held]):
    """One observer's memory of what is in hand, and since when each has looked the same."""

    def __init__(
        self, patience: float = LEASE.total_seconds(), *, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self.patience = patience
        self._steady = steady
        self._since: dict[Held, float] = {}

    def lapsed(self, marks: Iterable[Held]) -> list[Held]:
        """Look at what is in hand now; returns what has shown no sign of life for the whole of our patience."""
        now = self._steady()
        self._since = {mark: self._since.get(mark, now) for mark in marks}
        return [mark for mark, since in self._since.items() if now - since >= self.patience]

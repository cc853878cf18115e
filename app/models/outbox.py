from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Model, enum_column
from app.tenancy import OwnedByAgency


class OutboxState(StrEnum):
    """A row goes queued → claimed → (transmitting, for mail) → done, retry or dead; held waits for staff."""

    QUEUED = "queued"
    CLAIMED = "claimed"
    TRANSMITTING = "transmitting"
    RETRY = "retry"
    DONE = "done"
    DEAD = "dead"
    HELD = "held"


class OutboxItem(OwnedByAgency, Model):
    """Work that leaves the process, written in the transaction that causes it; `kind` and `key` make it happen once."""

    __tablename__ = "outbox"
    __table_args__ = (UniqueConstraint("kind", "key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(60))
    key: Mapped[str] = mapped_column(String(120))
    payload: Mapped[dict[str, Any]]
    state: Mapped[OutboxState] = mapped_column(enum_column(OutboxState), default=OutboxState.QUEUED)
    attempts: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime]
    leased_until: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(String(40))
    error_detail: Mapped[str | None] = mapped_column(String(200))
    message: Mapped[bytes | None] = mapped_column(LargeBinary)
    message_id: Mapped[str | None] = mapped_column(String(200))
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


_OPEN = OutboxItem.state.in_([OutboxState.QUEUED, OutboxState.RETRY, OutboxState.CLAIMED, OutboxState.TRANSMITTING])
Index("ix_outbox_due", OutboxItem.kind, OutboxItem.due_at, sqlite_where=_OPEN, postgresql_where=_OPEN)
_IN_HAND = OutboxItem.state.in_([OutboxState.CLAIMED, OutboxState.TRANSMITTING])
Index("ix_outbox_in_hand", OutboxItem.leased_until, sqlite_where=_IN_HAND, postgresql_where=_IN_HAND)
PLANNED = "connection.refresh"  # the kind of which there is most by far, that is kept for the shortest time
_IS_FINISHED = OutboxItem.finished_at.is_not(None)
for _name, _which in (
    ("ix_outbox_finished", _IS_FINISHED & (OutboxItem.kind != PLANNED)),
    ("ix_outbox_finished_plan", _IS_FINISHED & (OutboxItem.kind == PLANNED)),
):
    Index(_name, OutboxItem.finished_at, sqlite_where=_which, postgresql_where=_which)
_STUCK = OutboxItem.state.in_([OutboxState.DEAD, OutboxState.HELD])
Index("ix_outbox_stuck", OutboxItem.agency_id, sqlite_where=_STUCK, postgresql_where=_STUCK)

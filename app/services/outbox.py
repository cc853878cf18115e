"""Work that leaves the process: written with its cause, done by the worker."""

from datetime import datetime
from typing import Any

from sqlalchemy import Insert
from sqlalchemy.dialects import postgresql, sqlite

from app.extensions import db
from app.models import OutboxItem, OutboxState


def put(kind: str, key: str, *, agency_id: int, at: datetime, due_at: datetime | None = None, **payload: Any) -> bool:
    """Write one piece of work; false if this cause has written it already. The payload holds ids, never text or secrets."""
    session = db.session()
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    statement: Insert = (
        dialect.insert(OutboxItem)
        .values(
            kind=kind,
            key=key,
            agency_id=agency_id,
            payload=payload,
            state=OutboxState.QUEUED,
            attempts=0,
            fence=0,
            due_at=due_at or at,
            created_at=at,
        )
        .on_conflict_do_nothing(index_elements=["kind", "key"])
    )
    return session.execute(statement).rowcount == 1  # type: ignore[attr-defined,no-any-return]

"""Counts in windows of time, kept in the database so that all processes share them."""

from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from app.database import transaction
from app.extensions import db
from app.models import Counter

MINUTE = 60


def hit(key: str, *, at: datetime, window: timedelta, limit: int) -> bool:
    """Count one more under this key in the window at hand; false, and nothing counted, when the limit is reached.

    One conditional upsert, so that twenty at once count twenty.
    """
    with transaction() as session:
        dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
        statement = dialect.insert(Counter).values(key=key, window=_end(at, window), count=1)
        statement = statement.on_conflict_do_update(
            index_elements=["key", "window"], set_={"count": Counter.count + 1}, where=Counter.count < limit
        )
        return session.scalar(statement.returning(Counter.count)) is not None


def count(key: str, *, at: datetime, window: timedelta) -> int:
    """How often the key was counted in the window at hand."""
    found = select(Counter.count).where(Counter.key == key, Counter.window == _end(at, window))
    return db.session.scalar(found) or 0


def seconds_left(*, at: datetime, window: timedelta) -> int:
    """How many seconds the window at hand has left, at least one."""
    length = window.total_seconds()
    return max(1, round(length - at.timestamp() % length))


def forget(*, before: datetime) -> None:
    """Drop the windows that ended before a moment."""
    with transaction():
        db.session.execute(delete(Counter).where(Counter.window < int(before.timestamp() // MINUTE)))


def _end(at: datetime, window: timedelta) -> int:
    """When the window at hand ends, in minutes since 1970: windows are whole minutes."""
    length = int(window.total_seconds())
    return (int(at.timestamp() // length) + 1) * length // MINUTE

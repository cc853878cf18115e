"""Pauses that providers ask for (Retry-After, RFC 9110 10.2.3), kept in the database so that every process keeps them."""

import math
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, literal, select

from app.database import inserting, transaction
from app.models import Counter

MINUTE = 60
LONGEST = timedelta(hours=1)  # nobody's “try again” is put off for longer by what a header says

_OF = literal("pause of ")


def keep(client_key: str, seconds: int | None, *, at: datetime) -> None:
    """Send nobody else to the provider with this OAuth client for so many seconds, an hour at most; none means no pause."""
    if not seconds:
        return
    ends, key = at + min(timedelta(seconds=seconds), LONGEST), f"{_OF.value}{client_key}"
    with transaction() as session:
        by_another_clock = Counter.window > math.ceil((at + LONGEST).timestamp() / MINUTE)
        session.execute(delete(Counter).where(Counter.key == key, by_another_clock))
        values = {"key": key, "window": math.ceil(ends.timestamp() / MINUTE), "count": 1}
        marked = inserting(session.get_bind().dialect.name, Counter).values(values)
        session.execute(marked.on_conflict_do_nothing())


def end_of(client_key: Any) -> ColumnElement[int | None]:
    """When the last pause of a client ends, in minutes since 1970, as a part of the statement that finds the client."""
    return select(func.max(Counter.window)).where(Counter.key == _OF + client_key).scalar_subquery()


def minutes_left(end: int | None, *, at: datetime) -> int:
    """For how many minutes more a pause is to be kept that ends then; 0 when there is none.

    One that would last for longer than any may was written by a clock that has been set since.
    """
    left = math.ceil(end - at.timestamp() / MINUTE) if end else 0
    return left if 0 < left <= LONGEST / timedelta(minutes=1) + 1 else 0

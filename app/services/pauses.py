"""Pauses that providers ask for (Retry-After, RFC 9110 10.2.3), kept in the database so that every process keeps them."""

import math
from datetime import datetime, timedelta

from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite

from app.database import transaction
from app.models import Counter
from app.prepared import Prepared

MINUTE = 60
LONGEST = timedelta(hours=1)  # nobody's “try again” is put off for longer by what a header says

_LAST = Prepared(select(func.max(Counter.window)).where(Counter.key == bindparam("of")))


def keep(client_key: str, seconds: int | None, *, at: datetime) -> None:
    """Send nobody else to the provider with this OAuth client for so many seconds, an hour at most; none means no pause."""
    if not seconds:
        return
    ends = at + min(timedelta(seconds=seconds), LONGEST)
    with transaction() as session:
        dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
        values = {"key": _key(client_key), "window": math.ceil(ends.timestamp() / MINUTE), "count": 1}
        session.execute(dialect.insert(Counter).values(values).on_conflict_do_nothing())


def minutes_left(client_key: str, *, at: datetime) -> int:
    """For how many minutes more a pause is to be kept; 0 when there is none."""
    last = _LAST(of=_key(client_key)).scalar()
    return max(0, math.ceil(last - at.timestamp() / MINUTE)) if last else 0


def _key(client_key: str) -> str:
    return f"pause of {client_key}"

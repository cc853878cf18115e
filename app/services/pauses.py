"""Pauses that providers ask for (Retry-After, RFC 9110 10.2.3), kept in the database so that every process keeps them.

An OAuth client may be shared by many agencies. What a provider says to somebody who connects puts off all that is done with
the client; what it says of an account that was just connected puts off that request, or connecting that one anew; what it says of one
connection, as somebody refreshed or tested it, puts off that one, and the refreshes with the client that nobody asked for. So
nobody keeps others from connecting by what is theirs.
"""

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, literal, select

from app.database import inserting, transaction
from app.models import Counter
from app.prepared import Row

MINUTE = 60
LONGEST = timedelta(hours=1)  # nobody's “try again” is put off for longer by what a header says

_OF = literal("pause of ")


def refreshes_of(client_key: Any) -> Any:
    """The name of a pause of all refreshes with an OAuth client that nobody asked for."""
    return "refreshes of " + client_key


def connection_of(public_id: Any) -> Any:
    """The name of a pause of one connection."""
    return "connection " + public_id


def request_of(public_id: Any) -> Any:
    """The name of a pause of one request."""
    return "request " + public_id


def renewal_of(public_id: Any) -> Any:
    """The name of a pause of connecting one connection anew."""
    return "renewal of " + public_id


def of_one(standing: Row) -> tuple[str, str]:
    """What is put off by what a provider says of one connection."""
    return connection_of(standing.public_id), refreshes_of(standing.oauth_client or "")


def keep_all(names: Iterable[str], seconds: int | None, *, at: datetime) -> None:
    """Keep one pause under several names."""
    for name in names:
        keep(name, seconds, at=at)


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


def end_of(*names: Any) -> ColumnElement[int | None]:
    """When the last pause of these names ends, in minutes since 1970, as a part of the statement that finds them.

    The name of a pause of all that is done with a client is the client's key.
    """
    return select(func.max(Counter.window)).where(Counter.key.in_([_OF + name for name in names])).scalar_subquery()


def minutes_left(end: int | None, *, at: datetime) -> int:
    """For how many minutes more a pause is to be kept that ends then; 0 when there is none.

    One that would last for longer than any may was written by a clock that has been set since.
    """
    left = math.ceil(end - at.timestamp() / MINUTE) if end else 0
    return left if 0 < left <= LONGEST / timedelta(minutes=1) + 1 else 0

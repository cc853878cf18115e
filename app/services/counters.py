"""Counts in windows of time, kept in the database so that all processes share them."""

import hashlib
import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Integer, String, bindparam, case, delete, select

from app.database import inserting, transaction
from app.errors import Repeated
from app.extensions import db
from app.i18n import _
from app.models import Counter
from app.prepared import Prepared

MINUTE = 60
DAY = timedelta(days=1)


def hit(key: str, *, at: datetime, window: timedelta, limit: int) -> bool:
    """Count one more under this key in the window at hand; false, and nothing counted, when the limit is reached.

    One conditional upsert, so that twenty at once count twenty.
    """
    with transaction() as session:
        one_more = _one_more(session.get_bind().dialect.name)
        return one_more(key=key, window=_end(at, window), count=1, limit=limit).scalar() is not None


def hit_lately(key: str, *, at: datetime, window: timedelta, limit: int) -> bool:
    """The same for the time up to now, so that no edge of a window lets twice as many through.

    Of what the window before had, as much counts as of it still lies within that time.
    """
    before = count(key, at=at - window, window=window)
    part = 1 - (at.timestamp() % window.total_seconds()) / window.total_seconds()
    left = limit - math.ceil(before * part)
    return left > 0 and hit(key, at=at, window=window, limit=left)


def seconds_to_wait(key: str, *, at: datetime, window: timedelta, limit: int) -> int:
    """In how many seconds `hit_lately` counts another one, if it counts none meanwhile; at least one."""
    length = window.total_seconds()
    now, before = (count(key, at=when, window=window) for when in (at, at - window))
    gone = at.timestamp() % length
    if now < limit:
        wait = (1 - (limit - 1 - now) / max(before, 1)) * length - gone
    else:
        wait = (2 - (limit - 1) / now) * length - gone
    return max(1, math.ceil(wait))


@dataclass(frozen=True)
class Hits:
    """So many more to be counted at once under one key."""

    key: str
    window: timedelta
    limit: int
    times: int = 1


def hit_all(hits: Collection[Hits], *, at: datetime) -> set[str]:
    """Count under several keys, each given once; returns those at which it would be too much, of which nothing is counted.

    In one statement and one order, so that those who count the same wait for each other and for nothing else.
    """
    fit = sorted((each for each in hits if each.times <= each.limit), key=lambda each: each.key)
    if not fit:
        return {each.key for each in hits}
    given: dict[str, str | int] = {}
    for number, each in enumerate(fit):
        given |= {f"key_{number}": each.key, f"window_{number}": _end(at, each.window)}
        given |= {f"times_{number}": each.times, f"limit_{number}": each.limit}
    with transaction() as session:
        counted = _all_more(session.get_bind().dialect.name, len(fit))(**given)
    return {each.key for each in hits} - set(counted.scalars())


_COUNT = Prepared(select(Counter.count).where(Counter.key == bindparam("of"), Counter.window == bindparam("until")))


@cache
def _one_more(dialect: str) -> Prepared:
    statement = inserting(dialect, Counter)
    counted = statement.on_conflict_do_update(
        index_elements=["key", "window"],
        set_={"count": Counter.count + 1},
        where=Counter.count < bindparam("limit", type_=Integer),
    )
    return Prepared(counted.returning(Counter.count))


@cache
def _all_more(dialect: str, keys: int) -> Prepared:
    def bound(name: str, number: int) -> Any:
        return bindparam(f"{name}_{number}", type_=String() if name == "key" else Integer())

    rows = [{"key": bound("key", n), "window": bound("window", n), "count": bound("times", n)} for n in range(keys)]
    statement = inserting(dialect, Counter).values(rows)
    limit = case(*((Counter.key == bound("key", n), bound("limit", n)) for n in range(keys)), else_=0)
    more = Counter.count + statement.excluded.count
    counted = statement.on_conflict_do_update(
        index_elements=["key", "window"], set_={"count": more}, where=more <= limit
    )
    return Prepared(counted.returning(Counter.key))


def once(form: str, *, at: datetime) -> None:
    """Let what was sent with a form be done once; raises Repeated for the same form again, within a day at least.

    In the transaction of the act, so that a form that was refused may be sent again. A form without a mark may always.
    """
    if not form:
        return
    key = f"form {hashlib.sha256(form.encode()).hexdigest()[:40]}"
    if count(key, at=at - DAY, window=DAY) or not hit(key, at=at, window=DAY, limit=1):
        raise Repeated(_("This was done already."))


def count(key: str, *, at: datetime, window: timedelta) -> int:
    """How often the key was counted in the window at hand."""
    return _COUNT(of=key, until=_end(at, window)).scalar() or 0


def counts(keys: Collection[tuple[str, timedelta]], *, at: datetime) -> dict[str, int]:
    """How often each key was counted in its own window at hand, all at once; one that was not is left out."""
    windows = {key: _end(at, window) for key, window in keys}
    rows = select(Counter.key, Counter.window, Counter.count).where(
        Counter.key.in_(windows), Counter.window.in_(set(windows.values()))
    )
    return {key: count for key, window, count in db.session.execute(rows) if window == windows[key]}


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

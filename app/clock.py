"""The only reader of the system clock.

A clock may be set while we run, and those of two hosts differ. So a process goes by one clock that all hosts share, once it
was shown one, and remembers how its clock was set, for what must not end early.
"""

import threading
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

SET = 1.0  # seconds; what a clock changes by less is the gentle correction of a good one
REMEMBERED = 20  # times that it was set


class _Stretch(NamedTuple):
    """From when to when, by the steady clock, the time of day may have been ahead of it by so much."""

    begins: float
    ends: float
    ahead: float


class _Kept:
    """What this process knows of its clock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.ahead: float | None = None
        self.seen = self.begins = float("-inf")
        self.past: deque[_Stretch] = deque(maxlen=REMEMBERED)
        self.shared: float | None = None
        self.shown_at = float("-inf")


_kept = _Kept()


def steady() -> float:
    """Seconds that only ever count on, whatever the clock is set to; a sleeping machine's too where they are known."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def now() -> datetime:
    """The present moment, aware, in UTC."""
    counted, shared = steady(), _kept.shared
    moment = datetime.now(UTC) if shared is None else datetime.fromtimestamp(shared + counted, UTC)
    ahead = moment.timestamp() - counted
    if _kept.ahead is None or abs(ahead - _kept.ahead) > SET:
        _note(ahead, counted)
    _kept.ahead, _kept.seen = ahead, counted
    return moment


def _note(ahead: float, counted: float) -> None:
    with _kept.lock:
        if _kept.ahead is not None and abs(ahead - _kept.ahead) > SET:
            _kept.past.append(_Stretch(_kept.begins, counted, _kept.ahead))
            _kept.begins = _kept.seen
        _kept.ahead = ahead


def lead(since: datetime) -> timedelta:
    """How far the clock was set ahead, as this process saw it, since it showed a moment: so much less really went by.

    A moment that it showed several times is taken for the last of them.
    """
    now()
    then, ahead = since.timestamp(), _kept.ahead or 0.0
    stretches = (_Stretch(_kept.begins, _kept.seen + SET, ahead), *reversed(_kept.past))
    found = next((each.ahead for each in stretches if each.begins <= then - each.ahead <= each.ends), ahead)
    return timedelta(seconds=ahead - found)


def follow(moment: datetime, *, counted: float) -> None:
    """Go by a clock that all hosts share: it showed this moment when `steady` was at `counted`."""
    with _kept.lock:
        if _kept.shared is None:
            _kept.ahead = None  # ours was another clock: it was not set
        _kept.shared, _kept.shown_at = moment.timestamp() - counted, counted


def shown_ago() -> float:
    """How many seconds ago a shared clock was last looked at."""
    return steady() - _kept.shown_at

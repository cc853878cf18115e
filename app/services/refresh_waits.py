"""Waiting for another's refresh: one looks for all, and only so many stay who wait for long, so that the others are served.

Everybody may wait as long as a provider takes that answers. Who is still there then needs a place, of which a connection has
a few, an agency more, and the process half of its threads; who finds none is told to come again.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from app.errors import ProviderFailed

QUICK = 1.0  # seconds that anybody may wait
# Who wait for longer: of the 32 threads that a process serves with, of one agency, and for one connection.
MOST, OF_AGENCY, EACH = 16, 12, 8
POLL = (0.05, 0.1)  # seconds between two looks
Wanted = tuple[int, int]  # a connection, and the version that is to be replaced
_chance = random.SystemRandom()
_lock = threading.Lock()
_staying: Counter[tuple[str, int]] = Counter()  # of an agency, and for a connection


@dataclass(slots=True)
class _Look:
    """What somebody of this process looks after, for all who wait for it; `turn` is set when they leave."""

    turn: threading.Event = field(default_factory=threading.Event)
    is_over: bool = False


_looks: dict[Wanted, _Look] = {}


def wait(
    wanted: Wanted, *, agency_id: int, is_over: Callable[[], bool], patience: float, refusal: ProviderFailed
) -> None:
    """Wait until it is over; raises the refusal after so many seconds, or where too many wait already."""
    began = time.monotonic()
    if _is_seen(wanted, is_over, until=began + min(QUICK, patience)):
        return
    with _place(wanted[0], agency_id, refusal):
        while not _is_seen(wanted, is_over, until=began + patience):
            if time.monotonic() >= began + patience:
                raise refusal


def _is_seen(wanted: Wanted, is_over: Callable[[], bool], *, until: float) -> bool:
    """Whether it is over, as who looks for all sees it; false also when they leave, for another to look."""
    with _lock:
        look = _looks.get(wanted)
        is_first = look is None
        if look is None:
            look = _looks[wanted] = _Look()
    if not is_first:
        look.turn.wait(max(0.0, until - time.monotonic()))
        return look.is_over
    try:
        look.is_over = _looked(is_over, until)
    finally:
        with _lock:
            del _looks[wanted]
        look.turn.set()
    return look.is_over


def _looked(is_over: Callable[[], bool], until: float) -> bool:
    while not is_over():
        if time.monotonic() > until:
            return False
        time.sleep(_chance.uniform(*POLL))
    return True


@contextmanager
def _place(connection_id: int, agency_id: int, refusal: ProviderFailed) -> Iterator[None]:
    """Stay for longer."""
    agency, connection = ("agency", agency_id), ("connection", connection_id)
    with _lock:
        if staying() >= MOST or _staying[agency] >= OF_AGENCY or _staying[connection] >= EACH:
            raise refusal
        _staying.update((agency, connection))
    try:
        yield
    finally:
        with _lock:
            _staying.subtract((agency, connection))
            for each in (agency, connection):
                if not _staying[each]:
                    del _staying[each]


def staying() -> int:
    """How many of this process wait for longer."""
    return sum(many for (what, _), many in _staying.items() if what == "connection")

"""One host may fall silent without taking every thread of the server along: only so many exchanges with it at a time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from app.egress.errors import EgressFailed

MOST = 24  # of the 32 threads that a process serves with
PATIENCE = 0.25  # seconds: enough for a host that answers, and short enough for who waits behind one that does not


@dataclass(slots=True)
class _Host:
    """Who is inside, who waits, the first first, and when somebody last got an answer (monotonic seconds)."""

    inside: int = 0
    waiting: deque[threading.Event] = field(default_factory=deque)
    answered: float = 0.0


class Doors:
    """Counts who is inside at each host; `through` lets in as long as there is room, and then in turn.

    Who waits gives up when nobody inside got an answer for as long as the patience lasts, and after twice that in any case.
    """

    def __init__(self, most: int = MOST, patience: float = PATIENCE) -> None:
        self._most, self._patience = most, patience
        self._inside: dict[str, _Host] = {}
        self._lock = threading.Lock()

    @contextmanager
    def through(self, host: str) -> Generator[None]:
        """Be inside meanwhile; raises EgressFailed("busy") when it is nobody's turn to leave in time."""
        there = self._enter(host)
        answered = False
        try:
            yield
            answered = True
        finally:
            self._leave(host, there, answered=answered)

    def _enter(self, host: str) -> _Host:
        with self._lock:
            there = self._inside.setdefault(host, _Host())
            if there.inside < self._most:
                there.inside += 1
                return there
            turn = threading.Event()
            there.waiting.append(turn)
        self._wait(there, turn)
        return there

    def _wait(self, there: _Host, turn: threading.Event) -> None:
        began = time.monotonic()
        left = self._patience
        while not turn.wait(left):
            with self._lock:
                if turn.is_set():
                    return
                last = max(began, min(there.answered, began + self._patience))
                left = last + self._patience - time.monotonic()
                if left <= 0:
                    there.waiting.remove(turn)
                    raise EgressFailed("busy")

    def _leave(self, host: str, there: _Host, *, answered: bool) -> None:
        """Give the place to whoever waits longest."""
        with self._lock:
            if answered:
                there.answered = time.monotonic()
            if there.waiting:
                there.waiting.popleft().set()
                return
            there.inside -= 1
            if not there.inside:
                del self._inside[host]

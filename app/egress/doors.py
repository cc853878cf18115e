"""One host may fall silent without taking every thread of the server along: only so many exchanges with it at a time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from app.egress.errors import EgressFailed

MOST = 24  # of the 32 threads that a process serves with
PATIENCE = 0.25  # seconds: enough for a host that answers, and short enough for who waits behind one that does not


class Doors:
    """Counts who is inside at each host; `through` lets in as long as there is room."""

    def __init__(self, most: int = MOST, patience: float = PATIENCE) -> None:
        self._most, self._patience = most, patience
        self._inside: Counter[str] = Counter()
        self._left = threading.Condition()

    @contextmanager
    def through(self, host: str) -> Generator[None]:
        """Be inside meanwhile; raises EgressFailed("busy") when nobody leaves in time."""
        with self._left:
            if not self._left.wait_for(lambda: self._inside[host] < self._most, self._patience):
                raise EgressFailed("busy")
            self._inside[host] += 1
        try:
            yield
        finally:
            with self._left:
                self._inside[host] -= 1
                if not self._inside[host]:
                    del self._inside[host]
                self._left.notify_all()

"""Switches that make an app of the sandbox misbehave."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from enum import StrEnum

SECONDS = (1, 30)
SLEEPERS = 4  # so that slow answers never take all threads of the server


class Mode(StrEnum):
    """How an app behaves."""

    NORMAL = "normal"
    ERROR_PAGE = "error_page"  # instead of the consent screen, with no way back
    ERROR_BACK = "error_back"  # the browser is sent back with an error
    SERVER_ERROR = "server_error"
    SLOW = "slow"
    GARBAGE = "garbage"
    RATE_LIMITED = "rate_limited"
    DENY_REFRESH = "deny_refresh"


@dataclass(frozen=True, slots=True)
class Switch:
    """A mode, and its seconds where it has some: how slow, or how long to stay away."""

    mode: Mode = Mode.NORMAL
    seconds: int = 5


NORMAL = Switch()


class Switches:
    """The switches of all apps; threads may share it."""

    def __init__(self) -> None:
        self._set: dict[str, Switch] = {}
        self._changed = threading.Condition()
        self._asleep = 0

    def get(self, app: str) -> Switch:
        """Return how an app is to behave."""
        return self._set.get(app, NORMAL)

    def set(self, app: str, mode: Mode, seconds: int = NORMAL.seconds) -> None:
        """Set an app's mode; the seconds are kept within bounds. Whoever waits for its slowness waits no longer."""
        bounded = max(SECONDS[0], min(seconds, SECONDS[1]))
        with self._changed:
            self._set[app] = Switch(mode, bounded)
            self._changed.notify_all()

    def reset(self) -> None:
        """Let all apps behave."""
        with self._changed:
            self._set.clear()
            self._changed.notify_all()

    def all_set(self) -> dict[str, Switch]:
        """Return the switches that are not normal, by app."""
        return {app: switch for app, switch in list(self._set.items()) if switch.mode is not Mode.NORMAL}

    def dawdle(self, app: str) -> None:
        """Wait as long as the app is slow; at once if too many wait already."""
        switch = self.get(app)
        if switch.mode is not Mode.SLOW:
            return
        until = time.monotonic() + switch.seconds
        with self._changed:
            if self._asleep >= SLEEPERS:
                return
            self._asleep += 1
            try:
                while self.get(app) is switch and (left := until - time.monotonic()) > 0:
                    self._changed.wait(left)
            finally:
                self._asleep -= 1

"""Connections that stay open for the next exchange with the same server."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager

import httpcore2

IDLE = 5.0  # seconds: how long one may wait for the next exchange
MOST_IDLE = 64


class Connections:
    """Those of one process; each serves one exchange at a time and is then kept for the next."""

    def __init__(self, tls: ssl.SSLContext, backend: httpcore2.NetworkBackend) -> None:
        self._tls, self._backend = tls, backend
        self._idle: list[httpcore2.HTTPConnection] = []  # the longest idle first
        self._lock = threading.Lock()

    @contextmanager
    def to(self, origin: httpcore2.Origin) -> Generator[httpcore2.HTTPConnection]:
        """Have one to this server for oneself, open or about to be opened; it is kept if all went well and it can serve again."""
        connection = self._taken(origin) or self._made(origin)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        if connection.is_available() and not _has_more(connection):
            self._keep(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close those that are idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _made(self, origin: httpcore2.Origin) -> httpcore2.HTTPConnection:
        return httpcore2.HTTPConnection(origin, self._tls, IDLE, network_backend=self._backend)

    def _taken(self, origin: httpcore2.Origin) -> httpcore2.HTTPConnection | None:
        """The one that was used last, which is the likeliest to be open still; those found closed are dropped."""
        while found := self._newest(origin):
            if not found.has_expired():
                return found
            found.close()
        return None

    def _newest(self, origin: httpcore2.Origin) -> httpcore2.HTTPConnection | None:
        with self._lock:
            for place in range(len(self._idle) - 1, -1, -1):
                if self._idle[place].can_handle_request(origin):
                    return self._idle.pop(place)
        return None

    def _keep(self, connection: httpcore2.HTTPConnection) -> None:
        """Keep one, and close those whose time is over."""
        closing = []
        with self._lock:
            while self._idle and (len(self._idle) >= MOST_IDLE or self._idle[0].has_expired()):
                closing.append(self._idle.pop(0))
            self._idle.append(connection)
        for each in closing:
            each.close()


def _has_more(connection: httpcore2.HTTPConnection) -> bool:
    """Whether more came than the answer: the next exchange would take it for its own."""
    return bool(connection._connection._h11_state.trailing_data[0])  # type: ignore[union-attr]  # noqa: SLF001 - no public way

"""The guarded transport: resolves once, checks, connects to what was checked, and bounds time and size of the exchange."""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpcore2
import httpx2

from app.egress.addresses import Network, check_url, checked
from app.egress.connections import Connections
from app.egress.doors import Doors
from app.egress.errors import EgressFailed, EgressRefused
from app.egress.responses import Response

MAX_BODY = 1024 * 1024
MAX_DEADLINE = 30.0
BEHIND = 50  # exchanges with one host that nobody waits for
_ATTEMPTS = 4
_PIECE = 16384  # bytes that may take all the time that is left
_OURS = {"User-Agent": "Gatehouse", "Accept-Encoding": "gzip"}
_DROPPED = frozenset(
    {b"connection", b"content-encoding", b"content-length", b"set-cookie", b"set-cookie2", b"transfer-encoding"}
)

Resolver = Callable[[str, int], Sequence[str]]


@dataclass
class _Exchange:
    """One exchange under way in this thread: when it must be over (monotonic seconds) and whether it is plain http.

    `heard`: something came since it was sent; `cut`: the other side did not take all of it.
    """

    until: float
    plain: bool
    heard: bool = False
    cut: bool = False

    def left(self) -> float:
        seconds = self.until - time.monotonic()
        if seconds <= 0:
            raise EgressFailed("timeout")
        return seconds


_exchange: ContextVar[_Exchange] = ContextVar("egress_exchange")
_is_behind: ContextVar[bool] = ContextVar("egress_behind", default=False)


@contextmanager
def behind() -> Generator[None]:
    """Have this thread's exchanges be those that nobody waits for: they take no place from those of people."""
    mark = _is_behind.set(True)
    try:
        yield
    finally:
        _is_behind.reset(mark)


def system_resolver(host: str, port: int) -> Sequence[str]:
    """Ask the system for a name's addresses, in its order of preference (RFC 6724); `localhost` is known (RFC 6761 6.3)."""
    if host == "localhost" or host.endswith(".localhost"):
        return ["127.0.0.1"]
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is sent, word for word."""

    method: str
    url: httpx2.URL
    headers: httpx2.Headers
    content: bytes


class GuardedTransport:
    """All connections of the process; every exchange through it is checked, timed and weighed."""

    def __init__(self, allow: tuple[Network, ...], resolver: Resolver, tls: ssl.SSLContext) -> None:
        self._connections = Connections(tls, _Backend(allow, resolver))
        self._doors, self._behind = Doors(), Doors(BEHIND)

    def exchange(self, asked: Asked, deadline: float) -> Response:
        """Send what is asked and read the whole answer within `deadline` seconds, connecting included."""
        if not 0 < deadline <= MAX_DEADLINE:
            raise EgressRefused("deadline")
        check_url(asked.url)
        mark = _exchange.set(_Exchange(until=time.monotonic() + deadline, plain=asked.url.scheme == "http"))
        try:
            doors = self._behind if _is_behind.get() else self._doors
            with doors.through(asked.url.netloc.decode("ascii")), _own_errors():
                return self._send(asked)
        finally:
            _exchange.reset(mark)

    def close(self) -> None:
        self._connections.close()

    def _send(self, asked: Asked) -> Response:
        url = asked.url
        target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        sent = httpcore2.Request(asked.method, target, headers=asked.headers.raw, content=asked.content)
        with self._connections.to(target.origin) as connection:
            answer = connection.handle_request(sent)
            try:
                if not _exchange.get().heard:  # it was there before: nobody can tell what it answers
                    raise EgressFailed("protocol")
                body = _read_body(answer, httpx2.Headers(answer.headers))
            finally:
                answer.close()
            if _exchange.get().cut:
                connection.close()
        kept = [(name, value) for name, value in answer.headers if name.lower() not in _DROPPED]
        return Response(answer.status, httpx2.Headers(kept), body)


class Exchanges(httpx2.BaseTransport):
    """The shared transport as one client sees it: with a deadline of its own, and closing it closes nothing."""

    def __init__(self, shared: GuardedTransport, deadline: float) -> None:
        self._shared = shared
        self._deadline = deadline

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Make the exchange that a client of httpx2 asks for."""
        request.headers.update(_OURS)
        asked = Asked(request.method, request.url, request.headers, request.read())
        answer = self._shared.exchange(asked, self._deadline)
        return httpx2.Response(answer.status, headers=answer.headers, content=answer.body, request=request)

    def post(self, url: str, *, headers: Mapping[str, str], content: bytes) -> Response:
        """Send what needs nothing of a client: its headers and content are as they shall be. Raises EgressError."""
        try:
            address = httpx2.URL(url)
        except (httpx2.InvalidURL, UnicodeError, ValueError):
            raise EgressRefused("url") from None
        ours = {"Content-Length": str(len(content)), **_OURS}
        sent = httpx2.Headers({"Host": address.netloc.decode("ascii"), "Connection": "keep-alive", **headers, **ours})
        return self._shared.exchange(Asked("POST", address, sent, content), self._deadline)


class _Backend(httpcore2.NetworkBackend):
    """Opens sockets to addresses that were checked a moment ago; the name is never looked up a second time."""

    def __init__(self, allow: tuple[Network, ...], resolver: Resolver) -> None:
        self._allow = allow
        self._resolver = resolver
        self._sockets = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the exchange's deadline rules
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        under_way = _exchange.get()
        found = checked(self._look_up(host, port), self._allow, plain=under_way.plain)[:_ATTEMPTS]
        for behind, address in zip(range(len(found) - 1, -1, -1), found, strict=True):
            wait = under_way.left() / (behind + 1)  # a dead address must not eat the time of the next
            try:
                stream = self._sockets.connect_tcp(str(address), port, wait, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if not behind:
                    raise
            else:
                return _Stream(stream)
        raise EgressFailed("resolve")

    def _look_up(self, host: str, port: int) -> Sequence[str]:
        """Resolve in a thread of its own, since the system's resolver knows no deadline."""
        answers: queue.SimpleQueue[Sequence[str] | None] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self._resolver(host, port))
            except (OSError, ValueError):
                answers.put(None)

        threading.Thread(target=ask, name="egress-resolve", daemon=True).start()
        try:
            found = answers.get(timeout=_exchange.get().left())
        except queue.Empty:
            raise EgressFailed("timeout") from None
        if not found:
            raise EgressFailed("resolve")
        return found


class _Stream(httpcore2.NetworkStream):
    """A connection whose every wait ends with the exchange, however slowly the other side trickles.

    What is written is sent at once with what follows it, which is before anything is read.
    """

    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner
        self._answered = False
        self._unsent = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        under_way = _exchange.get()
        try:
            self._send()
        except httpcore2.WriteError:
            under_way.cut = True  # who refuses to read on may have said why
        received = self._inner.read(max_bytes, under_way.left())
        if not received and not self._answered:
            raise EgressFailed("connection")  # hung up without a word, which is silence and no bad answer
        self._answered = under_way.heard = True
        return received

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._answered = False
        self._unsent += buffer
        if len(self._unsent) > _PIECE:
            self._send()

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, b""
        for start in range(0, len(unsent), _PIECE):
            self._inner.write(unsent[start : start + _PIECE], _exchange.get().left())

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        try:
            return _Stream(self._inner.start_tls(ssl_context, server_hostname, _exchange.get().left()))
        except httpcore2.ConnectError as error:
            raise EgressFailed("tls" if isinstance(error.__cause__, ssl.SSLError) else "connect") from None
        except BaseException:
            self.close()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


@contextmanager
def _own_errors() -> Generator[None]:
    """Replace the library's errors, whose texts may quote a header, by codes of ours."""
    try:
        yield
    except httpcore2.TimeoutException:
        raise EgressFailed("timeout") from None
    except httpcore2.ConnectError:
        raise EgressFailed("connect") from None
    except httpcore2.NetworkError:
        raise EgressFailed("connection") from None
    except httpcore2.ProtocolError:
        raise EgressFailed("protocol") from None


def _read_body(answer: httpcore2.Response, headers: httpx2.Headers) -> bytes:
    """Read the body as it comes, and stop at the first byte too many, on the wire or decompressed (RFC 9110 8.4)."""
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:19]) > MAX_BODY:
        raise EgressFailed("too_large")
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding not in {"identity", "gzip", "x-gzip", ""}:
        raise EgressFailed("encoding")
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 16) if coding.endswith("gzip") else None
    body, received = bytearray(), 0
    for chunk in answer.iter_stream():
        received += len(chunk)
        body += _unzipped(unzip, chunk, MAX_BODY + 1 - len(body)) if unzip else chunk
        if max(received, len(body)) > MAX_BODY:
            raise EgressFailed("too_large")
    if unzip and received and not unzip.eof:
        raise EgressFailed("encoding")
    return bytes(body)


def _unzipped(unzip: zlib._Decompress, chunk: bytes, room: int) -> bytes:
    try:
        return unzip.decompress(chunk, room)
    except zlib.error:
        raise EgressFailed("encoding") from None

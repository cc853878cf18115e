"""A mail server that keeps what it takes, and can be told to misbehave."""

import asyncio
import contextlib
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from typing import Any, Literal

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.processes import LOOPBACK
from tests.support.tls import Authority

Tls = Literal["none", "starttls", "implicit"]
# CONNECT comes before the greeting, BODY after the whole message, ACCEPTED after the final 250.
Stage = Literal["CONNECT", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BODY", "ACCEPTED", "QUIT"]
HANG = 3600.0


@dataclass(frozen=True)
class Received:
    """A message that the server took, as it came over the wire."""

    mail_from: str
    rcpt_tos: tuple[str, ...]
    raw: bytes
    encrypted: bool
    login: str | None
    message: EmailMessage

    @property
    def text(self) -> str:
        """Its plain text."""
        return self._part("plain")

    @property
    def html(self) -> str:
        """Its HTML."""
        return self._part("html")

    @property
    def links(self) -> list[str]:
        """The addresses in its plain text, in order."""
        return re.findall(r"https?://[^\s<>\"]+", self.text)

    def _part(self, kind: Literal["plain", "html"]) -> str:
        part = self.message.get_body((kind,))
        return part.get_content().replace("\r\n", "\n") if part else ""


class Inbox:
    """What a server took, in order; safe to read from any thread."""

    def __init__(self) -> None:
        self._messages: list[Received] = []
        self._changed = threading.Condition()

    def put(self, received: Received) -> None:
        with self._changed:
            self._messages.append(received)
            self._changed.notify_all()

    def __len__(self) -> int:
        return len(self.all())

    def all(self) -> list[Received]:
        """Return every message so far."""
        with self._changed:
            return list(self._messages)

    def to(self, address: str) -> list[Received]:
        """Return the messages that went to an address."""
        return [received for received in self.all() if address in received.rcpt_tos]

    def clear(self) -> None:
        """Forget every message."""
        with self._changed:
            self._messages.clear()

    def wait_for(self, n: int = 1, timeout: float = 10, *, quiet: float = 0) -> list[Received]:
        """Wait for exactly `n` messages, and that for `quiet` seconds no other comes; returns them, or fails."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._messages) >= n, timeout)
            if quiet:
                self._changed.wait_for(lambda: len(self._messages) > n, quiet)
            there = [f"{each.rcpt_tos}: {each.message['Subject']}" for each in self._messages]
            assert len(there) == n, f"{len(there)} messages instead of {n}: {there}"
            return list(self._messages)


@dataclass
class Fault:
    """A misbehaviour: at a stage, answer this line, or wait so many seconds, or drop the connection."""

    at: Stage
    do: str | float
    left: int | None = None
    to: str | None = None
    keeps: bool = False

    def applies(self, at: str, argument: str | None) -> bool:
        """Tell whether it is meant for this command."""
        return self.at == at and self.left != 0 and (self.to is None or self.to in (argument or ""))


class Server:
    """A mail server on a free port of loopback; `inbox` holds what it took."""

    def __init__(
        self, *, tls: Tls = "none", authority: Authority | None = None, credentials: tuple[str, str] | None = None
    ) -> None:
        self.tls = tls
        self.credentials = credentials
        self.inbox = Inbox()
        self.connections = 0
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        context = authority.server_context() if authority and tls != "none" else None
        self._controller = _Controller(self, context)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._controller.port

    @property
    def url(self) -> str:
        """Its address as the setting `SMTP_URL` wants it."""
        login = "{}:{}@".format(*self.credentials) if self.credentials else ""
        scheme = "smtps" if self.tls == "implicit" else "smtp"
        return f"{scheme}://{login}localhost:{self.port}" + ("?tls=none" if self.tls == "none" else "")

    def fault(
        self, at: Stage, do: str | float, *, times: int | None = None, to: str | None = None, keeps: bool = False
    ) -> Fault:
        """Misbehave `times` times, or until `behave()`.

        `do` is a reply (“450 4.2.0 Try later”), a number of seconds to wait before going on (`HANG`), or “drop”.
        `to` limits it to one recipient; `keeps` puts a message into the inbox although BODY is dropped.
        """
        fault = Fault(at, do, times, to, keeps)
        with self._lock:
            self._faults.append(fault)
        return fault

    def behave(self) -> None:
        """Forget every fault; what hangs already goes on hanging."""
        with self._lock:
            self._faults.clear()

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Let nobody connect meanwhile; the port stays its own."""
        self._controller.on_loop(self._controller.close_listener)
        try:
            yield
        finally:
            self._controller.on_loop(self._controller.reopen)

    def start(self) -> None:
        self._controller.start()
        self.connections = 0  # the controller's own first try is not one

    def stop(self) -> None:
        self._controller.on_loop(self._controller.hang_up)
        self._controller.stop()

    def take(self, at: Stage, argument: str | None) -> Fault | None:
        """Use up one turn of the fault that is meant for this command."""
        with self._lock:
            for fault in self._faults:
                if fault.applies(at, argument):
                    fault.left = None if fault.left is None else fault.left - 1
                    return fault
        return None


class _Controller(Controller):
    def __init__(self, server: Server, context: ssl.SSLContext | None) -> None:
        self._server = server
        self._starttls = context if server.tls == "starttls" else None
        self.sessions: set[_Smtp] = set()
        implicit = context if server.tls == "implicit" else None
        super().__init__(_Handler(server), hostname=LOOPBACK, port=0, ssl_context=implicit)

    def factory(self) -> SMTP:
        return _Smtp(self._server, self.sessions, self.handler, self._starttls, self.loop)

    def _trigger_server(self) -> None:
        # The original connects to the port it was given, which is 0 here.
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()

    def on_loop(self, make: Callable[[], Any]) -> None:
        asyncio.run_coroutine_threadsafe(make(), self.loop).result(5)

    async def close_listener(self) -> None:
        self.server.close()

    async def reopen(self) -> None:
        self.server = await self._create_server()

    async def hang_up(self) -> None:
        sessions = list(self.sessions)
        for session in sessions:
            session.drop()
        await asyncio.gather(*(session.over.wait() for session in sessions))


class _Smtp(SMTP):
    def __init__(
        self,
        server: Server,
        sessions: set["_Smtp"],
        handler: Any,
        starttls: ssl.SSLContext | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(
            handler,
            hostname="mail.test",
            enable_SMTPUTF8=True,
            tls_context=starttls,
            authenticator=partial(_authenticate, server.credentials) if server.credentials else None,
            auth_require_tls=starttls is not None,
            auth_exclude_mechanism=None if server.credentials else ["LOGIN", "PLAIN"],
            loop=loop,
        )
        self._server = server
        self._sessions = sessions
        self.over = asyncio.Event()
        self._smtp_methods = {verb: partial(self._command, verb, do) for verb, do in self._smtp_methods.items()}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self not in self._sessions:
            self._sessions.add(self)
            self._server.connections += 1
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._sessions.discard(self)
        super().connection_lost(error)
        self.over.set()

    def drop(self) -> None:
        (self._original_transport or self.transport).abort()

    async def fault(self, at: Stage, argument: str | None = None) -> Fault | None:
        """Carry out the fault meant for this command; returns one that leaves nothing else to be done."""
        fault = self._server.take(at, argument)
        if fault is None:
            return None
        if isinstance(fault.do, float | int):
            await asyncio.sleep(fault.do)
            return None
        if fault.do == "drop":
            self.drop()
        return fault

    async def _handle_client(self) -> None:
        fault = await self.fault("CONNECT")
        if fault is None:
            await super()._handle_client()
        elif fault.do != "drop":
            await self.push(fault.do)
            self.transport.close()

    async def _command(self, verb: Stage, do: Callable[[str | None], Any], argument: str | None) -> None:
        fault = await self.fault(verb, argument)
        if fault is not None:
            if fault.do != "drop":
                await self.push(fault.do)
        elif verb == "MAIL" and self._server.credentials and not self.session.authenticated:
            await self.push("530 5.7.0 Authentication required")
        else:
            await do(argument)
            if verb == "DATA":
                await self.fault("ACCEPTED")


class _Handler:
    def __init__(self, server: Server) -> None:
        self._server = server

    async def handle_DATA(self, smtp: _Smtp, session: Session, envelope: Envelope) -> str:
        fault = await smtp.fault("BODY")
        if fault is None or fault.keeps:
            self._server.inbox.put(_received(smtp, session, envelope))
        return "250 2.0.0 Taken" if fault is None or fault.do == "drop" else fault.do


def _received(smtp: _Smtp, session: Session, envelope: Envelope) -> Received:
    login = session.auth_data.login.decode() if session.authenticated else None
    return Received(
        mail_from=envelope.mail_from,
        rcpt_tos=tuple(envelope.rcpt_tos),
        raw=envelope.original_content,
        encrypted=smtp.transport.get_extra_info("sslcontext") is not None,
        login=login,
        message=message_from_bytes(envelope.original_content, policy=policy.default),
    )


def _authenticate(
    credentials: tuple[str, str], _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any
) -> AuthResult:
    user, password = credentials
    right = isinstance(data, LoginPassword) and data == LoginPassword(user.encode(), password.encode())
    return AuthResult(success=right, handled=False, auth_data=data)


@contextlib.contextmanager
def smtp_server(
    *, tls: Tls = "none", authority: Authority | None = None, credentials: tuple[str, str] | None = None
) -> Iterator[Server]:
    """Run a mail server; TLS needs an authority to certify it."""
    server = Server(tls=tls, authority=authority, credentials=credentials)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def smtp() -> Iterator[Server]:
    """A mail server without TLS."""
    with smtp_server() as server:
        yield server


@pytest.fixture
def smtp_starttls(trusted_authority: Authority) -> Iterator[Server]:
    """A mail server that offers STARTTLS and wants the login `mailer`, `secret`; its certificate is trusted."""
    with smtp_server(tls="starttls", authority=trusted_authority, credentials=("mailer", "secret")) as server:
        yield server


@pytest.fixture
def smtp_implicit(trusted_authority: Authority) -> Iterator[Server]:
    """A mail server with TLS from the first byte and the login `mailer`, `secret`; its certificate is trusted."""
    with smtp_server(tls="implicit", authority=trusted_authority, credentials=("mailer", "secret")) as server:
        yield server

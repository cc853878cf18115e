"""aiosmtpd, taught to misbehave: the wire side of `smtp`."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes, policy
from functools import partial
from typing import Any, Literal, Protocol

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.inbox import Inbox, Received
from tests.support.processes import LOOPBACK

Tls = Literal["none", "starttls", "implicit"]
# CONNECT comes before the greeting, HANDSHAKE after the yes to STARTTLS, BODY after the whole message, ACCEPTED after the
# final 250.
Stage = Literal[
    "CONNECT",
    "EHLO",
    "HELO",
    "STARTTLS",
    "HANDSHAKE",
    "AUTH",
    "MAIL",
    "RCPT",
    "DATA",
    "BODY",
    "ACCEPTED",
    "RSET",
    "QUIT",
]
# What is sent again and again, and how many seconds apart: a reply that never ends, slowly or fast.
ENDLESS = {"trickle": (b"2", 0.05), "flood": (b"250-" + b"x" * 500 + b"\r\n", 0.0)}
ROUNDS = 5  # of the loop, after which a connection that it has accepted has its session


@dataclass
class Fault:
    """A misbehaviour: at a stage, answer this line, wait so many seconds, drop the connection, trickle or flood."""

    at: Stage
    do: str | float
    left: int | None = None
    to: str | None = None
    keeps: bool = False

    def applies(self, at: str, argument: str | None) -> bool:
        """Tell whether it is meant for this command."""
        return self.at == at and self.left != 0 and (self.to is None or self.to in (argument or ""))

    @property
    def says(self) -> str:
        """The line that it answers, if that is what it does."""
        return self.do if isinstance(self.do, str) and self.do not in ("drop", *ENDLESS) else ""


class Served(Protocol):
    """The server whose sessions these are."""

    tls: Tls
    credentials: tuple[str, str] | None
    inbox: Inbox
    connections: int
    heard: list[tuple[str, bool]]

    def take(self, at: Stage, argument: str | None) -> Fault | None: ...

    def expects(self, at: Stage) -> bool: ...


class MailController(Controller):
    """Runs the listener and its sessions on a loop in a thread of its own."""

    def __init__(self, server: Served, context: ssl.SSLContext | None) -> None:
        self._server = server
        self._starttls = context if server.tls == "starttls" else None
        self.sessions: set[MailSession] = set()
        implicit = context if server.tls == "implicit" else None
        super().__init__(_Handler(server), hostname=LOOPBACK, port=0, ssl_context=implicit)

    def factory(self) -> SMTP:
        return MailSession(self._server, self.sessions, self.handler, self._starttls, self.loop)

    def _trigger_server(self) -> None:
        # The original connects to the port it was given, which is 0 here.
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()

    def on_loop(self, make: Callable[[], Any]) -> None:
        asyncio.run_coroutine_threadsafe(make(), self.loop).result(5)

    async def close_listener(self) -> None:
        """Let nobody connect any more; who was let in just now has a session, which `hang_up` ends."""
        for listening in self.server.sockets:
            self.loop.remove_reader(listening.fileno())
        for _ in range(ROUNDS):
            await asyncio.sleep(0)
        self.server.close()

    async def reopen(self) -> None:
        self.server = await self._create_server()

    async def hang_up(self) -> None:
        sessions = list(self.sessions)
        for session in sessions:
            session.drop()
        waits = [asyncio.create_task(session.over.wait()) for session in sessions]
        if waits:  # one in the middle of a handshake is never told that it is over
            _, late = await asyncio.wait(waits, timeout=2)
            for wait in late:
                wait.cancel()
        self.sessions.difference_update(sessions)


class MailSession(SMTP):
    """One connection; asks its server for a fault before every command."""

    def __init__(
        self,
        server: Served,
        sessions: set["MailSession"],
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
        with contextlib.suppress(AttributeError):  # as Python 3.11.2 has it of one that is gone already
            (self._original_transport or self.transport).abort()

    async def fault(self, at: Stage, argument: str | None = None) -> Fault | None:
        """Carry out the fault meant for this command; returns one that leaves nothing else to be done."""
        fault = self._server.take(at, argument)
        return await self.carry_out(fault) if fault else None

    async def carry_out(self, fault: Fault) -> Fault | None:
        """Do as the fault says; None if all goes on afterwards."""
        if isinstance(fault.do, float | int):
            await asyncio.sleep(fault.do)
            return None
        if fault.do == "drop":
            self.drop()
        elif fault.do in ENDLESS:
            await self._go_on(*ENDLESS[fault.do])
        return fault

    async def _go_on(self, piece: bytes, pause: float) -> None:
        """Send a piece again and again until the other side has had enough."""
        with contextlib.suppress(ConnectionError):
            while not self.transport.is_closing():
                self._writer.write(piece)
                await self._writer.drain()
                await asyncio.sleep(pause)

    async def _handle_client(self) -> None:
        fault = await self.fault("CONNECT")
        if fault is None:
            await super()._handle_client()
        elif fault.says:
            await self.push(fault.says)
            self.transport.close()

    async def _command(self, verb: Stage, do: Callable[[str | None], Any], argument: str | None) -> None:
        self._server.heard.append((verb, self.transport.get_extra_info("sslcontext") is not None))
        fault = await self.fault(verb, argument)
        if fault is not None:
            if fault.says:
                await self.push(fault.says)
        elif verb == "STARTTLS" and self._server.expects("HANDSHAKE"):
            await self.push("220 2.0.0 Go ahead")
            fault = await self.fault("HANDSHAKE")
            if fault is not None and fault.says:
                await self.push(fault.says)
        elif verb == "MAIL" and self._server.credentials and not self.session.authenticated:
            await self.push("530 5.7.0 Authentication required")
        else:
            await do(argument)
            if verb == "DATA":
                await self.fault("ACCEPTED")


class _Handler:
    def __init__(self, server: Served) -> None:
        self._server = server

    async def handle_DATA(self, smtp: MailSession, session: Session, envelope: Envelope) -> str:
        received, fault = _received(smtp, session, envelope), self._server.take("BODY", None)
        if fault and fault.keeps:
            self._server.inbox.put(received)
            fault = await smtp.carry_out(fault)
        elif not fault or not (fault := await smtp.carry_out(fault)):
            self._server.inbox.put(received)
        return "250 2.0.0 Taken" if fault is None or not fault.says else fault.says


def _received(smtp: MailSession, session: Session, envelope: Envelope) -> Received:
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

"""aiosmtpd, taught to misbehave: the wire side of `smtp`."""

import asyncio
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
# CONNECT comes before the greeting, BODY after the whole message, ACCEPTED after the final 250.
Stage = Literal["CONNECT", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BODY", "ACCEPTED", "QUIT"]


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


class Served(Protocol):
    """The server whose sessions these are."""

    tls: Tls
    credentials: tuple[str, str] | None
    inbox: Inbox
    connections: int

    def take(self, at: Stage, argument: str | None) -> Fault | None: ...


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
        self.server.close()

    async def reopen(self) -> None:
        self.server = await self._create_server()

    async def hang_up(self) -> None:
        sessions = list(self.sessions)
        for session in sessions:
            session.drop()
        await asyncio.gather(*(session.over.wait() for session in sessions))


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
    def __init__(self, server: Served) -> None:
        self._server = server

    async def handle_DATA(self, smtp: MailSession, session: Session, envelope: Envelope) -> str:
        fault = await smtp.fault("BODY")
        if fault is None or fault.keeps:
            self._server.inbox.put(_received(smtp, session, envelope))
        return "250 2.0.0 Taken" if fault is None or fault.do == "drop" else fault.do


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

"""Flask-Mail's connection, hardened: verified certificates, no fallback to clear text, an end to every wait."""

import io
import re
import smtplib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

import flask_mail

from app.config import SmtpServer
from app.services.claims import Failed

PATIENCE, LIMIT = 30.0, 60.0  # seconds: for one step, and for one mail
BROKEN = frozenset({"dropped", "timeout", "tls"})  # after these a connection is of no use


class Wire(smtplib.SMTP):
    """SMTP whose every step, and all of them together, end in time, however slowly the server trickles."""

    def __init__(
        self, server: SmtpServer, context: ssl.SSLContext, *, name: str, patience: float, limit: float
    ) -> None:
        self._context = context
        self._implicit = server.tls == "implicit"
        self._patience = patience
        self.allow(limit)
        super().__init__(local_hostname=name, timeout=patience)
        self._host = server.host
        code, text = self.connect(server.host, server.port)
        if code != 220:
            self.close()
            raise smtplib.SMTPConnectError(code, text)

    def allow(self, seconds: float) -> None:
        """Begin a new piece of work that must end within so many seconds."""
        self._deadline = time.monotonic() + seconds

    def left(self) -> float:
        """How long the next step may take; raises TimeoutError when the time for all of it is over."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(left, self._patience)

    def _get_socket(self, host: str, port: int, _timeout: float) -> socket.socket:
        error: OSError | None = None
        for family, kind, protocol, _name, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            plain = socket.socket(family, kind, protocol)
            try:
                plain.settimeout(self.left())
                plain.connect(address)
                plain.settimeout(self.left())
                return self._context.wrap_socket(plain, server_hostname=host) if self._implicit else plain
            except OSError as failure:
                plain.close()
                error = failure
        raise error or OSError("The name has no address.")

    def send(self, text: Any) -> None:
        if self.sock:
            self.sock.settimeout(self.left())
        super().send(text)

    def getreply(self) -> tuple[int, bytes]:
        if self.sock and self.file is None:
            self.file = io.BufferedReader(_Reader(self.sock, self.left))
        return super().getreply()

    def encrypt(self) -> None:
        """STARTTLS (RFC 3207), verified; raises where the server does not offer it."""
        if self.sock:
            self.sock.settimeout(self.left())
        self.starttls(context=self._context)
        self.ehlo_or_helo_if_needed()

    def hand_over(self, message: bytes) -> tuple[int, bytes]:
        """Send the message itself, after 354, and return what the server says to it (RFC 5321, section 4.1.1.4)."""
        body = re.sub(rb"(?m)^\.", b"..", message)
        self.send(body + (b"" if body.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        return self.getreply()


class _Reader(io.RawIOBase):
    def __init__(self, sock: socket.socket, left: Callable[[], float]) -> None:
        self._sock, self._left = sock, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._left())
        return self._sock.recv_into(buffer)


class Connection(flask_mail.Connection):
    """A connection that opens with the first mail, is kept for the next, and opens again when it broke."""

    def __init__(
        self,
        server: SmtpServer,
        *,
        name: str,
        cafile: str | None = None,
        patience: float = PATIENCE,
        limit: float = LIMIT,
    ) -> None:
        settings = {
            "MAIL_SERVER": server.host,
            "MAIL_PORT": server.port,
            "MAIL_USE_TLS": server.tls == "starttls",
            "MAIL_USE_SSL": server.tls == "implicit",
            "MAIL_USERNAME": server.username,
            "MAIL_PASSWORD": server.password,
        }
        mail = flask_mail.Mail()
        mail.state = mail.init_mail(settings)
        super().__init__(mail)
        self.host: Wire | None = None
        self._server, self._name = server, name
        self._context = ssl.create_default_context(cafile=cafile)
        self._patience, self._limit = patience, limit

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self.host:
            with suppress(smtplib.SMTPException, OSError):
                self.host.allow(2)  # all has been said: nobody waits long for a goodbye
                self.host.quit()
        self._hang_up()

    def send(self, message: flask_mail.Message, envelope_from: Any = None) -> None:
        """Send a message of Flask-Mail's to its one recipient."""
        (recipient,) = message.send_to
        self.deliver(str(envelope_from or message.sender), str(recipient), message.as_bytes)

    def deliver(self, sender: str, recipient: str, content: Callable[[], bytes]) -> None:
        """Hand one mail over. `content` is called once the server has agreed to take it, and what it raises is passed on.

        Raises Failed, which says whether another try can help and whether the mail may have gone all the same.
        """
        try:
            host = self._ready()
            with _naming("dropped"):
                _expect(host.mail(sender), 250, "sender", final=False)
                _expect(host.rcpt(recipient), 250, "refused")
            message = content()
            with _naming("dropped"):
                _expect(host.docmd("DATA"), 354, "rejected")
            with _naming("dropped", ambiguous=True):
                _expect(host.hand_over(message), 250, "rejected")
        except Failed as failure:
            if failure.error in BROKEN:
                self._hang_up()
            raise

    def configure_host(self) -> Wire:
        """A connection up to where mail can be given: encrypted, verified, signed in."""
        server = self._server
        with _naming("unreachable", down=True):
            host = Wire(server, self._context, name=self._name, patience=self._patience, limit=self._limit)
        try:
            with _naming("unreachable", down=True):
                host.ehlo_or_helo_if_needed()
            if server.tls == "starttls":
                with _naming("tls", down=True):
                    host.encrypt()
            if server.username:
                with _naming("auth", down=True):
                    host.login(server.username, server.password or "")
        except BaseException:
            host.close()
            raise
        return host

    def _ready(self) -> Wire:
        if self.host:
            self.host.allow(self._limit)
            with suppress(Failed), _naming("dropped"):
                _expect(self.host.rset(), 250, "dropped")  # still there, and nothing left of the mail before
                return self.host
            self._hang_up()
        self.host = self.configure_host()
        return self.host

    def _hang_up(self) -> None:
        if self.host:
            self.host.close()
        self.host = None


@contextmanager
def _naming(error: str, *, ambiguous: bool = False, down: bool = False) -> Iterator[None]:
    """Turn what goes wrong on the wire into Failed, called `error` unless more is known."""
    try:
        yield
    except (OSError, smtplib.SMTPException) as cause:
        name = error
        if isinstance(cause, TimeoutError) or isinstance(cause.__context__, TimeoutError):
            name = error if down else "timeout"
        elif isinstance(cause, ssl.SSLError):
            name = "tls"
        detail = (
            _figures(cause.smtp_code, cause.smtp_error) if isinstance(cause, smtplib.SMTPResponseException) else None
        )
        raise Failed(name, detail, ambiguous=ambiguous, down=down) from cause


def _expect(answer: tuple[int, bytes], wanted: int, refusal: str, *, final: bool = True) -> None:
    code, text = answer
    if code == wanted:
        return
    if 500 <= code <= 599:
        raise Failed(refusal, _figures(code, text), permanent=final)
    raise Failed("busy" if 400 <= code <= 499 else "dropped", _figures(code, text))


def _figures(code: int, text: bytes | str) -> str:
    """The status codes of an answer (RFC 3463) without its words: those come from outside and may hold anything."""
    said = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    enhanced = re.match(r"[245]\.\d{1,3}\.\d{1,3}\b", said)
    return f"{code} {enhanced[0]}" if enhanced else str(code)

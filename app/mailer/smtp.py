"""Flask-Mail's connection, hardened: verified certificates, no fallback to clear text, an end to every wait."""

import copy
import re
import smtplib
import ssl
import time
from collections.abc import Callable, Container, Generator, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self, TypeGuard

import flask_mail

from app.config import SmtpServer
from app.mailer.wire import Wire, nothing
from app.services.claims import Failed

PATIENCE, LIMIT = 30.0, 60.0  # seconds: for one step, and for one mail
LEAVING = 421  # RFC 5321, section 3.8
KEPT = 5.0  # seconds for a connection that was kept to show that it is still there
BROKEN = frozenset({"dropped", "timeout", "tls"})  # after these a connection is of no use


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
        self._between = False  # the mail before is over, as the server said
        self.serves = False  # the server has taken the sender of the mail at hand, and so lets us give it mail
        self._beside: list[Connection] = []
        self._server, self._name = server, name
        # Reading every certificate that the system trusts takes as long as many mails.
        self._context = None if server.tls == "none" else ssl.create_default_context(cafile=cafile)
        self._patience, self._limit, self._until = patience, limit, 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for other in self._beside:
            other.__exit__(None, None, None)
        if self.host:
            with suppress(smtplib.SMTPException, OSError):
                self.host.allow(2)  # all has been said: nobody waits long for a goodbye
                # point: smtp.quitting
                self.host.quit()
        self.hang_up()

    def send(self, message: flask_mail.Message, envelope_from: Any = None) -> None:
        """Send a message of Flask-Mail's to its one recipient."""
        (recipient,) = message.send_to
        self.deliver(str(envelope_from or message.sender), str(recipient), message.as_bytes)

    def deliver(
        self, sender: str, recipient: str, content: Callable[[], bytes], *, waiting: Callable[[], None] = nothing
    ) -> None:
        """Hand one mail over. `content` is called once the server has agreed to take it, and what it raises is passed on.

        Raises Failed, which says whether another try can help and whether the mail may have gone all the same.
        """
        for _ in self.course(sender, recipient, content, waiting):
            pass

    def course(
        self, sender: str, recipient: str, content: Callable[[], bytes], waiting: Callable[[], None]
    ) -> Iterator[bool]:
        """What `deliver` does, step by step: yields true before it calls `content`, false while an answer is to come.

        Who does not follow it to its end between an answer and the next has to `hang_up`.
        """
        try:
            # point: smtp.connecting
            host = yield from self._begun(sender, waiting)
            with _naming("dropped"):
                host.address(recipient)
                yield False
                _expect(host.getreply(), (250, 251), "refused")
            # point: smtp.agreed
            yield True
            message = content()
            # point: smtp.transmitting
            with _naming("dropped"):
                host.putcmd("DATA")
                yield False
                _expect(host.getreply(), (354,), "rejected")
            # point: smtp.data
            with _naming("dropped", ambiguous=True):
                host.hand_over(message)
                yield False
                _expect(host.getreply(), range(200, 300), "rejected", ambiguous=True)
            self._between = True
            # point: smtp.accepted
        except Failed as failure:
            if failure.error in BROKEN:
                self.hang_up()
            raise

    def beside(self, count: int) -> "list[Connection]":
        """Give so many connections to the same server, of which the first is this one."""
        while len(self._beside) < count - 1:
            other = copy.copy(self)  # with the certificates as they were read
            vars(other).update(host=None, _between=False, _beside=[])
            self._beside.append(other)
        return [self, *self._beside[: count - 1]]

    def configure_host(self) -> Wire:
        """A connection up to where mail can be given: encrypted, verified, signed in."""
        server = self._server
        with _naming("unreachable", down=True):
            host = Wire(server, self._context, name=self._name, patience=self._patience, limit=self._left())
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

    def _begun(self, sender: str, waiting: Callable[[], None]) -> Generator[bool, None, Wire]:
        """A connection that agreed to the sender: the one that was kept, if it is still there."""
        self._until = time.monotonic() + self._limit
        self.serves = False
        host, answer = self.host, None
        if host:
            host.waiting = waiting
            host.allow(min(KEPT, self._limit / 2))
            with suppress(Failed), _naming("dropped"):
                answer = yield from self._renewed(host, sender)
        if host and answer:
            host.allow(self._left())
        else:
            self.hang_up()
            waiting()
            host = self._ready()
            # point: smtp.ready
            host.waiting = waiting
            with _naming("dropped"):
                host.begin(sender)
                yield False
                answer = host.getreply()
        _expect(answer, (250,), "sender", final=False)
        self.serves = True
        return host

    def _renewed(self, host: Wire, sender: str) -> Generator[bool, None, tuple[int, bytes]]:
        """Begin another mail; raises Failed where the server leaves, or keeps something of the mail before."""
        if not self._between:
            host.putcmd("RSET")
            yield False
            _expect(host.getreply(), (250,), "dropped")
        self._between = False
        host.begin(sender)
        yield False
        answer = host.getreply()
        if answer[0] == LEAVING:
            raise Failed("dropped")
        return answer

    def _ready(self) -> Wire:
        self.host = self.configure_host()
        self._between = False
        return self.host

    def left(self) -> float:
        """How long the next answer may take; zero when the time is over."""
        with suppress(TimeoutError):
            return self.host.left() if self.host else 0.0
        return 0.0

    def prolong(self, seconds: float) -> None:
        """Give the mail at hand so much more time: that long we were busy with something else."""
        self._until += seconds
        if self.host:
            self.host.prolong(seconds)

    def give_up(self) -> None:
        """Have what is waited for fail at once."""
        if self.host:
            self.host.allow(0)

    def _left(self) -> float:
        """What is left of the time for this mail."""
        return self._until - time.monotonic()

    def hang_up(self) -> None:
        """Leave without a word."""
        if self.host:
            self.host.close()
        self.host = None


@contextmanager
def _naming(error: str, *, ambiguous: bool = False, down: bool = False) -> Iterator[None]:
    """Turn what goes wrong on the wire into Failed, called `error` unless more is known; `down`: before any mail is concerned."""
    try:
        yield
    except (OSError, smtplib.SMTPException, ValueError) as cause:  # ValueError: a challenge that is no base64, say
        detail = _figures(cause.smtp_code, cause.smtp_error) if _is_answer(cause) else None
        raise Failed(_name(cause, error, down=down), detail, ambiguous=ambiguous, down=down) from cause


def _is_answer(cause: Exception) -> TypeGuard[smtplib.SMTPResponseException]:
    return isinstance(cause, smtplib.SMTPResponseException)


def _name(cause: Exception, error: str, *, down: bool) -> str:
    """Tell silence and a broken line from an answer: nobody is to look for a wrong password where a server only hangs."""
    if isinstance(cause, TimeoutError) or isinstance(cause.__context__, TimeoutError):
        return "unreachable" if down else "timeout"
    if isinstance(cause, ssl.SSLError):
        return "tls"
    broken = isinstance(cause, OSError) and not isinstance(cause, smtplib.SMTPException)
    passing = isinstance(cause, smtplib.SMTPAuthenticationError) and 400 <= cause.smtp_code <= 499
    if down and (broken or passing or isinstance(cause, smtplib.SMTPServerDisconnected)):
        return "unreachable"
    return error


def _expect(
    answer: tuple[int, bytes], wanted: Container[int], refusal: str, *, final: bool = True, ambiguous: bool = False
) -> None:
    """Raise Failed for any other answer; `ambiguous`: one that is neither a yes nor a no leaves it open."""
    code, text = answer
    if code in wanted:
        return
    if 500 <= code <= 599:
        raise Failed(refusal, _figures(code, text), permanent=final)
    busy = 400 <= code <= 499
    raise Failed("busy" if busy else "dropped", _figures(code, text), ambiguous=ambiguous and not busy)


def _figures(code: int, text: bytes | str) -> str:
    """The status codes of an answer (RFC 3463) without its words: those come from outside and may hold anything."""
    said = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    enhanced = re.match(r"[245]\.\d{1,3}\.\d{1,3}\b", said)
    return f"{code} {enhanced[0]}" if enhanced else str(code)

"""A mail server that keeps what it takes, and can be told to misbehave."""

import contextlib
import threading
from collections.abc import Iterator

import pytest

from tests.support.inbox import Inbox
from tests.support.smtp_wire import Fault, MailController, Stage, Tls
from tests.support.tls import Authority

HANG = 3600.0


class Server:
    """A mail server on a free port of loopback; `inbox` holds what it took, `heard` each command and whether it was encrypted."""

    def __init__(
        self, *, tls: Tls = "none", authority: Authority | None = None, credentials: tuple[str, str] | None = None
    ) -> None:
        self.tls = tls
        self.credentials = credentials
        self.inbox = Inbox()
        self.connections = 0
        self.heard: list[tuple[str, bool]] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        context = authority.server_context() if authority and tls != "none" else None
        self._controller = MailController(self, context)

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

        `do` is a reply (“450 4.2.0 Try later”), a number of seconds to wait before going on (`HANG`), “drop”, or a reply
        without end: “trickle” (a byte now and then) or “flood” (as fast as it can).
        `to` limits it to one recipient; `keeps` puts a message into the inbox whatever BODY does then.
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

    def hang_up(self) -> None:
        """Drop every connection; new ones are welcome."""
        self._controller.on_loop(self._controller.hang_up)

    @property
    def talks(self) -> int:
        """How many connections are open."""
        return len(self._controller.sessions)

    def start(self) -> None:
        self._controller.start()
        self.connections = 0  # the controller's own first try is not one

    def stop(self) -> None:
        self._controller.on_loop(self._controller.close_listener)
        self.hang_up()
        self._controller.stop()

    def take(self, at: Stage, argument: str | None) -> Fault | None:
        """Use up one turn of the fault that is meant for this command."""
        with self._lock:
            for fault in self._faults:
                if fault.applies(at, argument):
                    fault.left = None if fault.left is None else fault.left - 1
                    return fault
        return None

    def expects(self, at: Stage) -> bool:
        """Whether a fault waits at a stage."""
        with self._lock:
            return any(fault.applies(at, None) for fault in self._faults)


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

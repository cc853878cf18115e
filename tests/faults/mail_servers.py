"""What a mail server may do wrong, what must come of it, and how each is tried."""

import contextlib
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from flask import Flask
from sqlalchemy import select

from app.config import SmtpServer
from app.extensions import db
from app.mailer import transports
from app.mailer.transports import SmtpTransport
from app.models import Bundle, OutboxItem, OutboxState, Staff, Workflow, Workspace
from app.services import deliveries
from app.tenancy import across_tenants
from app.worker import Worker
from tests import factories
from tests.support.clock import Clock
from tests.support.processes import free_port
from tests.support.smtp import HANG, Server, smtp_server
from tests.support.smtp_wire import Tls
from tests.support.staff_browser import StaffBrowser
from tests.support.tls import Authority

LOGIN = ("mailer", "secret")
NAME = "gate.example"
SECRET = frozenset({"AUTH", "MAIL", "RCPT", "DATA"})  # what nobody may overhear
AGREED = frozenset({"DATA", "BODY", "ACCEPTED", "QUIT", "RSET"})  # the mail has begun by then
RETRY, DEAD, DONE = OutboxState.RETRY, OutboxState.DEAD, OutboxState.DONE
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Row:
    """A fault at a stage, and what comes of the mail that meets it: the word for staff, the state, the copies in the end."""

    at: str
    do: str | float
    error: str = ""
    state: OutboxState = RETRY
    copies: int = 1
    keeps: bool = False
    tls: Tls = "starttls"

    def __str__(self) -> str:
        does = "hangs" if self.do == HANG else self.do
        return f"{self.at}: {does}{' but keeps it' if self.keeps else ''}"

    @property
    def is_down(self) -> bool:
        """Whether it concerns the server as a whole, not the one mail."""
        return self.at not in AGREED | {"MAIL", "RCPT"}


ROWS = (
    # Nobody there, or nobody whom we could trust.
    Row("REFUSED", "", "unreachable"),
    Row("NO NAME", "", "unreachable"),
    Row("NO STARTTLS", "", "tls", tls="none"),
    Row("UNTRUSTED", "", "tls"),
    Row("UNTRUSTED", "", "tls", tls="implicit"),
    Row("OTHER NAME", "", "tls"),
    Row("OTHER NAME", "", "tls", tls="implicit"),
    Row("NOT TLS", "", "tls", tls="none"),
    # Before any mail is concerned.
    Row("CONNECT", HANG, "unreachable"),
    Row("CONNECT", "trickle", "unreachable"),
    Row("CONNECT", "flood", "unreachable"),
    Row("CONNECT", "drop", "unreachable"),
    Row("CONNECT", "421 4.3.2 Not now", "unreachable"),
    Row("CONNECT", "554 5.7.1 Go away", "unreachable"),
    Row("CONNECT", "gibberish", "unreachable"),
    Row("EHLO", HANG, "unreachable"),
    Row("EHLO", "trickle", "unreachable"),
    Row("EHLO", "flood", "unreachable"),
    Row("EHLO", "drop", "unreachable"),
    Row("EHLO", "500 5.5.1 What?", "tls"),
    Row("STARTTLS", HANG, "unreachable"),
    Row("STARTTLS", "trickle", "unreachable"),
    Row("STARTTLS", "drop", "unreachable"),
    Row("STARTTLS", "454 4.7.0 Not now", "tls"),
    Row("STARTTLS", "500 5.5.1 What?", "tls"),
    Row("STARTTLS", "220 Go\r\n250-mail.test\r\n250 AUTH PLAIN", "tls"),
    Row("HANDSHAKE", HANG, "unreachable"),
    Row("HANDSHAKE", "This is no TLS.", "tls"),
    Row("HANDSHAKE", "trickle", "tls"),
    Row("AUTH", HANG, "unreachable"),
    Row("AUTH", "trickle", "unreachable"),
    Row("AUTH", "drop", "unreachable"),
    Row("AUTH", "454 4.7.0 Later", "unreachable"),
    Row("AUTH", "535 5.7.8 No", "auth"),
    Row("AUTH", "334 no-base64", "auth"),
    # One mail.
    Row("MAIL", HANG, "timeout"),
    Row("MAIL", "trickle", "timeout"),
    Row("MAIL", "drop", "dropped"),
    Row("MAIL", "451 4.3.0 Later", "busy"),
    Row("MAIL", "553 5.7.1 Not yours", "sender"),
    Row("RCPT", HANG, "timeout"),
    Row("RCPT", "trickle", "timeout"),
    Row("RCPT", "flood", "dropped"),
    Row("RCPT", "drop", "dropped"),
    Row("RCPT", "450 4.2.0 Greylisted", "busy"),
    Row("RCPT", "421 4.3.2 Bye", "busy"),
    Row("RCPT", "550 5.1.1 Nobody", "refused", DEAD),
    Row("DATA", HANG, "timeout"),
    Row("DATA", "trickle", "timeout"),
    Row("DATA", "drop", "dropped"),
    Row("DATA", "451 4.3.0 Full", "busy"),
    Row("DATA", "554 5.6.0 No", "rejected", DEAD),
    Row("BODY", HANG, "timeout"),
    Row("BODY", HANG, "timeout", keeps=True, copies=2),
    Row("BODY", "trickle", "timeout"),
    Row("BODY", "flood", "dropped", keeps=True, copies=2),
    Row("BODY", "drop", "dropped"),
    Row("BODY", "drop", "dropped", keeps=True, copies=2),
    Row("BODY", "452 4.3.1 Full", "busy"),
    Row("BODY", "550 5.7.1 Spam", "rejected", DEAD),
    Row("BODY", "gibberish", "dropped", keeps=True, copies=2),
    # The mail is out.
    Row("ACCEPTED", "drop", state=DONE),
    Row("RSET", HANG, state=DONE),
    Row("RSET", "drop", state=DONE),
    Row("RSET", "500 5.5.1 What?", state=DONE),
    Row("QUIT", HANG, state=DONE),
    Row("QUIT", "drop", state=DONE),
    Row("QUIT", "500 5.5.1 What?", state=DONE),
)


@contextlib.contextmanager
def server_of(row: Row, authority: Authority) -> Iterator[Server]:
    """The server that does it, to everybody or to the first mail alone, until it is told to behave."""
    plain = row.tls == "none"
    with smtp_server(tls=row.tls, authority=authority, credentials=None if plain else LOGIN) as server:
        if row.do:
            server.fault(row.at, row.do, times=None if row.is_down else 1, keeps=row.keeps)  # type: ignore[arg-type]
        yield server


def setting(server: Server, row: Row | None = None) -> SmtpServer:
    """Where the installation believes its mail server to be, while the fault lasts or (without a row) afterwards."""
    tls, host, port = server.tls, "localhost", server.port
    if row and row.at == "NO STARTTLS":
        tls = "starttls"
    elif row and row.at == "NOT TLS":
        tls = "implicit"
    elif row and row.at == "NO NAME":
        host = "mail.invalid"
    elif row and row.at == "OTHER NAME":
        host = "127.1"  # the same server by a name that is not in its certificate
    elif row and row.at == "REFUSED":
        port = free_port()
    login = (None, None) if tls == "none" or server.credentials is None else LOGIN
    return SmtpServer(host, port, tls, *login)


@dataclass
class Office:
    """An installation that sends requests to people of its own invention, two for each row."""

    app: Flask
    owner: Staff
    workspace: Workspace
    clock: Clock
    panel: StaffBrowser
    authority: Authority

    def send(self, recipient: str) -> tuple[Bundle, Workflow]:
        workflow = factories.make_workflow(self.workspace, self.owner, ("slack", "find_user"), name=f"For {recipient}")
        (asked,) = factories.make_sent(workflow, self.owner, recipient=recipient)
        assert asked.bundle is not None
        return asked.bundle, workflow

    def item(self, bundle: Bundle) -> OutboxItem:
        db.session.rollback()
        with across_tenants("the worker's side"):
            return db.session.scalars(select(OutboxItem).where(OutboxItem.key.startswith(f"{bundle.public_id}:"))).one()

    def page(self, workflow: Workflow) -> str:
        """The workflow's page in the panel."""
        return self.panel.get(f"/panel/workspaces/{self.workspace.public_id}/workflows/{workflow.public_id}").text

    def work(self) -> float:
        """Do all that is due; returns how many seconds it took."""
        begun = time.monotonic()
        Worker(self.app).run_once()
        db.session.rollback()
        return time.monotonic() - begun

    def use(self, server: SmtpServer, *, trusts: bool = True, **patience: float) -> None:
        """Send mail there from now on."""
        cafile = str(self.authority.path) if trusts else None
        transports.install(self.app, SmtpTransport(server, name=NAME, cafile=cafile, **patience))

    def play(self, row: Row, *, patience: float, limit: float) -> "Played":
        """Meet a fault with two mails to send, then go on with the server well."""
        with server_of(row, self.authority) as server:
            number = next(_numbers)
            first, workflow = self.send(f"ann{number}@client.example")
            second, _ = self.send(f"ben{number}@client.example")
            self.use(setting(server, row), trusts=row.at != "UNTRUSTED", patience=patience, limit=limit)
            begun, took = self.clock.now, self.work()
            item, other = self.item(first), self.item(second)
            played = Played(row, took, item.state, item.error or "", other.state, server.connections)
            played.due_in = item.due_at - begun
            played.panel = self.page(workflow)
            played.in_clear = overheard(server)
            server.behave()
            self.clock.forward(minutes=1)
            self.use(setting(server))
            if item.state is DEAD:
                deliveries.try_again(first, by=self.owner)
            again = self.clock.now
            self.work()
            played.ended = {self.item(each).state for each in (first, second)}
            played.copies = [received.raw for received in server.inbox.to(first.recipient)]
            played.other_copies = len(server.inbox.to(second.recipient))
            if row.tls != "none":  # else there is none to be had
                played.in_clear = overheard(server)
            began = begun if row.at in AGREED else again
            played.full_life = (first.clock_started_at, first.expires_at) == (began, began + first.channel.lifetime)
            return played


@dataclass
class Played:
    """What came of it: after the fault, and once the server was well again."""

    row: Row
    took: float
    state: OutboxState
    error: str
    other: OutboxState
    connections: int
    due_in: timedelta = timedelta()
    panel: str = ""
    ended: set[OutboxState] | None = None
    copies: list[bytes] | None = None
    other_copies: int = 0
    in_clear: frozenset[str] = frozenset()
    full_life: bool = False

    def faults(self, *, limit: float) -> list[str]:
        """Where it falls short of what the row says; nothing when all is well."""
        row, copies = self.row, self.copies or []
        says = str(deliveries.REASONS[row.error]) if row.error else "delivered"
        found = {
            f"took {self.took:.1f} s": self.took > limit,
            f"{self.state} for {self.error!r}": (self.state, self.error) != (row.state, row.error),
            f"the other mail is {self.other}": self.other is not (row.state if row.is_down else DONE),
            f"{self.connections} connections": row.is_down and self.connections > 1,
            f"due in {self.due_in}": row.state is RETRY and not 22 <= self.due_in.total_seconds() <= 38,
            "the panel does not say so": row.state is not DONE and _flat(says) not in _flat(self.panel),
            f"ended as {self.ended}": self.ended != {DONE},
            f"{len(copies)} copies": len(copies) != row.copies,
            f"{self.other_copies} copies of the other": self.other_copies != 1,
            "the copies differ": len(set(copies)) > 1,
            f"in clear text: {self.in_clear}": bool(self.in_clear),
            "its lifetime is cut": not self.full_life,
        }
        return [f"{row}: {what}" for what, wrong in found.items() if wrong]


def overheard(server: Server) -> frozenset[str]:
    """What somebody on the way could read that they should not."""
    return frozenset(verb for verb, encrypted in server.heard if verb in SECRET and not encrypted)


def _flat(text: str) -> str:
    return text.replace("&#39;", "'").replace("’", "'")

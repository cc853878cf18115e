"""“Send to client” for 1,000 recipients: the mails that workers hand to a mail server in a process of its own.

Beside them `smtplib`, on one connection, gives the same server the same bytes, made beforehand: nothing is looked up, signed,
rendered, sealed or written down, as it must be for a mail that is to arrive once whatever dies meanwhile.
"""

import contextlib
import smtplib
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from sqlalchemy import func, select

from app import clock
from app.config import SmtpServer
from app.database import transaction
from app.extensions import db
from app.mailer import bundle_sent
from app.models import Bundle, OutboxItem, OutboxState, Status, Workflow
from app.services import sending
from app.tenancy import acting_for
from app.worker.mail import LANES
from bench.figure import Figure
from bench.filling import Filling
from bench.installed import DATABASES, SENDER, Client, Installed, client, installed
from tests import factories
from tests.support.processes import LOOPBACK, ROOT, environment, free_port, running

TITLE = "Sending to 1,000 recipients"
RECIPIENTS, EACH = 1000, 100  # in all, and of a workflow
WORKERS = {"sqlite": 1, "postgres": 2}  # on SQLite one may write at a time: a second would only stand in the way
SPENT = (
    "So that nothing is lost or sent twice: the claim checked, the caps counted, the link signed and its clock started, the words put "
    f"together and sealed, the row settled and the audit trail written; with one commit for up to {LANES} mails that leave together."
)


def measure() -> Iterator[Figure]:
    """What a press of the button takes, and mails a second beside raw ones, on each database."""
    port = free_port()
    with running([sys.executable, "-m", "bench.sink", str(port)], ready=lambda: _listens(port), env=environment()):
        for kind, name in DATABASES.items():
            yield from _on(kind, name, port)


def _on(kind: str, name: str, port: int) -> Iterator[Figure]:
    with installed(kind, smtp=SmtpServer("localhost", port, "none")) as there, client(there.app, "Northwind") as theirs:
        pressed = [_press(theirs) for _ in range(RECIPIENTS // EACH)]
        message, each = _message(), f"{EACH} recipients"
        yield Figure(
            f"{name}: one press for {each}",
            statistics.median(pressed) * 1000,
            "ms",
            f"“Send to client” answers after that long: {each} get their link and their row in the outbox, all or nothing.",
        )
        with _workers(there, port, WORKERS[kind]) as mailers:
            before = _raw(port, message)
            ours, used = _mailed(mailers)
            raw = 2 / (1 / before + 1 / _raw(port, message))
        if _sent() != RECIPIENTS:
            raise RuntimeError("Not every mail was sent.")
        yield Figure(
            f"{name}: mails", ours, "a second", f"Workers, each on up to {LANES} connections: {WORKERS[kind]}."
        )
        yield Figure(f"{name}: CPU for a mail", 1000 * used / RECIPIENTS, "ms", SPENT)
        yield Figure(f"{name}: raw smtplib", raw, "a second", f"The same {len(message):,} bytes again and again.")
        yield Figure(
            f"{name}: mails beside raw ones",
            100 * ours / raw,
            "%",
            "What is left of the bare protocol's speed once each mail is written down before and after it leaves. What is missing "
            "is the CPU above: workers and server share the machine's cores.",
            floor=60,
        )


def _press(theirs: Client) -> float:
    """The seconds that sending a workflow's queue takes, a request to each recipient."""
    filling = Filling(theirs.workspace)
    public_id = filling.workflow(EACH, now=(Status.QUEUED,) * EACH, each=1)
    filling.write()
    with acting_for(theirs.agency.id):
        with transaction():
            theirs.agency.mails_per_hour = 10 * RECIPIENTS
        workflow = db.session.scalars(select(Workflow).where(Workflow.public_id == public_id)).one()
        began = time.perf_counter()
        sending.send(workflow, by=theirs.staff)
        return time.perf_counter() - began


def _message() -> bytes:
    bundle = db.session.scalars(select(Bundle).limit(1)).one()
    leaving = factories.leaving(bundle)
    with acting_for(bundle.agency_id):
        content = bundle_sent.compose(leaving, at=clock.now()).as_bytes()
    db.session.rollback()
    return content


@contextlib.contextmanager
def _workers(there: Installed, port: int, number: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that are ready to mail."""
    command = [sys.executable, "-m", "bench.mailing", str(there.folder), there.database_url, str(port)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    found = [subprocess.Popen(command, cwd=ROOT, env=environment(), **pipes) for _ in range(number)]
    try:
        for each in found:
            if each.stdout is None or each.stdout.readline() != b"ready\n":
                raise RuntimeError("A worker did not start.")
        yield found
    finally:
        for each in found:
            each.kill()
            each.communicate()


def _mailed(mailers: list[subprocess.Popen[bytes]]) -> tuple[float, float]:
    """Mails a second, from the word to go until the last is written down as sent; and the CPU seconds of all."""
    began = time.perf_counter()
    for each in mailers:
        assert each.stdin
        each.stdin.write(b"go\n")
        each.stdin.flush()
    used = [float(each.stdout.readline()) for each in mailers if each.stdout]
    return RECIPIENTS / (time.perf_counter() - began), sum(used)


def _raw(port: int, message: bytes) -> float:
    with smtplib.SMTP(LOOPBACK, port) as server:
        began = time.perf_counter()
        for number in range(RECIPIENTS):
            server.sendmail(SENDER, [f"person.{number}@harbordental.example"], message)
        return RECIPIENTS / (time.perf_counter() - began)


def _sent() -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).where(OutboxItem.state == OutboxState.DONE)) or 0


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection((LOOPBACK, port)).close()
        return True
    return False

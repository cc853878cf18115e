"""Ten thousand rows due at once: in small transactions, one bad row or a stop in the middle notwithstanding."""

import contextlib
import threading
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import event, func, insert, select

from app import clock
from app.database import transaction
from app.extensions import db
from app.models import OutboxItem, OutboxState
from app.services import claims, outbox
from app.tenancy import across_tenants
from app.worker import Worker
from app.worker.handlers import Handler
from app.worker.mail import SERVER_DOWN
from app.worker.turns import Turns

pytestmark = pytest.mark.both_databases
KIND, MAIL = "letter.sent", "bundle.sent"
MOST = outbox.BATCH
POISON, UNWRITABLE = "00007", "00011"  # fails at every try; can't have its end written


def rows(agency, many, kind=KIND, **changes):
    """So many pieces of work, due now unless the test says otherwise."""
    at = clock.now()
    values = {
        "agency_id": agency.id,
        "kind": kind,
        "payload": {},
        "state": OutboxState.QUEUED,
        "attempts": 0,
        "fence": 0,
        "due_at": at,
        "created_at": at,
        **changes,
    }
    with across_tenants("a test's setting"), transaction() as session:
        session.execute(insert(OutboxItem), [{**values, "key": f"{number:05}"} for number in range(many)])


class Letters:
    """Takes letters, except one; asks the worker to stop after so many."""

    def __init__(self):
        self.taken, self.lock, self.enough, self.worker = Counter(), threading.Lock(), None, None

    def handler(self):
        return Handler(KIND, open=self.opened, ready=lambda: True, settled=self.settled, batch=10**9)

    @contextlib.contextmanager
    def opened(self, _owed):
        yield self.take

    def take(self, item):
        if item.key == POISON:
            raise ZeroDivisionError
        self.taken[item.key] += 1
        if sum(self.taken.values()) == self.enough:
            self.worker.ask_to_stop()

    def settled(self, item, _state, *, at):
        if item.key == UNWRITABLE:
            raise KeyError("bundle")

    def work(self, app, *, enough=None):
        self.enough, self.worker = enough, Worker(app, handlers=[self.handler()])
        self.worker.run_once()
        db.session.rollback()


@contextlib.contextmanager
def claimed(monkeypatch):
    """How many rows each claim took."""
    sizes, original = [], claims.claim

    def claim(*args, **options):
        taken = original(*args, **options)
        sizes.append(len(taken))
        return taken

    with monkeypatch.context() as patch:
        patch.setattr(claims, "claim", claim)
        yield sizes


@contextlib.contextmanager
def touched():
    """How many rows each transaction changed."""
    sizes, engine = [0], db.engine

    def executed(_connection, cursor, statement, *_):
        if statement.startswith("UPDATE"):
            sizes[-1] += cursor.rowcount

    def committed(_connection):
        sizes.append(0)

    event.listen(engine, "after_cursor_execute", executed)
    event.listen(engine, "commit", committed)
    try:
        yield sizes
    finally:
        event.remove(engine, "after_cursor_execute", executed)
        event.remove(engine, "commit", committed)


def states():
    db.session.rollback()
    with across_tenants("the worker's side"):
        counted = select(OutboxItem.state, func.count()).where(OutboxItem.kind == KIND).group_by(OutboxItem.state)
        return {state.value: number for state, number in db.session.execute(counted)}


def shortfalls(letters, many):
    """What is not as promised."""
    expected = Counter({f"{number:05}": 1 for number in range(many)})
    del expected[POISON]
    found = [] if letters.taken == expected else ["not each letter was taken once"]
    wanted = {"done": many - 2, "retry": 1, "claimed": 1}
    return found + ([] if states() == wanted else [f"they ended as {states()}"])


@pytest.fixture
def pages(proof, monkeypatch):
    """Five hundred rows a page, or a fiftieth of that in the short version."""
    size = proof.size(check=10, prove=MOST)
    monkeypatch.setattr(outbox, "BATCH", size)
    monkeypatch.setattr(claims, "BATCH", size)
    return size


def test_ten_thousand_rows_are_done_in_pages_past_a_bad_row_and_a_stop(
    proof, app, agency, pages, monkeypatch, database_kind
):
    """Ten thousand pieces of work are due at once. No transaction takes more than 500 of them; one that fails at every try and
    one whose end can't be written stop no other; a worker that is stopped half-way gives the rest back, and the next goes on.
    """
    many = proof.size(check=60, prove=10_000)
    rows(agency, many)
    letters = Letters()
    with claimed(monkeypatch) as sizes:
        letters.work(app, enough=many // 2)
        assert states()["queued"] > many // 3, "it stopped half-way and gave back what it had not begun"
        letters.work(app)
    rows(
        agency, many, MAIL, state=OutboxState.RETRY, attempts=9, error="unreachable", due_at=clock.now() + timedelta(1)
    )
    with across_tenants("the worker's side"), touched() as changed:
        outbox.hurry([MAIL], SERVER_DOWN, at=clock.now())

    assert not shortfalls(letters, many)
    assert sum(changed) == many
    assert max(*sizes, *changed) <= pages
    proof.title = f"Due at once: ten thousand rows ({database_kind})"
    proof.figure("rows due", many)
    proof.figure("done, each once", sum(letters.taken.values()))
    proof.figure("left: fails at every try, and end can't be written", many - states()["done"])
    proof.figure("rows that one claim took, at most", max(sizes))
    proof.figure("waiting mails that one transaction hurried, at most", max(changed))


def test_the_same_eyes_notice_a_claim_without_pages_and_a_row_that_stops_the_rest(app, agency, monkeypatch):
    rows(agency, MOST + 1)
    letters = Letters()
    monkeypatch.setattr(outbox, "BATCH", 10**6)
    monkeypatch.setattr(claims, "BATCH", 10**6)
    monkeypatch.setattr(Turns, "_outcome", lambda _turns, do, item: do(item))

    with claimed(monkeypatch) as sizes, contextlib.suppress(ZeroDivisionError):
        letters.work(app)

    assert max(sizes) > MOST
    assert shortfalls(letters, MOST + 1)

"""The loop: lanes that do not hinder each other, clean stops, rows taken over from the dead."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.exc import IntegrityError, OperationalError

from app import clock
from app.database import transaction
from app.extensions import db
from app.models import AuditEvent, Counter, OutboxItem, OutboxState
from app.services import claims, outbox
from app.services.claims import Failed
from app.tenancy import across_tenants
from app.worker import Worker, chores, loop, start_embedded, turns
from app.worker.handlers import Handler

KIND, OTHER = "letter.sent", "parcel.sent"


def handler(do, kind=KIND, *, ready=lambda: True, settled=lambda *_args, **_options: None, batch=50):
    @contextmanager
    def opened(_owed):
        yield do

    return Handler(kind, open=opened, ready=ready, settled=settled, batch=batch)


@pytest.fixture
def put(agency):
    def put(*keys, kind=KIND):
        with across_tenants("a test's setting"), transaction():
            for key in keys:
                outbox.put(kind, key, agency_id=agency.id, at=clock.now())

    return put


@pytest.fixture
def states(agency):
    def states(kind=KIND):
        db.session.rollback()
        with across_tenants("the worker's side"):
            rows = db.session.execute(select(OutboxItem.key, OutboxItem.state).where(OutboxItem.kind == kind))
            return {key: state.value for key, state in rows}

    return states


@pytest.fixture
def started(app):
    """A worker at work; stopped at the end."""
    workers = []

    def started(*handlers, **options):
        worker = Worker(app, handlers=handlers, **options)
        workers.append(worker)
        worker.start()
        return worker

    yield started
    for worker in workers:
        assert worker.stop(60)


class Held:
    """Work that goes on once it is let."""

    def __init__(self):
        self.begun, self.go_on = threading.Event(), threading.Event()

    def do(self, _item):
        self.begun.set()
        self.go_on.wait(60)


@pytest.fixture
def held():
    return Held()


def wait_for(true, timeout=60):
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_run_once_does_all_that_is_due_and_ends(app, put, states):
    put(*map(str, range(7)))
    done = []

    Worker(app, handlers=[handler(lambda item: done.append(item.key), batch=3)]).run_once()

    assert done == list("0123456")
    assert set(states().values()) == {"done"}


def test_run_once_leaves_what_can_not_be_done_at_present(app, put, states):
    put("a")

    Worker(app, handlers=[handler(print, ready=lambda: False)]).run_once()

    assert states() == {"a": "queued"}


def test_run_once_does_the_chores_too(app, put, agency, owner, workflow):
    assert db.session.scalar(select(func.count()).select_from(AuditEvent)) > 0
    with transaction() as session:
        session.add(Counter(key="long ago", window=1, count=1))

    Worker(app).run_once()

    db.session.rollback()
    assert db.session.scalar(select(func.count()).select_from(AuditEvent).where(AuditEvent.sequence.is_(None))) == 0
    assert db.session.scalar(select(Counter).where(Counter.key == "long ago")) is None


def test_started_worker_is_woken_by_work_of_its_own_process(put, states, started, monkeypatch):
    monkeypatch.setattr(loop, "POLL", 3600.0)
    started(handler(lambda _item: None))
    time.sleep(0.2)  # it has looked, and waits

    put("a")

    wait_for(lambda: states() == {"a": "done"})


def test_started_worker_finds_work_of_other_processes(put, states, started, monkeypatch):
    monkeypatch.setattr(outbox, "wakers", set())
    monkeypatch.setattr(loop, "POLL", 0.05)
    started(handler(lambda _item: None))

    put("a")

    wait_for(lambda: states() == {"a": "done"})


def test_a_slow_kind_does_not_hinder_another(put, states, started):
    go_on = threading.Event()
    started(handler(lambda _item: go_on.wait(60)), handler(lambda _item: None, OTHER))
    put("slow")
    put("quick", kind=OTHER)

    wait_for(lambda: states() == {"slow": "claimed"})
    wait_for(lambda: states(OTHER) == {"quick": "done"})

    assert states() == {"slow": "claimed"}
    go_on.set()


def test_stop_finishes_what_is_in_hand_and_gives_back_the_rest(put, states, started, held):
    put("a", "b", "c")
    worker = started(handler(held.do))
    held.begun.wait(60)
    threading.Timer(0.2, held.go_on.set).start()

    assert worker.stop(60)

    assert states() == {"a": "done", "b": "queued", "c": "queued"}


def test_stop_does_not_wait_longer_than_its_grace(put, started, held):
    put("a")
    worker = started(handler(held.do))
    held.begun.wait(60)
    before = time.monotonic()

    assert not worker.stop(0.2)

    assert time.monotonic() - before < 10
    held.go_on.set()


def test_the_time_for_stopping_counts_from_when_it_was_asked(put, started, held):
    put("a")
    worker = started(handler(held.do))
    held.begun.wait(60)
    worker.ask_to_stop()
    worker._asked -= 30  # so long ago
    before = time.monotonic()

    assert not worker.stop(30.1)

    assert time.monotonic() - before < 10
    held.go_on.set()


def test_an_idle_worker_writes_nothing_and_asks_little(app, started, monkeypatch):
    monkeypatch.setattr(loop, "POLL", 0.02)
    written, asked = [], []

    def note(_connection, _cursor, statement, *_rest):
        (asked if statement.startswith(("SELECT", "BEGIN")) else written).append(statement)

    done, real = threading.Event(), chores.of
    monkeypatch.setattr(chores, "of", lambda *watches: [*real(*watches), chores.Chore(3600, done.set)])
    started(handler(lambda _item: None))
    wait_for(done.is_set)  # the chores have been done once
    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    before = time.monotonic()
    wait_for(lambda: len(asked) >= 4)
    took = time.monotonic() - before
    event.remove(engine, "before_cursor_execute", note)

    assert written == []
    assert "BEGIN IMMEDIATE" not in asked
    assert len(asked) <= 4 + 130 * took


def test_a_heartbeat_keeps_what_takes_long(app, put, states, started, monkeypatch):
    monkeypatch.setattr(loop, "HEARTBEAT", 0.05)
    monkeypatch.setattr("app.worker.chores.of", lambda *_watches: [])
    go_on = threading.Event()
    started(handler(lambda _item: go_on.wait(60)))
    put("a")
    wait_for(lambda: states() == {"a": "claimed"})
    impatient = Worker(app, handlers=[handler(lambda _item: None)], patience=1.5)

    for _ in range(20):
        impatient._abandoned()
        time.sleep(0.1)

    assert states() == {"a": "claimed"}
    go_on.set()
    wait_for(lambda: states() == {"a": "done"})


def test_rows_of_a_worker_that_died_are_taken_over(app, put, states):
    put("a")
    with app.app_context(), across_tenants("a worker that dies"):
        claims.claim([KIND], at=clock.now())
    done = []

    Worker(app, handlers=[handler(done.append)]).run_once()
    assert states() == {"a": "claimed"}, "nobody can know yet that it died"
    with across_tenants("time goes by"), transaction() as session:
        session.execute(OutboxItem.__table__.update().values(leased_until=clock.now()))
    Worker(app, handlers=[handler(done.append)], patience=0.2).run_once()

    assert states() == {"a": "done"}
    assert [item.attempts for item in done] == [1]


def test_an_error_counts_as_a_try_and_others_go_on(app, put, states):
    put("a", "b")

    def do(item):
        if item.key == "a":
            raise ZeroDivisionError

    worker = Worker(app, handlers=[handler(do)])
    worker.run_once()

    assert states() == {"a": "retry", "b": "done"}
    assert worker.tally == {"retry": 1, "done": 1}


@pytest.mark.both_databases
@pytest.mark.parametrize("raised", [KeyError("bundle"), IntegrityError("INSERT", {}, ValueError("refused"))])
def test_a_row_whose_end_can_not_be_written_stops_no_other_and_dies_in_the_end(app, put, states, monkeypatch, raised):
    put("a", "b", "c")

    def settled(item, _state, *, at):
        if item.key == "a":
            raise raised

    letters = handler(lambda _item: None, settled=settled)
    Worker(app, handlers=[letters]).run_once()
    assert states() == {"a": "claimed", "b": "done", "c": "done"}

    monkeypatch.setattr(claims, "MOST_ATTEMPTS", 3)
    for _ in range(3):
        with across_tenants("time goes by"), transaction() as session:
            session.execute(OutboxItem.__table__.update().values(leased_until=clock.now()))
        Worker(app, handlers=[letters], patience=0.01).run_once()
    assert states() == {"a": "dead", "b": "done", "c": "done"}


def test_what_was_done_is_not_forgotten_when_the_database_goes_away_for_a_moment(app, put, states, monkeypatch):
    put("a")
    original, fails, done = claims.done, [2], []

    def settle(item, *, at, note=None):
        if fails[0]:
            fails[0] -= 1
            raise OperationalError("UPDATE outbox", {}, ConnectionError("server closed the connection"))
        original(item, at=at, note=note)

    monkeypatch.setattr(claims, "done", settle)
    monkeypatch.setattr(turns, "PAUSE", 0.01)

    Worker(app, handlers=[handler(lambda item: done.append(item.key))]).run_once()

    assert (done, states()) == (["a"], {"a": "done"})


def test_a_stumble_does_not_end_the_worker(put, states, started, monkeypatch):
    monkeypatch.setattr(loop, "AFTER_ERROR", 0.05)
    stumbles = [3]

    def ready():
        if stumbles[0]:
            stumbles[0] -= 1
            raise OSError("the disk is full")
        return True

    put("a")
    started(handler(lambda _item: None, ready=ready))

    wait_for(lambda: states() == {"a": "done"})


def test_an_embedded_worker_sends_mail_by_itself(app, send, smtp):
    worker = start_embedded(app)

    send()

    smtp.inbox.wait_for(1)
    assert worker.stop(60)


@pytest.mark.both_databases
def test_twenty_workers_at_once_send_each_mail_once(app, send, smtp):
    addresses = [f"n{number}@client.example" for number in range(30)]
    for address in addresses:
        send(address)
    start = threading.Barrier(20)

    def work(_number):
        start.wait()
        Worker(app).run_once()

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(work, range(20)))

    assert sorted(to for received in smtp.inbox.all() for to in received.rcpt_tos) == sorted(addresses)
    db.session.rollback()
    with across_tenants("the worker's side"):
        assert set(db.session.scalars(select(OutboxItem.state))) == {OutboxState.DONE}


def test_a_permanent_failure_is_not_tried_again(app, put, states):
    put("a")

    def do(_item):
        raise Failed("refused", permanent=True)

    worker = Worker(app, handlers=[handler(do)])
    worker.run_once()
    worker = Worker(app, handlers=[handler(do)])
    worker.run_once()

    assert states() == {"a": "dead"}
    assert not worker.tally

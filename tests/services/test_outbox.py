"""The outbox and its claims: each cause once, each row in one hand, and what becomes of it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import event, func, select, true

from app import clock
from app.database import transaction
from app.extensions import db
from app.models import OutboxItem, OutboxState
from app.services import claims, leases, outbox
from app.services.claims import Failed, LeaseLost
from app.tenancy import across_tenants

KIND = "letter.sent"

both = pytest.mark.both_databases


@pytest.fixture
def at(agency):
    return clock.now()


@pytest.fixture(autouse=True)
def everybody(agency):
    with across_tenants("the worker's side"):
        yield


def put(agency, *keys, at, kind=KIND, **options):
    with transaction():
        return [outbox.put(kind, key, agency_id=agency.id, at=at, bundle=7, **options) for key in keys]


def row(key="a", kind=KIND):
    db.session.rollback()
    return db.session.scalar(select(OutboxItem).where(OutboxItem.key == key, OutboxItem.kind == kind))


def claim_one(at):
    (item,) = claims.claim([KIND], at=at)
    return item


@both
def test_put_writes_a_cause_once(agency, at):
    assert put(agency, "a", at=at) == [True]
    assert put(agency, "a", at=at) == [False]
    assert put(agency, "a", at=at, kind="other") == [True]


def test_put_wakes_waiting_workers_once_it_is_committed(agency, at):
    waker = threading.Event()
    outbox.wakers.add(waker)

    with transaction():
        outbox.put(KIND, "a", agency_id=agency.id, at=at)
        assert not waker.is_set()
    assert waker.is_set()


def test_put_that_is_rolled_back_wakes_nobody(agency, at):
    waker = threading.Event()
    outbox.wakers.add(waker)

    def put_and_break():
        with transaction():
            outbox.put(KIND, "a", agency_id=agency.id, at=at)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        put_and_break()
    with transaction():
        pass

    assert not waker.is_set()
    assert db.session.scalar(select(func.count()).select_from(OutboxItem)) == 0


@both
def test_claim_takes_what_is_due_of_its_kinds_oldest_first(agency, at):
    put(agency, "later", at=at, due_at=at + timedelta(minutes=1))
    put(agency, "second", at=at, due_at=at + timedelta(seconds=-1))
    put(agency, "first", at=at - timedelta(hours=1))
    put(agency, "other", at=at, kind="other.kind")

    assert claims.is_due([KIND], at=at)
    assert [item.key for item in claims.claim([KIND], at=at, limit=1)] == ["first"]
    (second,) = claims.claim([KIND], at=at)
    assert (second.key, second.payload, second.fence, second.attempts) == ("second", {"bundle": 7}, 1, 0)
    assert claims.claim([KIND], at=at) == []
    assert not claims.is_due([KIND], at=at)
    assert [item.key for item in claims.claim([KIND], at=at + timedelta(minutes=1))] == ["later"]


def test_claim_takes_fresh_work_although_the_clock_of_its_writer_is_ahead(agency, at):
    put(agency, "a", at=at + timedelta(seconds=90))
    put(agency, "b", at=at, due_at=at + timedelta(seconds=90))

    assert [item.key for item in claims.claim([KIND], at=at)] == ["a"]


def test_claim_takes_at_most_500_in_a_transaction(agency, at):
    put(agency, *map(str, range(502)), at=at)

    assert len(claims.claim([KIND], at=at, limit=10_000)) == 500
    assert len(claims.claim([KIND], at=at)) == 2


@both
def test_claim_by_twenty_workers_at_once_gives_each_row_to_one(app, agency, at):
    put(agency, *map(str, range(60)), at=at)
    start = threading.Barrier(20)

    def work(_number):
        taken = []
        with app.app_context(), across_tenants("a worker"):
            start.wait()
            while items := claims.claim([KIND], at=at, limit=3):
                taken += items
                for item in items:
                    claims.done(item, at=at)
        return taken

    with ThreadPoolExecutor(20) as pool:
        taken = [item.key for items in pool.map(work, range(20)) for item in items]

    assert sorted(taken, key=int) == [str(number) for number in range(60)]
    db.session.rollback()
    assert set(db.session.execute(select(OutboxItem.state, OutboxItem.fence))) == {(OutboxState.DONE, 1)}


@both
def test_done_shreds_what_was_kept(agency, at):
    put(agency, "a", at=at)
    item = claim_one(at)
    claims.start(item, at=at, message=b"sealed", message_id="<1@here>")
    assert row().state is OutboxState.TRANSMITTING

    claims.done(item, at=at)

    done = row()
    assert (done.state, done.message, done.message_id, done.finished_at) == (OutboxState.DONE, None, "<1@here>", at)


@both
@pytest.mark.parametrize("settle", ["start", "done", "fail", "postpone"])
def test_whoever_lost_the_row_settles_nothing(agency, at, settle):
    put(agency, "a", at=at)
    item = claim_one(at)
    (mark,) = leases.in_hand()
    leases.release(mark, at=at)
    again = claim_one(at)
    acts = {
        "start": lambda: claims.start(item, at=at, message=b"x"),
        "done": lambda: claims.done(item, at=at),
        "fail": lambda: claims.fail(item, Failed("busy"), at=at),
        "postpone": lambda: claims.postpone(item, until=at, error="cap"),
    }

    with pytest.raises(LeaseLost):
        acts[settle]()
    claims.give_back([item])

    assert (row().state, row().fence) == (OutboxState.CLAIMED, again.fence)


def test_fail_waits_twice_as_long_each_time_and_ends_dead(agency, at):
    put(agency, "a", at=at)
    waits = []
    for attempt in range(1, claims.MOST_ATTEMPTS + 1):
        item = claim_one(at)
        state = claims.fail(item, Failed("busy", "450 4.2.0"), at=at)
        failed = row()
        assert (failed.state, failed.attempts, failed.error, failed.error_detail) == (
            state,
            attempt,
            "busy",
            "450 4.2.0",
        )
        waits.append((failed.due_at - at).total_seconds())
        at = failed.due_at

    assert state is OutboxState.DEAD
    assert not claims.is_due([KIND], at=at + timedelta(days=30))
    assert all(30 * 2**n * 0.75 <= wait <= 30 * 2**n * 1.25 for n, wait in enumerate(waits[:9]))
    assert all(6 * 3600 * 0.75 <= wait <= 6 * 3600 * 1.25 for wait in waits[10:])
    assert 2 * 86400 < sum(waits[:-1]) < 4 * 86400
    assert len(set(waits)) > 15, "the waits must differ, so that what failed together does not come back together"


def test_fail_for_good_is_dead_at_once(agency, at):
    put(agency, "a", at=at)

    assert claims.fail(claim_one(at), Failed("refused", permanent=True), at=at) is OutboxState.DEAD
    assert row().finished_at == at


@pytest.mark.parametrize(("hold", "state"), [(False, OutboxState.RETRY), (True, OutboxState.HELD)])
def test_fail_without_knowing_is_held_only_where_that_is_wished(agency, at, hold, state):
    put(agency, "a", at=at)

    assert claims.fail(claim_one(at), Failed("dropped", ambiguous=True), at=at, hold=hold) is state
    assert row().error == ("uncertain" if hold else "dropped")
    assert claims.is_due([KIND], at=at + timedelta(days=1)) is not hold


def test_postpone_counts_no_attempt(agency, at):
    put(agency, "a", at=at)
    until = at + timedelta(hours=1)

    claims.postpone(claim_one(at), until=until, error="cap_agency")

    assert (row().state, row().attempts, row().due_at, row().error) == (OutboxState.QUEUED, 0, until, "cap_agency")
    assert not claims.is_due([KIND], at=until - timedelta(seconds=1))
    assert claims.is_due([KIND], at=until)


@both
def test_give_back_leaves_rows_as_they_were(agency, at):
    put(agency, "a", "b", at=at)
    first, second = claims.claim([KIND], at=at)
    claims.fail(first, Failed("busy"), at=at)
    at += timedelta(minutes=2)
    (first,) = claims.claim([KIND], at=at)

    claims.give_back([first, second])

    assert (row("a").state, row("b").state) == (OutboxState.RETRY, OutboxState.QUEUED)
    assert row("a").leased_until is None
    assert [item.attempts for item in claims.claim([KIND], at=at)] == [1, 0]


@both
@pytest.mark.parametrize("held", [False, True])
def test_retry_now_gives_a_dead_or_held_row_all_its_attempts_again(agency, at, held):
    put(agency, "a", at=at)
    item = claim_one(at)
    assert not outbox.retry_now(KIND, "a", at=at), "it is in hand"
    claims.fail(item, Failed("dropped", permanent=not held, ambiguous=held), at=at, hold=held)

    assert outbox.retry_now(KIND, "a", at=at)
    assert not outbox.retry_now(KIND, "a", at=at), "it is so already"

    again = claim_one(at)
    assert again.attempts == 0
    claims.done(again, at=at)
    assert not outbox.retry_now(KIND, "a", at=at)
    assert not outbox.retry_now(KIND, "unknown", at=at)


@both
def test_hurry_makes_due_what_waited_for_that_cause_alone(agency, at, monkeypatch):
    monkeypatch.setattr(outbox, "BATCH", 5)
    put(agency, *map(str, range(12)), "busy", at=at)
    for item in claims.claim([KIND], at=at):
        claims.fail(item, Failed("busy" if item.key == "busy" else "unreachable"), at=at)

    outbox.hurry([KIND], ["unreachable"], at=at)

    due = claims.claim([KIND], at=at)
    assert len(due) == 12
    assert "busy" not in {item.key for item in due}


# ── Leases ───────────────────────────────────────────────────────────────────


def test_watch_is_sure_only_after_its_patience():
    now = [0.0]
    watch = leases.Watch(90, steady=lambda: now[0])
    silent, alive = leases.Mark(1, 1, clock.now()), leases.Mark(2, 1, clock.now())

    assert watch.lapsed([silent, alive]) == []
    now[0] = 89.9
    assert watch.lapsed([silent, alive._replace(leased_until=clock.now())]) == []
    now[0] = 90.0
    assert watch.lapsed([silent, alive._replace(leased_until=clock.now())]) == [silent]
    assert watch.lapsed([]) == []
    assert watch.lapsed([silent]) == [], "seen anew, it is given the whole time again"


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_lease_outlives_a_jump_of_the_clock(agency, at, hours):
    put(agency, "a", at=at)
    item = claim_one(at)
    watch = leases.Watch()
    watch.lapsed(leases.in_hand())

    assert claims.claim([KIND], at=at + timedelta(hours=hours)) == []
    assert watch.lapsed(leases.in_hand()) == []
    claims.done(item, at=at)


@both
def test_renew_is_a_sign_of_life(agency, at):
    put(agency, "a", at=at)
    item = claim_one(at)
    (before,) = leases.in_hand()

    leases.renew([item], at=at + timedelta(seconds=20))
    leases.release(before, at=at)

    (after,) = leases.in_hand()
    assert after == before._replace(leased_until=at + timedelta(seconds=20) + claims.LEASE)
    claims.done(item, at=at)


def test_release_counts_as_an_attempt_so_that_what_kills_workers_ends(agency, at):
    put(agency, "a", at=at)
    for attempt in range(1, claims.MOST_ATTEMPTS + 1):
        claim_one(at)
        (mark,) = leases.in_hand()
        leases.release(mark, at=at)
        assert row().attempts == attempt

    assert (row().state, row().error) == (OutboxState.DEAD, "crashed")


@pytest.mark.parametrize(
    ("began", "hold", "state", "error"),
    [
        (False, False, OutboxState.RETRY, "crashed"),
        (False, True, OutboxState.RETRY, "crashed"),
        (True, False, OutboxState.RETRY, "crashed"),
        (True, True, OutboxState.HELD, "uncertain"),
    ],
)
def test_release_holds_what_had_begun_only_where_that_is_wished(agency, at, began, hold, state, error):
    put(agency, "a", at=at)
    item = claim_one(at)
    if began:
        claims.start(item, at=at, message=b"sealed", message_id="<1@here>")
    (mark,) = leases.in_hand()

    leases.release(mark, at=at, hold=hold)

    assert (row().state, row().error, row().message) == (state, error, b"sealed" if began else None)


def test_claim_reads_the_same_few_statements_however_many_rows_there_are(agency, at):
    def statements(count):
        put(agency, *(f"{count}-{number}" for number in range(count)), at=at)
        seen = []
        listener = lambda *args: seen.append(args[2])  # noqa: E731
        event.listen(db.engine, "before_cursor_execute", listener)
        claims.claim([KIND], at=at)
        event.remove(db.engine, "before_cursor_execute", listener)
        return len(seen)

    assert statements(1) == statements(100)


# ── What is over is left alone ───────────────────────────────────────────────


def plans(act):
    """By which index SQLite comes to the rows of the outbox, for each statement of an act."""
    asked = []
    note = lambda *args: asked.append(args[2:4])  # noqa: E731
    event.listen(db.engine, "before_cursor_execute", note)
    act()
    event.remove(db.engine, "before_cursor_execute", note)
    connection = db.session.connection()
    told = [
        str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all())
        for statement, values in asked
        if " outbox" in statement
    ]
    db.session.rollback()
    return told


LOOKS = {
    "is due": lambda at: claims.is_due([KIND], at=at),
    "claim": lambda at: claims.claim([KIND], at=at),
    "hurry": lambda at: outbox.hurry([KIND], ["unreachable"], at=at),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_who_looks_for_what_is_due_passes_by_what_was_done(agency, at, look, monkeypatch):
    put(agency, *map(str, range(20)), at=at)

    assert all("ix_outbox_due" in plan for plan in plans(lambda: look(at)))

    monkeypatch.setattr(outbox, "IS_OPEN", true())
    monkeypatch.setattr(claims, "IS_OPEN", true())
    assert not any("ix_outbox_due" in plan for plan in plans(lambda: look(at))), "or it would not be noticed"


def test_who_looks_for_what_is_in_hand_passes_by_what_waits(agency, at, monkeypatch):
    put(agency, *map(str, range(20)), at=at)

    assert all("ix_outbox_in_hand" in plan for plan in plans(leases.in_hand))

    monkeypatch.setattr(leases, "_IS_IN_HAND", true())
    assert not any("ix_outbox_in_hand" in plan for plan in plans(leases.in_hand)), "or it would not be noticed"


def test_what_is_written_for_later_is_passed_by_until_it_is_due(agency, at):
    put(agency, *map(str, range(20)), at=at, due_at=at + timedelta(hours=1))

    def look():
        claims.is_due([KIND], at=at, ahead=True)
        claims.claim([KIND], at=at, ahead=True)

    assert all("kind=? AND due_at<?" in plan for plan in plans(look))

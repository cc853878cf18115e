"""The outbox and its claims: each cause once, each row in one hand, and what becomes of it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app.database import transaction
from app.extensions import db
from app.models import OutboxItem, OutboxState
from app.services import claims, leases, outbox
from app.services.claims import Failed, LeaseLost
from app.tenancy import across_tenants
from tests.services import outbox_rows
from tests.services.outbox_rows import KIND, claim_one, put, row

both = pytest.mark.both_databases
at, everybody = outbox_rows.fixtures


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

"""The leases of claimed rows: given up once a worker has shown no sign of life, however the clock is set."""

from datetime import timedelta

import pytest
from sqlalchemy import event

from app import clock
from app.extensions import db
from app.models import OutboxState
from app.services import claims, leases
from tests.services import outbox_rows
from tests.services.outbox_rows import KIND, claim_one, put, row

both = pytest.mark.both_databases
at, everybody = outbox_rows.fixtures


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

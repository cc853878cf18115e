"""Refreshing ahead of time: what live workflows need, many at once, and one bad row stops no other."""

import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import select

from app.database import transaction
from app.extensions import db
from app.models import Health, OutboxItem, OutboxState, Workflow
from app.services import refresh_leases, refresh_plans, secrets
from app.services.leases import Watch
from app.worker import Worker, refreshes
from tests import factories
from tests.support import refresh_endpoint
from tests.support.refresh_endpoint import said
from tests.support.token_endpoint import KEY

pytestmark = pytest.mark.both_databases
apps_dir, catalog, config, endpoint, grown = refresh_endpoint.fixtures


@pytest.fixture
def needed(grown, workspace, owner):
    """Make a connection that a live workflow needs."""
    names = iter(f"Workflow {number}" for number in range(999))

    def needed(account="", **changes):
        connection = grown(account, **changes)
        workflow = factories.make_workflow(workspace, owner, (KEY, "find_boat"), name=next(names))
        with transaction():
            workflow.slots[0].connection_id = connection.id
        return connection

    return needed


def work(app):
    Worker(app, patience=0).run_once()
    db.session.rollback()


def rows():
    db.session.rollback()
    found = db.session.scalars(select(OutboxItem).where(OutboxItem.kind == refresh_plans.KIND).order_by(OutboxItem.id))
    return [(each.state, each.error) for each in found]


def test_it_is_refreshed_once_its_time_has_come(app, needed, endpoint, clock):
    connection = needed("ann")
    clock.forward(minutes=44)
    work(app)
    assert not endpoint.asked

    clock.forward(minutes=1)
    work(app)

    assert endpoint.refreshes == {"ann": 1}
    assert connection.expires_at == clock.now + timedelta(hours=1)
    assert rows() == [(OutboxState.DONE, None), (OutboxState.QUEUED, None)]

    clock.forward(minutes=45)
    work(app)
    assert endpoint.refreshes == {"ann": 2}


def test_what_no_live_workflow_needs_is_left_until_one_does(app, grown, needed, endpoint, clock):
    grown("ann")
    archived = needed("ben")
    with transaction():
        db.session.scalars(select(Workflow)).one().archived_at = clock.now
    clock.forward(minutes=50)

    work(app)

    assert not endpoint.asked
    assert rows() == [(OutboxState.QUEUED, "unneeded")] * 2

    with transaction():
        db.session.scalars(select(Workflow)).one().archived_at = None
    clock.forward(hours=6)
    work(app)
    assert endpoint.refreshes == {"ben": 1}
    assert archived.secret.version == 2


def test_what_was_replaced_meanwhile_is_not_refreshed(app, needed, endpoint, clock):
    connection = needed("ann")
    with transaction():
        secrets.keep(connection, {"access_token": "a", "refresh_token": "r"}, at=clock.now)
    clock.forward(minutes=50)

    work(app)

    assert not endpoint.asked
    assert rows() == [(OutboxState.DONE, "superseded")]


@pytest.mark.parametrize("health", [Health.ERROR, Health.REVOKED])
def test_what_does_not_work_is_not_refreshed(app, needed, endpoint, clock, health):
    needed("ann", health=health)
    clock.forward(minutes=50)

    work(app)

    assert not endpoint.asked
    assert rows() == [(OutboxState.DONE, "superseded")]


def test_a_provider_that_is_down_is_asked_again_for_as_long_as_it_takes(app, needed, endpoint, clock):
    connection = needed("ann")
    clock.forward(minutes=45)
    for failures in range(1, 31):
        endpoint.answers.append(said({}, 503))
        work(app)
        assert connection.refresh_failures == failures
        clock.forward(minutes=80)

    assert connection.health is Health.ACTIVE
    assert rows() == [(OutboxState.QUEUED, "unavailable")], "no attempts are counted, so that it is never given up"

    work(app)
    assert endpoint.refreshes == {"ann": 1}


def test_an_ended_grant_ends_it(app, needed, endpoint, clock):
    connection = needed("ann")
    endpoint.live.clear()
    clock.forward(minutes=45)

    work(app)

    assert (connection.health, connection.health_reason) == (Health.ERROR, "grant_ended")
    assert rows() == [(OutboxState.DONE, None)]


def test_many_are_asked_for_at_once(app, needed, endpoint, clock):
    meeting = threading.Barrier(refreshes.WIDTH)
    for _ in range(refreshes.WIDTH):
        needed()
    endpoint.before = lambda: meeting.wait(20)
    clock.forward(minutes=45)

    work(app)

    assert sum(endpoint.refreshes.values()) == refreshes.WIDTH


def test_one_bad_row_stops_no_other(app, needed, endpoint, clock):
    good = [needed(f"good{number}") for number in range(6)]
    spoilt, ended = needed("spoilt"), needed("ended")
    with transaction():
        spoilt.secret.blob = b"no blob at all"
    endpoint.live = {token: account for token, account in endpoint.live.items() if account != "ended"}
    clock.forward(minutes=45)

    work(app)

    assert endpoint.refreshes == {f"good{number}": 1 for number in range(6)}
    assert [each.secret.version for each in good] == [2] * 6
    assert (ended.health, spoilt.health, spoilt.refresh_lease) == (Health.ERROR, Health.ACTIVE, None)


def test_a_silent_provider_is_given_up_for_a_while(app, needed, endpoint, clock, monkeypatch):
    monkeypatch.setattr(refreshes, "WIDTH", 4)
    for _ in range(12):
        needed()
    endpoint.answers.extend(said({}, 503) for _ in range(12))
    clock.forward(minutes=45)

    work(app)

    assert sum(endpoint.asked.values()) < 12


def test_what_lives_for_a_second_is_refreshed_ahead_once_a_minute_at_most(app, needed, endpoint, clock):
    needed("ann", expires_at=clock.now + timedelta(seconds=1))
    endpoint.seconds = 1
    for _ in range(120):
        clock.forward(seconds=1)
        work(app)

    assert endpoint.refreshes == {"ann": 2}


# ── Leases of processes that died ────────────────────────────────────────────


def hold(connection, at):
    with transaction():
        connection.refresh_lease, connection.refresh_called_at = "of a dead process", at


def test_a_lease_lapses_by_the_observers_own_steady_clock(grown, clock):
    connection, steady = grown("ann"), [0.0]
    hold(connection, clock.now)
    watch = Watch(refresh_leases.LEASE, steady=lambda: steady[0])
    for seconds, leap, lapsed in ((0, 0, False), (89, 48, False), (1, -96, True)):
        steady[0] += seconds
        clock.leap(hours=leap)
        assert bool(watch.lapsed(refresh_leases.in_hand())) is lapsed


def test_a_lapsed_lease_asks_for_a_new_approval_and_not_the_provider(app, needed, endpoint, clock):
    connection = needed("ann")
    hold(connection, clock.now)
    clock.forward(minutes=50)

    work(app)
    work(app)

    assert (connection.health, connection.health_reason) == (Health.ERROR, "interrupted")
    assert (connection.refresh_lease, connection.refresh_called_at) == (None, None)
    assert not endpoint.asked, "no blind retry"


def test_a_lease_whose_secret_is_gone_is_not_held_for_ever(app, needed, endpoint, clock):
    connection = needed("ann")
    hold(connection, clock.now)
    with transaction():
        connection.health = Health.REVOKED
        secrets.destroy(connection)

    work(app)

    assert (connection.health, connection.refresh_lease, connection.refresh_called_at) == (Health.REVOKED, None, None)


def test_run_once_watches_a_lease_that_looks_abandoned_until_it_is_sure(app, needed, clock):
    connection = needed("ann")
    hold(connection, clock.now - timedelta(seconds=91))

    Worker(app, patience=0.3).run_once()

    db.session.rollback()
    assert (connection.health, connection.health_reason) == (Health.ERROR, "interrupted")
    assert connection.refresh_lease is None


def test_run_once_does_not_wait_for_a_lease_that_is_at_work(app, needed, clock):
    connection = needed("ann")
    hold(connection, clock.now)
    began = time.monotonic()

    Worker(app, patience=60).run_once()

    assert time.monotonic() - began < 20
    assert connection.refresh_lease == "of a dead process"


def test_a_lease_that_moved_on_meanwhile_is_left_alone(grown, clock):
    connection = grown("ann")
    hold(connection, clock.now)
    (mark,) = refresh_leases.in_hand()
    with transaction():
        connection.refresh_lease = "of another"

    refresh_leases.lapse(mark)

    assert (connection.health, connection.refresh_lease) == (Health.ACTIVE, "of another")

"""Credentials and clocks: one that is set, and those of hosts that differ, lose nothing and keep nothing from being used."""

from datetime import timedelta

import pytest

from app.models import Health
from app.services import secrets
from tests.services.credentials_in_use import use
from tests.support import refresh_endpoint
from tests.support.refresh_endpoint import expired, said

pytestmark = pytest.mark.both_databases
apps_dir, catalog, config, endpoint, grown = refresh_endpoint.fixtures


@pytest.mark.parametrize("hours", [-30, -2, 2, 30])
def test_a_clock_that_is_set_loses_nothing(grown, endpoint, clock, hours):
    connection = grown("ann")
    clock.leap(hours=hours)

    first = use(connection)
    clock.leap(hours=-hours)
    second = use(connection)

    assert {first.split(".")[1], second.split(".")[1]} == {"ann"}
    assert connection.health is Health.ACTIVE
    assert not endpoint.refusals
    assert secrets.reveal(connection)["refresh_token"].reveal() in endpoint.live


def test_the_clocks_of_two_hosts_do_not_matter(grown, endpoint, clock):
    connection = grown("ann", **expired())
    clock.leap(seconds=90)
    one = use(connection)
    clock.leap(seconds=-90)

    assert use(connection) == one
    assert endpoint.asked["ann"] == 1


def test_a_failure_of_before_the_clock_was_set_back_puts_nothing_off(grown, endpoint, clock):
    connection = grown("ann")
    clock.forward(minutes=50)
    endpoint.answers.append(said({"error": "server_error"}, 503))
    before = use(connection)
    clock.leap(hours=-5)
    clock.forward(minutes=30)

    assert use(connection) != before
    assert endpoint.refreshes["ann"] == 1
    assert (connection.refresh_failures, connection.refresh_failed_at, connection.refresh_after) == (0, None, None)


def test_a_failure_counts_as_long_as_hosts_may_differ(grown, endpoint, clock):
    connection = grown("ann")
    clock.forward(minutes=50)
    endpoint.answers.append(said({"error": "server_error"}, 503))
    before = use(connection)
    clock.leap(seconds=-90)

    assert use(connection) == before
    assert endpoint.asked["ann"] == 1


def test_a_pause_that_a_wrong_clock_wrote_is_not_kept_for_ever(grown, endpoint, clock):
    connection = grown("ann", **expired(refresh_after=clock.now + timedelta(days=300), refresh_failures=1))

    use(connection)

    assert endpoint.refreshes["ann"] == 1

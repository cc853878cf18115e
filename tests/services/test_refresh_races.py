"""Rows 23 to 25 with a provider that is slow or spiteful: many at once, losers that come late, and failures that pass."""

import time

import pytest

from app.database import transaction
from app.errors import ProviderFailed
from app.extensions import db
from app.models import Connection, Health
from app.oauth.answers import TokenError
from app.oauth.faults import Fault
from app.services import credentials, freshness, mending, refresh_leases, refreshing, secrets
from app.services.audit import SYSTEM
from tests.support import refresh_endpoint
from tests.support.crowd import crowd
from tests.support.refresh_endpoint import expired, said
from tests.support.users import expire, use

pytestmark = pytest.mark.both_databases
apps_dir, catalog, config, endpoint, grown = refresh_endpoint.fixtures
PROCESSES, THREADS = 4, 5
NAMES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}


def ask(config, connection, deadline):
    payload = (connection.agency_id, connection.id, deadline)
    db.session.rollback()
    return crowd(config, use, payload, processes=PROCESSES, threads=THREADS)


def the(connection):
    db.session.rollback()
    return db.session.get_one(Connection, connection.id, populate_existing=True)


def test_row_23_all_wait_for_the_one_who_asks_a_slow_provider(config, grown, endpoint, proof, database_kind):
    """Twenty threads in four processes ask at once for a token that has ended, at a provider whose refresh tokens rotate and
    that takes a second less than a refresh may: it is asked once, and all are handed the one new token.
    """
    proof.title = f"Refreshing: a provider that takes 29 seconds, {NAMES[database_kind]}"
    deadline = float(proof.size(check=12, prove=30))
    connection, endpoint.delay = grown("ann", **expired()), float(proof.size(check=2, prove=29))

    began = time.monotonic()
    tokens = ask(config, connection, deadline)
    took = time.monotonic() - began

    assert (endpoint.asked, endpoint.refusals) == ({"ann": 1}, {})
    (token,) = set(tokens)
    assert secrets.reveal(the(connection))["access_token"].reveal() == token
    proof.figure("seconds that the provider took", round(endpoint.delay))
    proof.figure("times that it was asked", endpoint.asked["ann"])
    proof.figure("threads that were handed the one new token, of 20", len(tokens))
    proof.figure("until the last of them had it, starting four processes included", f"{took:.1f} s")


def test_row_25_a_provider_that_takes_too_long_is_refused_in_time_and_asked_again(
    config, grown, endpoint, proof, database_kind
):
    """Twenty threads in four processes ask at once for a token that has ended, at a provider that takes half as long again as
    a refresh may: all are refused in time with a sentence that says to try again, nothing is taken for broken, and the next
    who ask when the provider is well again are handed the one new token.
    """
    proof.title = f"Refreshing: a provider that takes longer than 30 seconds, {NAMES[database_kind]}"
    deadline = float(proof.size(check=2, prove=30))
    connection, endpoint.delay = grown("ann", **expired()), deadline * 1.5
    endpoint.answers.append(said({}))  # nothing is issued for who does not listen any more

    told = ask(config, connection, deadline)

    assert {each.partition(" ")[2].partition(" ")[2] for each in told} == {
        "Quayside does not answer. Try again in a few minutes."
    }
    longest = max(float(each.split()[1]) for each in told)
    assert longest < deadline + 5
    assert endpoint.asked == {"ann": 1}
    kept = the(connection)
    assert (kept.health, kept.refresh_failures, kept.refresh_lease) == (Health.ACTIVE, 1, None)

    endpoint.delay = 0
    expire(connection.id)
    again = ask(config, connection, deadline)
    (token,) = set(again)
    assert token.startswith("access.ann.")
    assert endpoint.refreshes == {"ann": 1}
    assert the(connection).refresh_failures == 0
    proof.figure("seconds that the provider took", round(deadline * 1.5))
    proof.figure("threads that were refused, of 20", len(told))
    proof.figure("longest that one waited for it", f"{longest:.1f} s of {deadline + 5:.0f} at most")
    proof.figure("threads that were handed the one new token once it was well, of 20", len(again))


def begun(connection):
    with transaction():
        work = refreshing.begin(connection.id, version=connection.secret.version, at=connection.token_at)
    assert work is not None
    return work


def test_row_24_a_loser_that_is_told_invalid_grant_ends_nothing(grown, endpoint):
    """Its lease lapsed, the owner connected anew, and only then the provider's word on the old grant comes."""
    connection = grown("ann", **expired())
    work = begun(connection)
    (mark,) = refresh_leases.in_hand()
    refresh_leases.lapse(mark)
    assert the(connection).health_reason == "interrupted"
    with transaction():
        connection.health, connection.health_reason = Health.ACTIVE, None
        secrets.keep(connection, {"access_token": "newest", "refresh_token": "r"}, at=connection.token_at)

    done = refreshing.settle(work, TokenError(Fault.GRANT_ENDED))

    assert done.ending is refreshing.Ending.STALE
    assert the(connection).health is Health.ACTIVE
    assert secrets.reveal(connection)["access_token"].reveal() == "newest"


def test_row_24_a_stale_401_breaks_nothing_that_was_refreshed_meanwhile(grown, endpoint):
    """The app refused the first token, and its word came once another had been stored."""
    connection = grown("ann", **expired())
    refused = freshness.standing_of(connection.id)
    assert refreshing.attempt(connection.id, version=1) is not None

    broke = mending.mark_broken(refused, Fault.CREDENTIAL, at=connection.token_at, version=refused.version)

    assert broke is False
    assert (the(connection).health, the(connection).secret.version) == (Health.ACTIVE, 2)


def test_row_24_a_winner_that_was_thought_dead_loses_no_grant(grown, endpoint):
    connection = grown("ann", **expired())
    work = begun(connection)
    answer = refreshing.call(work)
    (mark,) = refresh_leases.in_hand()
    refresh_leases.lapse(mark)
    assert the(connection).health is Health.ERROR

    done = refreshing.settle(work, answer)

    assert done.ending is refreshing.Ending.RENEWED
    kept = the(connection)
    assert (kept.health, kept.health_reason, kept.broken_at) == (Health.ACTIVE, None, None)
    assert secrets.reveal(kept)["refresh_token"].reveal() in endpoint.live


def test_row_24_a_failure_of_who_was_thought_dead_changes_nothing(grown):
    connection = grown("ann", **expired())
    work = begun(connection)
    (mark,) = refresh_leases.in_hand()
    refresh_leases.lapse(mark)

    for fault in (Fault.UNAVAILABLE, Fault.GRANT_ENDED):
        refreshing.settle(work, TokenError(fault))

    kept = the(connection)
    assert (kept.health, kept.health_reason, kept.refresh_failures) == (Health.ERROR, "interrupted", 0)


def test_a_token_that_comes_for_a_revoked_connection_is_kept_for_giving_it_back(grown, endpoint):
    connection = grown("ann", **expired())
    work = begun(connection)
    with transaction():
        connection.health = Health.REVOKED

    refreshing.settle(work, refreshing.call(work))

    assert the(connection).health is Health.REVOKED
    assert secrets.reveal_revoked(connection)["refresh_token"].reveal() in endpoint.live


def test_row_25_a_single_failure_that_passes_is_no_alarm(grown, endpoint):
    connection = grown("ann", **expired())
    endpoint.answers.append(said({}, 503))

    outcome = refreshing.attempt(connection.id, version=1)

    assert outcome is not None
    assert outcome[0].ending is refreshing.Ending.PUT_OFF
    assert (the(connection).health, connection.broken_at, connection.health_reason) == (Health.ACTIVE, None, None)


def test_nobody_waits_longer_than_a_refresh_may_take(grown, clock, monkeypatch):
    monkeypatch.setattr(freshness, "PATIENCE", 0.3)
    connection = grown("ann", **expired(refresh_lease="of another", refresh_called_at=clock.now))
    began = time.perf_counter()

    with pytest.raises(ProviderFailed, match="Quayside takes long to answer"):
        credentials.use(connection, by=SYSTEM)

    assert time.perf_counter() - began < 5

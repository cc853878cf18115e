"""Credentials that are refreshed or tested because an app refused one or somebody wants it, and what is then said of them."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.errors import Conflict, ProviderFailed, RateLimited
from app.extensions import db
from app.models import AuditEvent, Health, OutboxItem
from app.oauth.faults import Fault
from app.services import credentials, freshness, letters, oauth_clients, pauses, proving, secrets
from app.services.audit import Actor
from tests.services.credentials_in_use import BY
from tests.services.settling import change
from tests.support import refresh_endpoint
from tests.support.refresh_endpoint import expired, said

pytestmark = pytest.mark.both_databases
apps_dir, catalog, config, endpoint, grown = refresh_endpoint.fixtures


# ── A token that the app refuses ─────────────────────────────────────────────


def test_refused_fetches_another_token_once_for_all_who_were_refused(grown, endpoint):
    connection = grown("ann")
    handed = credentials.use(connection, by=BY)

    again = [credentials.refused(connection, handed.version, by=BY) for _ in range(3)]

    assert endpoint.refreshes["ann"] == 1
    assert {each.version for each in again} == {2}
    assert again[0].token != handed.token


def test_refused_asks_the_app_whether_a_token_without_refreshing_is_dead(grown, endpoint):
    alive, dead = grown("ann", refreshable=False), grown("ben", refreshable=False)
    endpoint.spoilt.add(secrets.reveal(dead)["access_token"].reveal())

    assert credentials.refused(alive, 1, by=BY).version == 1
    with pytest.raises(Conflict, match="no longer accepts the access that was given"):
        credentials.refused(dead, 1, by=BY)

    assert (dead.health, dead.health_reason) == (Health.ERROR, Fault.CREDENTIAL)


# ── On somebody's word ───────────────────────────────────────────────────────


def test_refresh_now_fetches_a_fresh_token_and_says_whose_it_is(grown, endpoint):
    connection = grown("ann", health=Health.PENDING)
    owner = Actor.client(connection.owner_email)

    told = credentials.refresh_now(connection, by=owner)

    assert told == "Connected and working: Quayside says it is ann@client.example."
    assert (connection.health, connection.secret.version) == (Health.ACTIVE, 2)
    event = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "connection.refreshed")).one()
    assert (event.actor_kind, event.actor) == ("client", connection.owner_email)


def test_refresh_now_does_not_wait_for_our_own_pause_but_for_the_providers(grown, endpoint, clock):
    connection = grown("ann", refresh_failures=5, refresh_after=clock.now + timedelta(hours=1))
    credentials.refresh_now(connection, by=BY)
    assert connection.refresh_failures == 0

    endpoint.answers.append(said({}, 429, **{"Retry-After": "120"}))
    with pytest.raises(ProviderFailed, match="Quayside was asked too often"):
        credentials.refresh_now(connection, by=BY)
    with pytest.raises(ProviderFailed, match="Quayside asked to be left alone for"):
        credentials.refresh_now(connection, by=BY)


def test_a_pause_that_a_refresh_was_told_of_is_that_connections_and_keeps_nobody_from_connecting(
    grown, endpoint, agency, clock
):
    mine, other = grown("ann"), grown("ben")
    endpoint.answers.append(said({}, 429, **{"Retry-After": "1800"}))
    with pytest.raises(ProviderFailed, match="was asked too often"):
        credentials.refresh_now(mine, by=BY)

    for act in (credentials.refresh_now, credentials.test):
        with pytest.raises(ProviderFailed, match=r"asked to be left alone for 3[01] minutes"):
            act(mine, by=BY)
    assert not oauth_clients.for_app(agency, mine.app_key).paused_until
    assert freshness.is_put_off(freshness.standing_of(other.id), at=clock.now), "nobody asked for that one"
    credentials.refresh_now(other, by=BY)
    assert endpoint.asked == {"ann": 1, "ben": 1}


def test_a_pause_that_a_test_was_told_of_is_kept(grown, endpoint, agency, clock):
    connection = grown("ann")
    endpoint.limits = "600"
    with pytest.raises(ProviderFailed, match="was asked too often"):
        credentials.test(connection, by=BY)
    endpoint.limits = None

    with pytest.raises(ProviderFailed, match=r"asked to be left alone for 1[01] minutes"):
        credentials.test(connection, by=BY)
    clock.forward(minutes=11)
    assert credentials.test(connection, by=BY).startswith("Connected and working")
    assert not oauth_clients.for_app(agency, connection.app_key).paused_until


def test_a_pause_that_connecting_was_told_of_holds_for_refreshes_too(grown, endpoint, clock):
    connection = grown("ann", **expired())
    pauses.keep(connection.oauth_client, 600, at=clock.now)

    for act in (credentials.refresh_now, credentials.test, credentials.use):
        with pytest.raises(ProviderFailed):
            act(connection, by=BY)
    assert not endpoint.asked


def test_people_have_a_connection_refreshed_or_tested_five_times_in_a_quarter_of_an_hour(grown, endpoint, clock):
    clock.to(clock.now.replace(minute=14, second=0))
    connection, other = grown("ann"), grown("ben")
    for act in (credentials.refresh_now, credentials.test) * 2:
        act(connection, by=BY)
    clock.forward(minutes=2)  # into the next window of the counter
    credentials.refresh_now(connection, by=BY)

    with pytest.raises(
        RateLimited, match=r"tried five times in a quarter of an hour\. Try again in \d+ minutes?\."
    ) as limited:
        credentials.refresh_now(connection, by=BY)
    with pytest.raises(RateLimited):
        credentials.test(connection, by=BY)
    assert endpoint.asked["ann"] == 3
    credentials.refresh_now(other, by=BY)

    clock.forward(seconds=limited.value.retry_after - 30)
    with pytest.raises(RateLimited):
        credentials.refresh_now(connection, by=BY)
    clock.forward(seconds=30)
    credentials.refresh_now(connection, by=BY)


def test_nobody_who_presses_a_button_waits_for_anothers_refresh(grown, endpoint, clock):
    connection = grown("ann", refresh_lease="of another", refresh_called_at=clock.now)

    for act in (credentials.refresh_now, credentials.test):
        with pytest.raises(freshness.UnderWay, match=r"^It is being refreshed just now\.$"):
            act(connection, by=BY)
    assert not endpoint.asked


def test_who_comes_a_moment_after_anothers_refresh_began_does_not_wait_either(grown, endpoint, clock, monkeypatch):
    connection = grown("ann")
    standing = freshness.standing_of(connection.id)
    change(connection, refresh_lease="of another", refresh_called_at=clock.now)

    with pytest.raises(freshness.UnderWay):
        freshness.renew(standing, by=BY)


def test_test_only_asks(grown, endpoint):
    connection = grown("ann", health=Health.PENDING)

    assert credentials.test(connection, by=BY) == "Connected and working: Quayside says it is ann@client.example."

    assert (connection.health, connection.secret.version) == (Health.ACTIVE, 1)
    assert not endpoint.asked


@pytest.mark.parametrize(("act", "refreshable"), [("test", True), ("test", False), ("refresh_now", False)])
def test_where_there_was_nothing_to_do_that_is_said(grown, monkeypatch, act, refreshable):
    monkeypatch.setattr(proving, "_asked", lambda _standing: None)

    with pytest.raises(credentials.Untested, match="can't be asked without using it"):
        getattr(credentials, act)(grown("ann", refreshable=refreshable), by=BY)


def test_a_refresh_is_something_that_was_done(grown, endpoint, monkeypatch):
    monkeypatch.setattr(proving, "_asked", lambda _standing: None)

    assert credentials.refresh_now(grown("ann"), by=BY) == "The access to Quayside was refreshed."
    assert credentials.test(grown("ben", **expired()), by=BY) == "The access to Quayside was refreshed."


def test_test_refreshes_what_is_due_anyhow(grown, endpoint):
    connection = grown("ann", **expired())

    credentials.test(connection, by=BY)

    assert endpoint.refreshes["ann"] == 1


def test_test_finds_another_account(grown, endpoint):
    connection = grown("ann")
    endpoint.owners["ann"] = "somebody else"

    with pytest.raises(Conflict, match="Quayside answers for another account than the one that was connected"):
        credentials.test(connection, by=BY)

    assert (connection.health, connection.health_reason) == (Health.ERROR, Fault.MISMATCH)


def test_test_refreshes_a_dead_token_before_it_says_that_the_access_is_gone(grown, endpoint):
    connection, lost = grown("ann"), grown("ben")
    endpoint.spoilt |= {secrets.reveal(each)["access_token"].reveal() for each in (connection, lost)}
    endpoint.live = {token: account for token, account in endpoint.live.items() if account == "ann"}

    assert credentials.test(connection, by=BY).startswith("Connected and working")
    with pytest.raises(Conflict, match="Access was removed or ran out"):
        credentials.test(lost, by=BY)


REFUSALS = {
    "403 and when to come back": (403, {"message": "Slow down."}, {"Retry-After": "60"}, "was asked too often"),
    "403 too often": (403, {"message": "API rate limit exceeded"}, {}, "was asked too often"),
    "403 for whatever reason": (403, {"message": "Not now"}, {}, "refuses it for now"),
    "errors": (200, {"errors": [{"message": "Internal error"}]}, {}, "can't be understood"),
    "a 404": (404, {}, {}, "refuses it and gives no reason"),
}


@pytest.mark.parametrize("case", REFUSALS)
@pytest.mark.parametrize("refreshable", [True, False])
def test_a_refusal_that_may_pass_breaks_nothing(grown, endpoint, monkeypatch, case, refreshable):
    """Not even one that stays after a refresh which succeeded: the grant lives."""
    status, document, headers, words = REFUSALS[case]
    connection = grown("ann", refreshable=refreshable)
    monkeypatch.setattr(endpoint, "_me", lambda _asked: said(document, status, **headers))

    for ask in (credentials.refresh_now, credentials.test):
        with pytest.raises(ProviderFailed, match=f"{words}|asked to be left alone"):  # which the second ask leaves it
            ask(connection, by=BY)

    db.session.refresh(connection)
    assert (connection.health, connection.broken_at) == (Health.ACTIVE, None)
    assert db.session.scalars(select(OutboxItem).where(OutboxItem.kind == letters.BROKEN)).all() == []


@pytest.mark.parametrize(("status", "error"), [(401, "odd"), (403, "invalid_token"), (403, "token_revoked")])
def test_a_token_that_is_told_to_be_no_good_breaks_the_connection(grown, endpoint, monkeypatch, status, error):
    connection = grown("ann")
    monkeypatch.setattr(endpoint, "_me", lambda _asked: said({"error": error}, status))

    with pytest.raises(Conflict, match="no longer accepts the access that was given"):
        credentials.test(connection, by=BY)

    db.session.refresh(connection)
    assert (connection.health, endpoint.refreshes["ann"]) == (Health.ERROR, 1)

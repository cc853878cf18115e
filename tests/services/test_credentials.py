"""Credentials in use: handed out at once while they are good, refreshed in time, once, and never lost."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from app.database import transaction
from app.errors import Conflict, NotFound, ProviderFailed, RateLimited
from app.extensions import db
from app.models import AuditEvent, Health, OutboxItem
from app.oauth.faults import Fault
from app.services import (
    credentials,
    freshness,
    letters,
    oauth_clients,
    pauses,
    proving,
    refresh_plans,
    refresh_rows,
    refreshing,
    secrets,
)
from app.services.audit import Actor
from tests.support import refresh_endpoint
from tests.support.refresh_endpoint import expired, said
from tests.support.statements import counted

pytestmark = pytest.mark.both_databases
apps_dir, catalog, config, endpoint, grown = refresh_endpoint.fixtures
BY = Actor("system", "make")


def use(connection):
    return credentials.use(connection, by=BY).token.reveal()


def acts(connection):
    db.session.rollback()
    events = select(AuditEvent).where(AuditEvent.subject == connection.public_id).order_by(AuditEvent.id)
    return [event.type.partition(".")[2] for event in db.session.scalars(events)]


def change(connection, **values):
    with transaction():
        for name, value in values.items():
            setattr(connection, name, value)


def test_use_hands_out_a_valid_token_and_records_who_asked(agency, grown, endpoint):
    connection = grown("ann")

    handed = credentials.use(connection, by=BY)

    assert handed.token == secrets.reveal(connection)["access_token"]
    assert (handed.type, handed.expires_at, handed.version) == ("bearer", connection.expires_at, 1)
    event = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "connection.used")).one()
    assert (event.subject, event.actor, event.workspace_id) == (connection.public_id, "make", connection.workspace_id)
    assert not endpoint.asked


def test_use_writes_when_it_was_used_once_a_minute(grown, clock):
    connection, began = grown(), clock.now
    for seconds, noted in ((0, 0), (30, 0), (31, 61), (59, 61), (1, 121)):
        clock.forward(seconds=seconds)
        use(connection)
        assert connection.used_at == began + timedelta(seconds=noted)


def test_use_takes_few_statements(grown):
    connection = grown()
    use(connection)
    assert connection.id

    with counted() as statements:
        use(connection)

    assert [each.split()[0] for each in statements if not each.startswith("BEGIN")] == ["SELECT", "INSERT"]


@pytest.mark.parametrize(
    ("life", "age", "is_fetched"),
    [(3600, 2699, False), (3600, 2700, True), (600, 299, False), (600, 300, True), (30 * 86400, 30 * 86400 - 901, False)],
)  # fmt: skip
def test_use_refreshes_when_little_is_left(grown, endpoint, clock, life, age, is_fetched):
    connection = grown("ann", expires_at=clock.now + timedelta(seconds=life))
    before = secrets.reveal(connection)["access_token"].reveal()
    clock.forward(seconds=age)

    assert (use(connection) != before) is is_fetched
    assert endpoint.refreshes["ann"] == is_fetched


def test_a_token_without_an_end_counts_as_an_hour_if_it_can_be_refreshed(grown, endpoint, clock):
    lasting, short = grown("ann", expires_at=None, refreshable=False), grown("ben", expires_at=None)
    clock.forward(minutes=44)
    use(lasting), use(short)
    assert not endpoint.asked

    clock.forward(minutes=1)
    use(lasting), use(short)
    assert endpoint.asked == {"ben": 1}

    clock.forward(days=400)
    use(lasting)
    assert not endpoint.asked["ann"]


def test_the_rotated_token_is_stored_before_it_is_handed_out(grown, endpoint):
    connection = grown("ann", **expired())

    token = use(connection)

    assert secrets.reveal(connection)["access_token"].reveal() == token
    assert secrets.reveal(connection)["refresh_token"].reveal() in endpoint.live
    assert connection.secret.version == 2
    assert (connection.refresh_lease, connection.refresh_called_at) == (None, None)
    assert acts(connection) == ["refreshed", "used"]
    keys = db.session.scalars(select(OutboxItem.key).where(OutboxItem.kind == refresh_plans.KIND)).all()
    assert [key.rpartition(":")[0] for key in keys] == [f"{connection.public_id}:1", f"{connection.public_id}:2"]


def test_a_missing_new_refresh_token_keeps_the_old_one(grown, endpoint):
    endpoint.rotates = False
    connection = grown("ann", **expired())
    before = secrets.reveal(connection)

    use(connection)

    after = secrets.reveal(connection)
    assert after["refresh_token"] == before["refresh_token"]
    assert after["access_token"] != before["access_token"]


def test_while_another_refreshes_it_a_token_that_is_still_good_is_used(grown, endpoint, clock):
    connection = grown("ann")
    clock.forward(minutes=50)
    change(connection, refresh_lease="somebody else's", refresh_called_at=clock.now)

    assert use(connection) == secrets.reveal(connection)["access_token"].reveal()
    assert not endpoint.asked


def test_a_provider_that_fails_leaves_a_good_token_in_use_and_is_left_alone(grown, endpoint, clock):
    endpoint.answers.extend([said({}, 503), said({}, 503)])
    connection = grown("ann")
    before = secrets.reveal(connection)["access_token"].reveal()
    clock.forward(minutes=50)

    assert [use(connection), use(connection)] == [before, before]

    assert endpoint.asked["ann"] == 1
    assert (connection.health, connection.health_reason, connection.refresh_failures) == (Health.ACTIVE, None, 1)
    assert 22 <= (connection.refresh_after - clock.now).total_seconds() <= 38

    clock.forward(seconds=40)
    assert use(connection) == before
    assert connection.refresh_failures == 2
    assert acts(connection) == ["refresh_failed", "used", "used", "used"], "one alarm for a streak"

    clock.forward(minutes=2)
    assert use(connection) != before
    assert (connection.refresh_failures, connection.refresh_after) == (0, None)


def test_without_a_good_token_the_caller_is_told(grown, endpoint):
    endpoint.answers.append(said({}, 503))
    connection = grown("ann", **expired())

    for _ in range(2):
        with pytest.raises(ProviderFailed, match="Quayside does not answer"):
            use(connection)

    assert endpoint.asked["ann"] == 1
    assert acts(connection) == ["refresh_failed"]


def test_retry_after_is_kept(grown, endpoint, clock):
    endpoint.answers.append(said({}, 429, **{"Retry-After": "1800"}))
    connection, other = grown("ann", **expired()), grown("ben", **expired())
    with pytest.raises(ProviderFailed):
        use(connection)
    assert connection.refresh_after == clock.now + timedelta(minutes=30)

    clock.forward(minutes=29)
    with pytest.raises(ProviderFailed):
        use(other)
    assert endpoint.asked == {"ann": 1}, "the pause is the client's, for all its connections"

    clock.forward(minutes=2)
    use(connection)
    use(other)


def test_an_ended_grant_breaks_the_connection(grown, endpoint, clock):
    connection = grown("ann", **expired())
    endpoint.live.clear()

    with pytest.raises(Conflict, match="Access was removed or ran out in Quayside"):
        use(connection)

    assert (connection.health, connection.health_reason) == (Health.ERROR, Fault.GRANT_ENDED)
    assert (connection.broken_at, connection.refresh_lease) == (clock.now, None)
    assert acts(connection) == ["broken"]
    letter = db.session.scalars(select(OutboxItem).where(OutboxItem.kind == letters.BROKEN)).one()
    assert letter.payload["connection"] == connection.id
    with pytest.raises(Conflict):
        use(connection)
    assert endpoint.asked["ann"] == 1


def test_a_stale_loser_ends_nothing(grown, endpoint, monkeypatch):
    """It is told invalid_grant because another process was faster, whose token is there by then."""
    connection = grown("ann", **expired())
    endpoint.answers.append(said({"error": "invalid_grant"}, 400))

    real = refreshing.call

    def call(work):
        answer = real(work)
        access, refresh = endpoint.issue("ann")
        with transaction():
            secrets.keep(connection, {"access_token": access, "refresh_token": refresh}, at=work.at)
        change(connection, expires_at=work.at + timedelta(hours=1), token_at=work.at)
        return answer

    monkeypatch.setattr(refreshing, "call", call)

    assert use(connection).startswith("access.ann.")
    assert (connection.health, connection.refresh_lease) == (Health.ACTIVE, None)
    assert "broken" not in acts(connection)


def test_what_was_refreshed_between_two_looks_is_not_refreshed_again(grown, endpoint, monkeypatch):
    """Each statement sees its own moment: the first look may find the old token, and the second the new one."""
    connection = grown("ann", **expired())
    looked = refresh_rows.IN_USE
    old = looked(connection=connection.id).one()
    db.session.rollback()
    new = use(connection)
    monkeypatch.setattr(refresh_rows, "IN_USE", lambda **_: SimpleNamespace(one_or_none=lambda: old))

    assert use(connection) == new
    assert endpoint.refreshes == {"ann": 1}


def test_a_token_that_comes_back_too_late_does_not_replace_a_newer_one(grown, endpoint, monkeypatch):
    connection = grown("ann", **expired())
    real = refreshing.call

    def call(work):
        answer = real(work)
        with transaction():
            secrets.keep(connection, {"access_token": "newest", "refresh_token": "r"}, at=work.at)
        change(connection, expires_at=work.at + timedelta(hours=1), token_at=work.at)
        return answer

    monkeypatch.setattr(refreshing, "call", call)

    assert use(connection) == "newest"


def test_a_fault_of_our_client_is_told_and_is_not_the_clients(grown, endpoint):
    endpoint.answers.append(said({"error": "invalid_client"}, 401))
    connection = grown("ann", **expired())

    with pytest.raises(ProviderFailed, match="Quayside no longer accepts the client that is set up for it"):
        use(connection)

    assert (connection.health, connection.health_reason) == (Health.ACTIVE, Fault.MISCONFIGURED)
    change(connection, refresh_after=None)
    use(connection)
    assert connection.health_reason is None


@pytest.mark.parametrize("changes", [{"health": Health.REVOKED}, {"health": Health.ERROR}])
def test_what_is_revoked_or_broken_is_not_handed_out(grown, changes):
    with pytest.raises(Conflict):
        use(grown(**changes))


def test_what_was_deleted_is_not_there(grown, clock):
    with pytest.raises(NotFound):
        use(grown(deleted_at=clock.now))


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


# ── Clocks ───────────────────────────────────────────────────────────────────


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

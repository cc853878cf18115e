"""Credentials in use: handed out at once while they are good, refreshed in time, once, and never lost."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from app.database import transaction
from app.errors import Conflict, NotFound, ProviderFailed
from app.extensions import db
from app.models import AuditEvent, Health, OutboxItem
from app.oauth.faults import Fault
from app.services import credentials, letters, refresh_plans, refresh_rows, refreshing, secrets
from tests.services.credentials_in_use import BY, acts, use
from tests.services.settling import change
from tests.support import refresh_endpoint
from tests.support.refresh_endpoint import expired, said
from tests.support.statements import counted

pytestmark = pytest.mark.both_databases
apps_dir, catalog, config, endpoint, grown = refresh_endpoint.fixtures


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

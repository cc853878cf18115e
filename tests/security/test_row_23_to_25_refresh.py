"""Against the independent provider, whose refresh tokens rotate: one refresh, stale losers, failures that pass.

`tests/services/test_refresh_races.py` has more of each, with a provider that is slow or spiteful.
"""

import pytest
from sqlalchemy import select

from app.database import transaction
from app.errors import ProviderFailed
from app.extensions import db
from app.models import Connection, Health
from app.oauth.answers import TokenError
from app.oauth.faults import Fault
from app.services import credentials, refreshing, secrets
from app.services.audit import SYSTEM
from tests.support.crowd import crowd
from tests.support.users import expire, use

both = pytest.mark.both_databases
PROCESSES, THREADS = 4, 5


def the(connection_id):
    db.session.rollback()
    return db.session.get_one(Connection, connection_id, populate_existing=True)


@both
def test_row_23_twenty_who_ask_at_once_cost_one_refresh(app, agency, visitor, asked, person, provider):
    page = visitor.open(asked[0])
    visitor.get(page)
    visitor.approve(visitor.start(page, asked[0]), person)
    db.session.rollback()
    connection = db.session.scalars(select(Connection).where(Connection.agency_id == agency.id)).one()
    old = secrets.reveal(connection)
    for round_ in (1, 2, 3):
        expire(connection.id)
        provider.reset()
        payload = (agency.id, connection.id, 30.0)
        tokens = crowd(app.config["GATEHOUSE"], use, payload, processes=PROCESSES, threads=THREADS)

        assert len(set(tokens)) == 1, set(tokens)
        (token,) = set(tokens)
        assert provider.count()["token.refresh_token"] == 1
        assert provider.call_api(token)[0] == 200
        kept = the(connection.id)
        assert (kept.health, kept.secret.version) == (Health.ACTIVE, round_ + 1)
        assert secrets.reveal(kept)["refresh_token"] != old["refresh_token"]
        old = secrets.reveal(kept)


@pytest.fixture
def connection_id(agency, visitor, asked, person, provider):
    """A connection to the provider, made by its owner and with a token that has ended."""
    page = visitor.open(asked[0])
    visitor.get(page)
    visitor.approve(visitor.start(page, asked[0]), person)
    db.session.rollback()
    made = db.session.scalars(select(Connection).where(Connection.agency_id == agency.id)).one().id
    expire(made)
    provider.reset()
    return made


@both
def test_row_24_a_loser_that_comes_late_spends_nothing(connection_id, provider):
    """It read the old token before the winner stored the new: this provider would take a second use for a theft."""
    winner = refreshing.attempt(connection_id, version=1)
    loser = refreshing.attempt(connection_id, version=1)

    assert winner[0].ending is refreshing.Ending.RENEWED
    assert loser is None
    assert provider.count()["token.refresh_token"] == 1
    expire(connection_id)
    assert refreshing.attempt(connection_id, version=2)[0].ending is refreshing.Ending.RENEWED, "the grant lives"


@both
def test_row_24_what_a_loser_is_told_ends_nothing_that_it_did_not_use(connection_id, clock):
    connection = the(connection_id)
    with transaction():
        work = refreshing.begin(connection_id, version=1, at=clock.now)
    with transaction():
        secrets.keep(connection, {"access_token": "newest", "refresh_token": "r"}, at=clock.now)

    done = refreshing.settle(work, TokenError(Fault.GRANT_ENDED))

    kept = the(connection_id)
    assert (done.ending, kept.health) == (refreshing.Ending.STALE, Health.ACTIVE)
    assert secrets.reveal(kept)["access_token"].reveal() == "newest"


PASSING = [
    {"status": 500},
    {"status": 503},
    {"status": 429},
    {"status": 200, "body": "<html>Down for maintenance</html>", "content_type": "text/html"},
]


REFUSALS = [
    {"status": 403, "body": '{"message": "You have exceeded a secondary rate limit"}'},
    {"status": 403, "body": '{"message": "Blocked by the firewall"}'},
    {"status": 429, "body": "{}"},
]


@both
@pytest.mark.parametrize("fault", REFUSALS, ids=["rate limit", "firewall", "429"])
def test_row_25_a_refusal_to_say_whose_it_is_that_passes_changes_nothing(connection_id, provider, fault):
    """Even where it stays after a refresh that succeeded: the provider gave a token, so the grant lives."""
    provider.misbehave("api", content_type="application/json", **fault)

    with pytest.raises(ProviderFailed):
        credentials.refresh_now(the(connection_id), by=SYSTEM)

    kept = the(connection_id)
    assert (kept.health, kept.health_reason, kept.broken_at) == (Health.ACTIVE, None, None)
    provider.reset()
    assert credentials.test(kept, by=SYSTEM).startswith("Connected and working")


@both
@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: f"{fault['status']}")
def test_row_25_a_failure_that_passes_changes_nothing(connection_id, provider, fault):
    before = secrets.reveal(the(connection_id))["refresh_token"]
    provider.misbehave("token", **fault)

    with pytest.raises(ProviderFailed):
        credentials.use(the(connection_id), by=SYSTEM)

    kept = the(connection_id)
    assert (kept.health, kept.broken_at, kept.refresh_lease) == (Health.ACTIVE, None, None)
    assert secrets.reveal(kept)["refresh_token"] == before
    provider.reset()
    expire(connection_id)
    token = credentials.use(the(connection_id), by=SYSTEM).token
    assert provider.call_api(token.reveal())[0] == 200

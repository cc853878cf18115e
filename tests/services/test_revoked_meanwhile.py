"""Revoked while its token is being refreshed: use has stopped, and what the refresh brought is given back like the rest."""

import pytest
from sqlalchemy import select

from app.errors import Conflict
from app.extensions import db
from app.models import Health, OutboxItem, Revocation
from app.oauth.revoke import RevokeOutcome
from app.services import connections, credentials, giving_back, refresh_plans, revocations, secrets
from app.services.audit import Actor
from app.tenancy import acting_for
from app.worker import Worker
from app.worker.handlers import HANDLERS
from tests.support import refresh_endpoint
from tests.support.refresh_endpoint import expired

pytestmark = pytest.mark.both_databases
apps_dir, catalog, config, endpoint, grown = refresh_endpoint.fixtures
MINE = [handler for handler in HANDLERS if handler.kind in (revocations.KIND, refresh_plans.KIND)]
MAKE = Actor("system", "make")


@pytest.fixture
def given_back(monkeypatch):
    tokens = []

    def revoke(*_, access_token, refresh_token, **__):
        tokens.append((access_token.reveal(), refresh_token.reveal()))
        return RevokeOutcome.CONFIRMED

    monkeypatch.setattr(giving_back, "revoke", revoke)
    return tokens


@pytest.fixture
def revoked_meanwhile(app, agency, grown, endpoint, owner):
    """A connection whose token has run out, and which somebody revokes while its provider is asked for another."""
    connection = grown("ann", **expired())
    agency_id, public_id = agency.id, connection.public_id

    def revoke():
        endpoint.before = lambda: None
        with app.app_context(), acting_for(agency_id):
            revocations.revoke(connections.get(db.session.get_one(type(agency), agency_id), public_id), by=MAKE)
            db.session.remove()

    endpoint.before = revoke
    return connection


def test_nobody_gets_the_new_token_but_the_provider(app, revoked_meanwhile, endpoint, given_back):
    connection = revoked_meanwhile
    old = connection.secret.version
    with pytest.raises(Conflict, match="was revoked"):
        credentials.use(connection, by=MAKE)

    db.session.rollback()
    db.session.refresh(connection)
    assert (connection.health, connection.refresh_lease, endpoint.refreshes["ann"]) == (Health.REVOKED, None, 1)
    newest = secrets.reveal_revoked(connection)
    assert connection.secret.version == old + 1
    Worker(app, handlers=MINE, patience=0).run_once()

    assert given_back == [(newest["access_token"].reveal(), newest["refresh_token"].reveal())]
    db.session.rollback()
    db.session.refresh(connection)
    assert (connection.revocation, connection.secret_id) == (Revocation.CONFIRMED, None)


def test_nothing_refreshes_it_afterwards(app, revoked_meanwhile, endpoint, given_back, clock):
    with pytest.raises(Conflict):
        credentials.use(revoked_meanwhile, by=MAKE)
    clock.forward(days=2)
    Worker(app, handlers=MINE, patience=0).run_once()
    for use in (credentials.use, credentials.refresh_now):
        with pytest.raises(Conflict, match="was revoked"):
            use(revoked_meanwhile, by=MAKE)

    assert endpoint.asked["ann"] == 1
    db.session.rollback()
    plans = db.session.scalars(select(OutboxItem).where(OutboxItem.kind == refresh_plans.KIND)).all()
    assert [plan.finished_at is not None for plan in plans] == [True] * len(plans)

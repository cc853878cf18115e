"""A refresh that ends when its connection has no place for the token any more: the provider has it back, and nobody else."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from app.database import transaction
from app.extensions import db
from app.models import AuditEvent, Health, OutboxItem, OutboxState, Revocation, Secret
from app.oauth.faults import Fault
from app.oauth.revoke import RevokeLater, RevokeOutcome
from app.services import giving_back, grants, refresh_leases, refreshing, revocations, scopes, sealed, secrets
from app.services.audit import Actor
from app.worker import Worker
from app.worker.handlers import HANDLERS
from tests.support import refresh_endpoint
from tests.support.refresh_endpoint import expired

pytestmark = pytest.mark.both_databases
apps_dir, catalog, config, endpoint, grown = refresh_endpoint.fixtures
MINE = [handler for handler in HANDLERS if handler.kind in (revocations.KIND, grants.KIND)]
MAKE = Actor("system", "make")


class Provider:
    """What it was asked to end, by access token and refresh token, and what it answers."""

    def __init__(self):
        self.asked, self.answer = [], RevokeOutcome.CONFIRMED

    def revoke(self, _app, _client, endpoints, *, access_token, refresh_token, **_):
        assert endpoints.revoke.endswith("/revoke")
        self.asked.append((access_token.reveal(), refresh_token.reveal()))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def provider(monkeypatch):
    provider = Provider()
    monkeypatch.setattr(giving_back, "revoke", provider.revoke)
    return provider


@pytest.fixture
def work(app):
    def work():
        Worker(app, handlers=MINE, patience=0).run_once()
        db.session.rollback()
        db.session.expire_all()

    return work


@pytest.fixture
def late(grown, provider):
    """A connection, and its refresh whose process was thought dead though its answer is on the way."""
    connection = grown("ann", **expired())
    return connection, overdue(connection)


def overdue(connection):
    with transaction():
        refresh = refreshing.begin(connection.id, version=connection.secret.version, at=connection.token_at)
    answer = refreshing.call(refresh)
    for mark in refresh_leases.in_hand():
        refresh_leases.lapse(mark)
    db.session.rollback()
    return refresh, answer


def tokens_of(answer, refresh_token=None):
    return answer.access_token.reveal(), (answer.refresh_token or refresh_token).reveal()


def told():
    events = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "grant.discarded")).all()
    return [(event.subject, event.data["outcome"]) for event in events]


def left():
    """The late tokens that are still kept."""
    return db.session.scalars(select(Secret).where(Secret.purpose == sealed.LATE)).all()


def delete(connection, agency, owner):
    revocations.delete(agency, connection.public_id, by=owner)


def revoke(connection, _agency, _owner):
    revocations.revoke(connection, by=MAKE)


@pytest.mark.parametrize("end", [revoke, delete])
def test_what_comes_once_its_connection_was_shredded_is_given_back(agency, owner, late, provider, work, end):
    connection, (refresh, answer) = late
    end(connection, agency, owner)
    work()
    assert (connection.revocation, connection.secret_id) == (Revocation.UNCONFIRMED, None), "one may be on its way"
    provider.asked.clear()

    assert refreshing.settle(refresh, answer).ending is refreshing.Ending.STALE
    assert len(left()) == 1
    work()

    assert provider.asked == [tokens_of(answer)]
    assert (left(), told()) == ([], [(connection.public_id, "confirmed")])
    assert (connection.health, connection.revocation) == (Health.REVOKED, Revocation.UNCONFIRMED)


@pytest.mark.parametrize("token", ["access_token", "refresh_token"])
def test_what_a_process_may_have_taken_with_it_is_not_confirmed(late, provider, work, monkeypatch, token):
    """It died while its token was renewed: the provider knows another by now, and says yes to the old one all the same."""
    connection, _ = late
    known = scopes.app_of(connection)
    way = replace(known.oauth2, revoke=replace(known.oauth2.revoke, token=token))
    monkeypatch.setattr(scopes, "app_of", lambda _: replace(known, oauth2=way))
    monkeypatch.setattr(giving_back, "refreshed", None)
    revoke(connection, None, None)
    work()

    assert connection.revocation is Revocation.UNCONFIRMED
    assert "did not confirm that it is revoked" in revocations.words(connection).text


def test_what_comes_once_its_owner_connected_anew_is_given_back_and_the_new_grant_stays(late, provider, work):
    connection, (refresh, answer) = late
    anew(connection, "newest", "r")

    refreshing.settle(refresh, answer)
    work()

    assert provider.asked == [tokens_of(answer)]
    assert secrets.reveal(connection)["access_token"].reveal() == "newest"
    assert (connection.health, told()) == (Health.ACTIVE, [(connection.public_id, "confirmed")])


def anew(connection, access, refresh):
    with transaction():
        connection.health, connection.health_reason = Health.ACTIVE, None
        secrets.keep(connection, {"access_token": access, "refresh_token": refresh}, at=connection.token_at)


def test_a_grant_that_lives_on_by_its_refresh_token_is_not_ended(grown, endpoint, provider, work):
    """The owner connected anew, the provider gave no new refresh token, and so the one that was exchanged stays in use."""
    endpoint.rotates = False
    connection = grown("ann", **expired())
    refresh, answer = overdue(connection)
    anew(connection, "newest", refresh.credential["refresh_token"].reveal())

    refreshing.settle(refresh, answer)
    work()

    assert provider.asked == []
    assert (left(), told()) == ([], [(connection.public_id, giving_back.KEPT_FOR_SIBLING)])


def test_a_grant_goes_on_by_the_refresh_token_that_its_own_was_given_for(grown, endpoint, provider, work):
    """The same at a provider that rotates: the one that the owner's new approval left in use is spent by then."""
    endpoint.rotates = True
    connection = grown("ann", **expired())
    refresh, answer = overdue(connection)
    anew(connection, "newest", refresh.credential["refresh_token"].reveal())
    version = connection.secret.version

    assert refreshing.settle(refresh, answer).ending is refreshing.Ending.STALE
    work()

    db.session.refresh(connection)
    kept = {name: value.reveal() for name, value in secrets.reveal(connection).items()}
    assert (kept["access_token"], kept["refresh_token"]) == ("newest", answer.refresh_token.reveal())
    assert (connection.secret.version, connection.health) == (version + 1, Health.ACTIVE)
    assert (provider.asked, left(), told()) == ([], [], [])
    again = refreshing.attempt(connection.id, version=version + 1)
    assert again[0].ending is refreshing.Ending.RENEWED


def test_a_sibling_is_not_ended_with_it(late, grown, provider, work, monkeypatch):
    connection, (refresh, answer) = late
    identity = {"external_id": connection.external_id, "workspace_id": None, "owner_email": None}
    sibling = grown("ben", **identity)
    revocations.revoke(connection, by=MAKE)
    work()
    provider.asked.clear()
    app = scopes.app_of(connection)
    ways = replace(app.oauth2, revoke=replace(app.oauth2.revoke, breaks_siblings=True))
    monkeypatch.setattr(scopes, "app_of", lambda _: replace(app, oauth2=ways))

    refreshing.settle(refresh, answer)
    work()

    assert provider.asked == []
    assert told() == [(connection.public_id, giving_back.KEPT_FOR_SIBLING)]
    assert connection.revocation is Revocation.KEPT_FOR_SIBLING, "the screen says so"
    assert sibling.health is Health.ACTIVE


def test_what_is_never_confirmed_is_shredded_in_the_end_and_the_screen_says_so(late, provider, work, clock):
    connection, (refresh, answer) = late
    revocations.revoke(connection, by=MAKE)
    work()
    provider.answer = RevokeLater(Fault.UNAVAILABLE)
    refreshing.settle(refresh, answer)

    for _ in range(25):
        work()
        clock.forward(hours=8)

    row = db.session.scalars(select(OutboxItem).where(OutboxItem.kind == grants.KIND)).one()
    assert row.state is OutboxState.DEAD
    assert (left(), told()) == ([], [(connection.public_id, "unconfirmed")])
    assert "did not confirm" in revocations.words(connection).text


def test_what_another_writing_of_the_same_grant_replaced_is_left_alone(late, provider, work):
    connection, (refresh, answer) = late
    with transaction():
        connection.health, connection.secret.version = Health.ACTIVE, connection.secret.version + 1

    refreshing.settle(refresh, answer)
    work()

    assert (provider.asked, left(), told()) == ([], [], [])

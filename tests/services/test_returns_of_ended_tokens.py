"""Giving back where the provider wants an access token, and the one that was kept has ended: it would know nothing of it."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, select

from app.database import transaction
from app.extensions import db
from app.models import AuditEvent, Flow, Health, OutboxItem, OutboxState, Revocation
from app.oauth.answers import TokenError
from app.oauth.faults import Fault
from app.oauth.revoke import RevokeOutcome
from app.oauth.token import Token
from app.services import (
    giving_back,
    grants,
    late_tokens,
    letters,
    own_clients,
    refresh_leases,
    refresh_rows,
    refreshing,
    returns,
    revocations,
    secrets,
)
from app.services.giving_back import NotGivenBack
from app.tenancy import across_tenants, acting_for
from app.vault import Masked
from app.worker import Worker
from app.worker.handlers import HANDLERS
from tests import factories
from tests.support import browsing, shared_app
from tests.support.browsing import Browser
from tests.support.elsewhere import elsewhere

pytestmark = pytest.mark.both_databases
KINDS = (revocations.KIND, grants.KIND)
MINE = [handler for handler in HANDLERS if handler.kind in KINDS]
agency, app, config, stranger = shared_app.fixtures
stub = browsing.stub
DEAD, ALIVE = "old access", "old refresh"
ENDPOINTS = {name: f"https://tiktok.example/{name}" for name in ("authorize", "token", "refresh", "revoke")}
LOST = TokenError(Fault.GRANT_ENDED)


class Provider:
    """It ends an access by the access token alone: what it was asked, and what it gives for a refresh token."""

    def __init__(self):
        self.ended, self.refreshed, self.answers, self.meanwhile = [], [], [], lambda: None
        self.outcome = RevokeOutcome.CONFIRMED

    def revoke(self, app, client, endpoints, *, access_token, refresh_token, fields):
        self.ended.append((access_token.reveal(), refresh_token.reveal()))
        return self.outcome

    def refresh(self, app, client, endpoints, *, refresh_token, fields, scopes, at):
        assert not db.session().in_transaction(), "nothing stays open while the provider is waited for"
        self.refreshed.append(refresh_token.reveal())
        self.meanwhile()
        if self.answers:
            raise self.answers.pop(0)
        fresh = f"{len(self.refreshed)}"
        return Token(
            access_token=Masked(f"access {fresh}"),
            refresh_token=Masked(f"refresh {fresh}"),
            expires_at=at + timedelta(hours=1),
        )


@pytest.fixture
def provider(monkeypatch, agency):
    with across_tenants("a worker does everybody's work"), transaction() as session:
        session.execute(delete(OutboxItem).where(OutboxItem.kind.in_(KINDS)))
    provider = Provider()
    monkeypatch.setattr(giving_back, "revoke", provider.revoke)
    monkeypatch.setattr(giving_back, "refresh", provider.refresh)
    monkeypatch.setattr(refreshing, "refresh", provider.refresh)
    return provider


@pytest.fixture
def work(app):
    def work():
        Worker(app, handlers=MINE, patience=0).run_once()
        db.session.rollback()

    return work


@pytest.fixture
def connect(workspace, clock):
    def connect(app_key="slack", *, age=timedelta(hours=2), **values):
        at = clock.now - age
        values = {"token_at": at, "expires_at": at + timedelta(hours=1), "refreshable": True} | values
        made = factories.make_connection(workspace, app_key, endpoints=ENDPOINTS, **values)
        with transaction():
            secrets.keep(made, {"access_token": DEAD, "refresh_token": ALIVE, "token_type": "bearer"}, at=at)
        return made

    return connect


@pytest.fixture
def revoked(provider, connect, owner):
    made = connect()
    revocations.revoke(made, by=owner)
    return made


def job():
    return db.session.scalars(select(OutboxItem).where(OutboxItem.kind.in_(KINDS))).one()


def came_to(connection):
    db.session.rollback()
    db.session.refresh(connection)
    return connection.revocation, connection.secret_id


def test_a_token_that_has_ended_is_refreshed_first(revoked, provider, work):
    work()

    assert (provider.refreshed, provider.ended) == ([ALIVE], [("access 1", "refresh 1")])
    assert came_to(revoked) == (Revocation.CONFIRMED, None)
    assert (revoked.health, revoked.refresh_lease) == (Health.REVOKED, None)
    about = AuditEvent.subject == revoked.public_id
    acts = db.session.scalars(select(AuditEvent.type).where(about).order_by(AuditEvent.id)).all()
    assert acts == ["connection.revoked", "connection.refreshed", "connection.discarded"]


@pytest.mark.parametrize(
    ("app_key", "values"),
    [
        ("slack", {"age": timedelta(minutes=10)}),  # it has not ended
        ("typeform", {}),  # it takes the refresh token
    ],
)
def test_none_is_refreshed_for_nothing(connect, owner, provider, work, app_key, values):
    made = connect(app_key, **values)
    revocations.revoke(made, by=owner)
    work()

    assert (provider.refreshed, provider.ended) == ([], [(DEAD, ALIVE)])
    assert came_to(made) == (Revocation.CONFIRMED, None)


def test_without_a_named_end_it_lasts_an_hour(connect, owner, provider, work):
    old, new = connect(expires_at=None), connect(expires_at=None, age=timedelta(minutes=50), name="new")
    for each in (old, new):
        revocations.revoke(each, by=owner)
    work()

    assert (len(provider.refreshed), {access for access, _ in provider.ended}) == (1, {"access 1", DEAD})


def test_the_new_token_is_kept_for_the_next_try(revoked, provider, work, clock):
    provider.outcome = RevokeOutcome.FAILED
    work()
    assert came_to(revoked)[0] is Revocation.PENDING
    assert secrets.reveal_revoked(revoked)["refresh_token"] == Masked("refresh 1")

    provider.outcome = RevokeOutcome.CONFIRMED
    clock.to(job().due_at)
    work()

    assert provider.refreshed == [ALIVE], "it has not ended by then"
    assert provider.ended == [("access 1", "refresh 1")] * 2
    assert came_to(revoked) == (Revocation.CONFIRMED, None)


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.LIMITED, Fault.GARBAGE, Fault.MISCONFIGURED])
def test_what_can_not_be_refreshed_is_tried_for_a_day_and_is_not_confirmed(revoked, provider, work, clock, fault):
    provider.answers = [TokenError(fault) for _ in range(100)]
    work()
    assert (came_to(revoked)[0], job().state) == (Revocation.PENDING, OutboxState.RETRY)

    clock.forward(days=1)
    work()

    assert (len(provider.refreshed), provider.ended) == (2, [])
    assert came_to(revoked) == (Revocation.UNCONFIRMED, None)


def test_a_refusal_to_refresh_is_no_proof_that_the_grant_is_gone(revoked, provider, work):
    """The refresh token may have been lost with a process that died, and the grant live on with another."""
    provider.answers = [LOST]
    work()

    assert (provider.ended, came_to(revoked)) == ([], (Revocation.UNCONFIRMED, None))
    assert db.session.scalars(select(OutboxItem).where(OutboxItem.kind == letters.BROKEN)).all() == []


def test_it_is_refreshed_under_the_lease(agency, revoked, provider):
    """Whoever has it may still bring another token in place of this one."""
    with transaction():
        revoked.refresh_lease, revoked.revoked_at = "somebody else's", revoked.revoked_at - timedelta(minutes=10)
    with pytest.raises(NotGivenBack):
        returns.give_back(revoked.id, agency_id=agency.id)
    assert (provider.refreshed, provider.ended) == ([], [])


def test_what_a_process_took_with_it_is_not_confirmed(revoked, provider, work, clock):
    """It died between the provider's answer and ours: the refresh token is spent, and the grant lives on with one that is lost."""
    with transaction():
        begun = refreshing.begin_last(revoked.id, at=clock.now)
    refreshing.call(begun)
    provider.answers = [LOST]
    for mark in refresh_leases.in_hand():
        refresh_leases.lapse(mark)
    work()

    assert (provider.ended, came_to(revoked)) == ([], (Revocation.UNCONFIRMED, None))
    assert revoked.health is Health.REVOKED
    assert db.session.scalars(select(OutboxItem).where(OutboxItem.kind == letters.BROKEN)).all() == []


@pytest.mark.parametrize("revocation", [Revocation.CONFIRMED, Revocation.UNCONFIRMED, None])
def test_only_what_is_to_be_given_back_is_refreshed_once_it_was_revoked(revoked, provider, clock, revocation):
    with transaction():
        revoked.revocation = revocation
    with transaction():
        assert refreshing.begin_last(revoked.id, at=clock.now) is None


def test_what_is_in_use_is_not_refreshed_as_if_it_were_not(connect, clock):
    made = connect()
    with transaction():
        assert refreshing.begin_last(made.id, at=clock.now) is None


def test_who_connects_anew_while_it_is_refreshed_wins_and_the_late_token_is_given_back(revoked, provider, work, clock):
    def anew(connection):
        with transaction():
            connection.health, connection.revocation, connection.revoked_at = Health.ACTIVE, None, None
            connection.external_id, connection.refresh_lease = "another account", None
            secrets.keep(connection, {"access_token": "newest", "refresh_token": "r"}, at=clock.now)

    provider.meanwhile = lambda: elsewhere(anew, revoked)
    work()

    assert provider.ended == []
    provider.meanwhile = lambda: None
    clock.forward(minutes=10)
    db.session.refresh(revoked)
    assert (revoked.health, secrets.reveal(revoked)["access_token"]) == (Health.ACTIVE, Masked("newest"))
    kinds = db.session.scalars(select(OutboxItem.kind).where(OutboxItem.kind.in_(KINDS))).all()
    assert sorted(kinds) == sorted(KINDS), "what came too late goes back by itself"


# ── Grants that nobody keeps ─────────────────────────────────────────────────


@pytest.fixture
def held(agency, workspace, owner, provider, stub):
    """A flow that holds a grant which lacks a permission, of an app that ends an access by the access token."""
    own_clients.configure(agency, "zoom", client_id="of-zoom", client_secret="s", by=owner)
    (asked,) = factories.make_sent(factories.make_workflow(workspace, owner, ("zoom", "create_meeting")), owner)
    browser = Browser()
    browser.open(asked.bundle)
    stub.scopes = ("user:read:user",)
    browser.finish(browser.start(asked))
    return db.session.scalars(select(Flow)).one()


def test_a_held_grant_is_refreshed_and_sealed_anew(agency, held, provider, clock):
    before = held.grant
    clock.forward(hours=2)
    provider.outcome = RevokeOutcome.FAILED
    with pytest.raises(NotGivenBack):
        grants.discard(held.id, agency_id=agency.id)
    db.session.refresh(held)
    assert held.grant not in (before, None)

    provider.outcome = RevokeOutcome.CONFIRMED
    grants.discard(held.id, agency_id=agency.id)

    assert (len(provider.refreshed), provider.ended) == (1, [("access 1", "refresh 1")] * 2)
    db.session.refresh(held)
    assert held.grant is None


def test_a_held_grant_that_can_not_be_refreshed_is_not_confirmed(agency, held, provider, clock):
    clock.forward(hours=2)
    provider.answers = [TokenError(Fault.UNAVAILABLE), LOST]
    with pytest.raises(NotGivenBack):
        grants.discard(held.id, agency_id=agency.id)

    grants.discard(held.id, agency_id=agency.id)

    event = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "grant.discarded")).one()
    assert (provider.ended, event.data["outcome"]) == ([], "ended")


def test_a_late_token_is_refreshed_and_sealed_anew(agency, connect, provider, clock):
    made = connect()
    late = Token(access_token=Masked("late"), refresh_token=Masked("late refresh"))
    with acting_for(agency.id), transaction():
        standing = refresh_rows.STANDING(connection=made.id).one()
        late_tokens.hold(standing, late, exchanged=Masked("before"), at=clock.now)
        made.health = Health.REVOKED
    ids = job().payload
    clock.forward(hours=2)
    provider.outcome = RevokeOutcome.FAILED
    for _ in range(2):
        with pytest.raises(NotGivenBack):
            late_tokens.discard(ids["secret"], ids["connection"], agency_id=agency.id)

    assert (provider.refreshed, provider.ended) == (["late refresh"], [("access 1", "refresh 1")] * 2)

"""Grants that come to nothing: sealed while they wait, given back to the provider, shredded."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from app import clock
from app.database import transaction
from app.errors import ProviderFailed
from app.extensions import db
from app.models import AuditEvent, Connection, Flow, Health, OutboxItem, OutboxState
from app.oauth.faults import Fault
from app.oauth.identify import IdentityError
from app.oauth.revoke import RevokeLater, RevokeOutcome
from app.services import callbacks, connection_requests, giving_back, grants, oauth_clients, pauses, secrets
from app.vault import Masked, VaultError
from app.worker import Worker
from tests import factories
from tests.support import browsing, shared_app
from tests.support.browsing import Browser

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures
stub = browsing.stub


class Asked:
    """What was asked of a provider that gives grants back, and what it answers."""

    def __init__(self):
        self.tokens, self.answer = [], RevokeOutcome.CONFIRMED

    def revoke(self, app, client, endpoints, *, access_token, refresh_token, fields):
        assert not db.session().in_transaction(), "nothing stays open while the provider is waited for"
        self.tokens.append((access_token.reveal(), refresh_token.reveal() if refresh_token else None))
        return self.answer


@pytest.fixture
def provider(monkeypatch):
    asked = Asked()
    monkeypatch.setattr(giving_back, "revoke", asked.revoke)
    return asked


@pytest.fixture
def asked(workspace, owner):
    """Typeform: what it revokes leaves other connections of the account alone."""
    return factories.make_sent(factories.make_workflow(workspace, owner, ("typeform", "new_response")), owner)[0]


@pytest.fixture
def browser(asked):
    browser = Browser()
    browser.open(asked.bundle)
    return browser


@pytest.fixture
def held(asked, browser, stub):
    """A flow that holds a grant which lacks a permission."""
    stub.scopes = ("offline",)
    browser.finish(browser.start(asked))
    return db.session.scalars(select(Flow)).one()


def discards():
    db.session.rollback()
    return db.session.scalars(select(OutboxItem).where(OutboxItem.kind == "grant.discard")).all()


def test_a_held_grant_is_given_back_and_shredded(agency, held, provider):
    assert b"access-" not in held.grant

    grants.discard(held.id, agency_id=agency.id)

    ((access, refresh),) = provider.tokens
    assert (access[:7], refresh[:8]) == ("access-", "refresh-")
    db.session.refresh(held)
    assert held.grant is None
    event = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "grant.discarded")).one()
    assert (event.data["outcome"], event.actor_kind) == ("confirmed", "system")


def test_a_grant_is_given_back_once(agency, held, provider):
    for _ in range(2):
        grants.discard(held.id, agency_id=agency.id)

    assert len(provider.tokens) == 1


def test_a_grant_is_kept_sealed_until_the_provider_took_it_back(agency, held, provider):
    provider.answer = RevokeOutcome.FAILED

    with pytest.raises(giving_back.NotGivenBack):
        grants.discard(held.id, agency_id=agency.id)

    db.session.refresh(held)
    assert held.grant is not None


def test_a_provider_that_asks_for_a_pause_is_asked_again_after_it(app, held, provider, clock, monkeypatch):
    def revoke(*_, **__):
        raise RevokeLater(Fault.LIMITED, retry_after=7200)

    monkeypatch.setattr(giving_back, "revoke", revoke)
    clock.forward(hours=1)
    began = clock.now
    Worker(app).run_once()

    (item,) = discards()
    assert (item.state, item.error, item.due_at) == (OutboxState.RETRY, "provider", began + timedelta(hours=2))


def test_what_was_withdrawn_meanwhile_is_given_back_at_once(agency, asked, browser, stub, owner, provider, clock):
    state = browser.start(asked)
    connection_requests.cancel(agency, asked.public_id, by=owner)
    browser.finish(state)

    (item,) = discards()
    assert item.due_at == clock.now
    grants.discard(item.payload["flow"], agency_id=agency.id)
    assert len(provider.tokens) == 1


def test_a_partial_grant_waits_as_long_as_its_flow(held):
    (item,) = discards()

    assert (item.key, item.due_at) == (held.public_id, held.created_at + timedelta(minutes=15))


def again(workspace, owner):
    """Have the same person approve the same app once more."""
    (asked,) = factories.make_sent(factories.make_workflow(workspace, owner, ("typeform", "new_response")), owner)
    browser = Browser()
    browser.open(asked.bundle)
    browser.finish(browser.start(asked))
    db.session.rollback()


def fail_to_identify(monkeypatch, **fault):
    def fail(*_, **__):
        raise IdentityError(Fault.LIMITED, **fault)

    monkeypatch.setattr(callbacks, "identify", fail)


def test_a_grant_of_nobody_knows_which_account_is_kept_where_a_connection_lives_by_its_tokens(
    agency, workspace, owner, asked, browser, stub, provider, monkeypatch
):
    """Some providers answer the same account with the tokens that it has."""
    browser.finish(browser.start(asked))
    db.session.rollback()
    tokens = secrets.reveal(db.session.scalars(select(Connection).where(Connection.agency_id == agency.id)).one())
    exchange = callbacks.exchange
    given = {name: tokens[name] for name in ("access_token", "refresh_token")}
    fail_to_identify(monkeypatch)
    again(workspace, owner)
    monkeypatch.setattr(callbacks, "exchange", lambda *a, **k: replace(exchange(*a, **k), **given))
    again(workspace, owner)
    fresh, same = db.session.scalars(select(Flow).where(Flow.grant.is_not(None)).order_by(Flow.id)).all()

    grants.discard(same.id, agency_id=agency.id)
    assert provider.tokens == []
    grants.discard(fresh.id, agency_id=agency.id)

    assert len(provider.tokens) == 1
    said = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "grant.discarded").order_by(AuditEvent.id))
    assert [event.data["outcome"] for event in said] == ["kept_for_sibling", "confirmed"]


def test_a_connection_made_with_the_token_that_was_being_ended_counts_as_not_seen_working(
    agency, workspace, owner, asked, browser, stub, monkeypatch
):
    exchange, one = callbacks.exchange, {"access_token": Masked("one token"), "refresh_token": None}
    monkeypatch.setattr(callbacks, "exchange", lambda *a, **k: replace(exchange(*a, **k), **one))
    state = browser.start(asked)
    connection_requests.cancel(agency, asked.public_id, by=owner)
    browser.finish(state)
    flow = db.session.scalars(select(Flow).order_by(Flow.id.desc())).first()

    def revoke(*_, **__):
        again(workspace, owner)
        return RevokeOutcome.CONFIRMED

    monkeypatch.setattr(giving_back, "revoke", revoke)
    grants.discard(flow.id, agency_id=agency.id)

    db.session.rollback()
    made = db.session.scalars(select(Connection).where(Connection.agency_id == agency.id)).one()
    assert made.health is Health.PENDING


def test_the_limit_of_one_account_keeps_nobody_else_from_connecting(agency, asked, browser, stub, monkeypatch):
    fail_to_identify(monkeypatch, retry_after=3000)
    browser.finish(browser.start(asked))

    assert pauses.minutes_left(oauth_clients.for_app(agency, "typeform").paused_until, at=clock.now()) == 0
    with pytest.raises(ProviderFailed, match="asked for a pause"):
        browser.start(asked)


@pytest.mark.parametrize("whose", ["mine", "another agency's"])
def test_a_grant_is_not_given_back_where_that_would_end_a_living_connection(
    agency, workspace, stranger, owner, stub, provider, whose
):
    """Slack has one token for an app in a workspace: to revoke it ends all that stand on it, whoever's they are."""
    (asked,) = factories.make_sent(factories.make_workflow(workspace, owner, ("slack", "find_user")), owner)
    browser = Browser()
    browser.open(asked.bundle)
    stub.scopes = ("users:read",)
    browser.finish(browser.start(asked))
    held = db.session.scalars(select(Flow)).one()
    home = workspace if whose == "mine" else shared_app.foreign_workspace(stranger)
    account = {"issuer": "https://provider.example", "external_id": "id of ann@client.example"}
    factories.make_connection(home, "slack", **account)

    grants.discard(held.id, agency_id=agency.id)

    assert provider.tokens == []
    db.session.refresh(held)
    assert held.grant is None
    event = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "grant.discarded")).one()
    assert event.data["outcome"] == "kept_for_sibling"


def test_a_held_grant_opens_at_its_own_flow_alone(agency, held, asked, browser, stub, provider, clock):
    browser.finish(browser.start(asked))
    other = db.session.scalars(select(Flow).where(Flow.id != held.id)).one()
    with transaction():
        other.grant = held.grant

    with pytest.raises(VaultError):
        grants.discard(other.id, agency_id=agency.id)


def test_no_other_agency_can_give_a_grant_back(held, stranger, provider):
    grants.discard(held.id, agency_id=stranger.agency_id)

    assert provider.tokens == []

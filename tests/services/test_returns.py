"""Giving back what a revoked connection had: asked for a day at most, and shredded in the end."""

import time
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app import runtime
from app.database import transaction
from app.extensions import db
from app.models import Health, OutboxItem, OutboxState, Revocation, Secret
from app.oauth.faults import Fault
from app.oauth.revoke import RevokeLater, RevokeOutcome
from app.oauth.token import Token
from app.services import claims, giving_back, grants, late_tokens, returns, revocations
from app.services.audit import Actor
from app.services.giving_back import NotGivenBack
from app.tenancy import across_tenants
from app.vault import Masked
from app.worker import Worker
from app.worker.handlers import HANDLERS
from tests import factories
from tests.services import returning
from tests.services.returning import MINE, PRIYA, came_to, connected, job, token, told
from tests.support import shared_app

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures
apart, forms, provider, revoked, work = returning.fixtures


# ── What the provider answers ───────────────────────────────────────────────


def test_it_is_given_back_and_shredded(agency, revoked, provider):
    assert returns.give_back(revoked.id, agency_id=agency.id)

    assert provider.asked == [("access", "access refresh", {"team": "T1"})]
    assert came_to(revoked) == (Revocation.CONFIRMED, None)
    assert db.session.scalars(select(Secret)).all() == []
    assert told() == ["confirmed"]


def test_it_is_given_back_once(agency, revoked, provider):
    assert [returns.give_back(revoked.id, agency_id=agency.id) for _ in range(2)] == [True, False]
    assert (len(provider.asked), told()) == (1, ["confirmed"])


def test_a_provider_that_has_no_revocation_after_all_is_told_of(agency, revoked, provider):
    provider.answer = RevokeOutcome.UNSUPPORTED

    returns.give_back(revoked.id, agency_id=agency.id)

    assert came_to(revoked) == (Revocation.UNSUPPORTED, None)


def test_it_is_kept_sealed_until_the_provider_took_it_back(agency, revoked, provider, clock):
    provider.answer = RevokeOutcome.FAILED

    with pytest.raises(NotGivenBack) as later:
        returns.give_back(revoked.id, agency_id=agency.id)

    assert later.value.until == clock.now + timedelta(days=1)
    revocation, secret_id = came_to(revoked)
    assert (revocation, secret_id is not None, told()) == (Revocation.PENDING, True, [])


def test_it_is_shredded_after_a_day_of_trying(revoked, provider, work, clock):
    provider.answer = RevokeOutcome.FAILED
    began = clock.now
    work()
    while clock.now < began + timedelta(days=1):
        assert came_to(revoked)[0] is Revocation.PENDING
        clock.to(job().due_at)
        work()

    assert clock.now == began + timedelta(days=1)
    assert came_to(revoked) == (Revocation.UNCONFIRMED, None)
    assert (job().state, told()) == (OutboxState.DONE, ["unconfirmed"])
    assert 8 < len(provider.asked) < claims.MOST_ATTEMPTS


def test_a_worker_that_comes_after_days_still_asks_once(revoked, provider, work, clock):
    provider.answer = RevokeOutcome.FAILED
    clock.forward(days=3)
    work()

    assert (len(provider.asked), came_to(revoked)) == (1, (Revocation.UNCONFIRMED, None))


@pytest.mark.parametrize(("seconds", "after"), [(7200, timedelta(hours=2)), (200_000, timedelta(days=1))])
def test_a_pause_that_the_provider_asks_for_is_kept_within_the_day(revoked, provider, work, clock, seconds, after):
    provider.answer = RevokeLater(Fault.LIMITED, retry_after=seconds)
    work()

    assert (job().state, job().error, job().due_at) == (OutboxState.RETRY, "provider", clock.now + after)


def test_what_failed_first_is_confirmed_in_the_end(revoked, provider, work, clock):
    provider.answer = RevokeOutcome.FAILED
    work()
    provider.answer = RevokeOutcome.CONFIRMED
    clock.to(job().due_at)
    work()

    assert (came_to(revoked), len(provider.asked)) == ((Revocation.CONFIRMED, None), 2)


def test_what_ends_a_worker_each_time_is_shredded_in_the_end(revoked, provider, work):
    provider.answer = RuntimeError("of a mistake of ours")
    with transaction() as session:
        session.execute(update(OutboxItem).values(attempts=claims.MOST_ATTEMPTS - 1))
    work()

    assert (job().state, came_to(revoked)) == (OutboxState.DEAD, (Revocation.UNCONFIRMED, None))


# ── What keeps it from being asked ──────────────────────────────────────────


def test_without_a_client_nobody_can_ask(agency, workspace, owner, provider, clock):
    made = connected(workspace, clock, oauth_client="removed")
    revocations.revoke(made, by=owner)

    returns.give_back(made.id, agency_id=agency.id)

    assert (came_to(made), provider.asked) == ((Revocation.UNCONFIRMED, None), [])


def test_what_does_not_open_can_not_be_given_back(agency, revoked, provider):
    with transaction():
        revoked.secret.blob = revoked.secret.blob[:-1] + bytes([revoked.secret.blob[-1] ^ 1])

    returns.give_back(revoked.id, agency_id=agency.id)

    assert (came_to(revoked), provider.asked) == ((Revocation.UNCONFIRMED, None), [])


def test_it_waits_while_a_key_is_missing(app, revoked, provider, work, clock, monkeypatch):
    with app.app_context():
        keys = runtime.current().keys
    monkeypatch.setattr(type(keys), "sealed", property(lambda _: True))
    work()
    clock.forward(days=2)
    work()
    assert (job().state, job().attempts, provider.asked) == (OutboxState.QUEUED, 0, [])

    monkeypatch.undo()
    monkeypatch.setattr(giving_back, "revoke", provider.revoke)
    work()
    assert came_to(revoked) == (Revocation.CONFIRMED, None)


def test_no_other_agency_can_give_it_back(revoked, stranger, provider):
    assert not returns.give_back(revoked.id, agency_id=stranger.agency_id)
    assert provider.asked == []


# ── Siblings ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("whose", ["mine", "another agency's"])
def test_a_living_sibling_is_not_ended_with_it(agency, workspace, stranger, owner, provider, clock, whose):
    """Slack has one token for an app in a workspace: to revoke it ends all that stand on it, whoever's they are."""
    made = connected(workspace, clock)
    home = factories.make_workspace(agency, "Two") if whose == "mine" else shared_app.foreign_workspace(stranger)
    with across_tenants("whoever's it is"):
        sibling = connected(home, clock, access="other")
    revocations.revoke(made, by=owner)

    returns.give_back(made.id, agency_id=agency.id)

    assert (provider.asked, came_to(made)) == ([], (Revocation.KEPT_FOR_SIBLING, None))
    with across_tenants("to compare"):
        db.session.refresh(sibling)
        assert sibling.health is Health.ACTIVE
        assert token(sibling) == "other"


def test_the_last_of_siblings_ends_the_grant(agency, workspace, owner, provider, clock):
    first = connected(workspace, clock)
    last = connected(factories.make_workspace(agency, "Two"), clock, access="other")
    for each in (first, last):
        revocations.revoke(each, by=owner)
        returns.give_back(each.id, agency_id=agency.id)

    assert [came_to(each)[0] for each in (first, last)] == [Revocation.KEPT_FOR_SIBLING, Revocation.CONFIRMED]
    assert [access for access, _, _ in provider.asked] == ["other"]


def test_a_token_that_another_connection_uses_is_not_ended(agency, workspace, owner, provider, clock):
    first = connected(workspace, clock, "typeform")
    connected(factories.make_workspace(agency, "Two"), clock, "typeform")
    revocations.revoke(first, by=owner)

    returns.give_back(first.id, agency_id=agency.id)

    assert (provider.asked, came_to(first)) == ([], (Revocation.KEPT_FOR_SIBLING, None))


def test_another_token_of_the_account_is_no_hindrance(agency, workspace, owner, provider, clock):
    first = connected(workspace, clock, "typeform")
    broken = connected(factories.make_workspace(agency, "Two"), clock, "typeform", access="other")
    with transaction():
        broken.secret.blob = b"of no use"
    revocations.revoke(first, by=owner)

    returns.give_back(first.id, agency_id=agency.id)

    assert came_to(first) == (Revocation.CONFIRMED, None)


# ── Several providers ───────────────────────────────────────────────────────


def hang(monkeypatch, *, seconds):
    """Have Slack hang and then fail; says who was asked for what, and when."""
    asked, began = [], time.perf_counter()

    def revoke(app, _client, _endpoints, *, access_token, **_options):
        asked.append((app.key, access_token.reveal(), time.perf_counter() - began))
        if app.key == "slack":
            time.sleep(seconds)
            raise RevokeLater(Fault.UNAVAILABLE)
        return RevokeOutcome.CONFIRMED

    monkeypatch.setattr(giving_back, "revoke", revoke)
    return asked


def test_a_provider_that_hangs_holds_up_no_other_and_is_given_up_for_a_while(
    workspace, clock, app, monkeypatch, provider
):
    asked = hang(monkeypatch, seconds=3.0)
    many = [connected(workspace, clock, "slack", access=f"s{n}", external_id=f"S{n}") for n in range(12)]
    other = connected(workspace, clock, "hubspot", access="h", external_id="H")
    for each in (*many, other):
        revocations.revoke(each, by=Actor.client(PRIYA))
    asked_from = time.perf_counter()

    Worker(app, handlers=MINE, patience=0).run_once()

    assert time.perf_counter() - asked_from < 12 * 3.0 / 2, "They were asked one after the other."
    waited = {key: when for key, _token, when in asked if key == "hubspot"}
    first = min(when for key, _token, when in asked if key == "slack")
    assert waited["hubspot"] - first < 3.0, "It waited for the one that hangs."
    assert came_to(other) == (Revocation.CONFIRMED, None)
    assert [key for key, *_ in asked].count("slack") <= 6
    kinds = db.session.scalars(select(OutboxItem.error).where(OutboxItem.kind == revocations.KIND))
    assert sorted(map(str, kinds)) == ["None"] + ["provider"] * 12


def test_late_tokens_of_a_provider_that_hangs_hold_up_no_others(workspace, clock, app, monkeypatch, provider):
    asked = hang(monkeypatch, seconds=1.0)
    slow = [connected(workspace, clock, "slack", access=f"s{n}", external_id=f"S{n}") for n in range(6)]
    other = connected(workspace, clock, "hubspot", access="h", external_id="H")
    with transaction():
        for n, each in enumerate((*slow, other)):
            each.health = Health.REVOKED
            late = Token(access_token=Masked(f"late{n}"))
            late_tokens.hold(each, late, exchanged=Masked("r"), at=clock.now)
    handlers = [handler for handler in HANDLERS if handler.kind == grants.KIND]

    Worker(app, handlers=handlers, patience=0).run_once()

    when = {token: at for _key, token, at in asked}
    assert when["late6"] - when["late0"] < 1.0, "It waited for the one that hangs."
    assert max(when.values()) - when["late0"] < 6 * 1.0 / 2, "They were asked one after the other."


def test_what_was_given_up_for_a_while_is_asked_for_in_the_end(workspace, clock, app, monkeypatch, provider):
    asked = hang(monkeypatch, seconds=0)
    for n in range(8):
        each = connected(workspace, clock, "slack", access=f"s{n}", external_id=f"S{n}")
        revocations.revoke(each, by=Actor.client(PRIYA))

    for _ in range(8):
        Worker(app, handlers=MINE, patience=0).run_once()
        clock.forward(minutes=1)

    assert {token for _key, token, _when in asked} == {f"s{n}" for n in range(8)}

"""Giving back what a revoked connection had: asked for a day at most, shredded in the end, and never against who came back."""

import json
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import delete, select, update

from app import runtime
from app.database import transaction
from app.extensions import db
from app.models import AuditEvent, Connection, FlowSurface, Health, OutboxItem, OutboxState, Revocation, Secret
from app.oauth.faults import Fault
from app.oauth.revoke import RevokeLater, RevokeOutcome
from app.oauth.token import Token
from app.services import accounts, claims, connections, giving_back, returns, revocations, sealed, secrets
from app.services.accounts import Grant
from app.services.audit import Actor
from app.services.giving_back import NotGivenBack
from app.tenancy import across_tenants
from app.vault import Masked, seal
from app.worker import Worker
from app.worker.handlers import HANDLERS
from tests import factories
from tests.support import shared_app
from tests.support.elsewhere import elsewhere

pytestmark = pytest.mark.both_databases
MINE = [handler for handler in HANDLERS if handler.kind == revocations.KIND]  # others left work of other kinds
agency, app, config, stranger = shared_app.fixtures

PRIYA = "priya.nair@harbordental.example"
ACCOUNT = {"issuer": "https://slack.example", "external_id": "T1"}


class Provider:
    """What a provider was asked to end, and what it answers; `meanwhile` happens before it does."""

    def __init__(self):
        self.asked, self.answer, self.meanwhile = [], RevokeOutcome.CONFIRMED, None

    def revoke(self, app, client, endpoints, *, access_token, refresh_token, fields):
        assert not db.session().in_transaction(), "nothing stays open while the provider is waited for"
        self.asked.append((access_token.reveal(), refresh_token.reveal() if refresh_token else None, dict(fields)))
        if self.meanwhile:
            happens, self.meanwhile = self.meanwhile, None
            happens()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture(autouse=True)
def apart(agency, monkeypatch):
    """An account that no other test knows, and nothing of this kind to do that others left."""
    monkeypatch.setitem(ACCOUNT, "external_id", f"T{agency.id}")
    with across_tenants("a worker does everybody's work"), transaction() as session:
        session.execute(delete(OutboxItem).where(OutboxItem.kind == revocations.KIND))


@pytest.fixture
def provider(monkeypatch):
    provider = Provider()
    monkeypatch.setattr(giving_back, "revoke", provider.revoke)
    return provider


def connected(workspace, clock, app_key="slack", *, access="access", **values):
    made = factories.make_connection(
        workspace, app_key, owner_email=PRIYA, endpoints=ENDPOINTS, **ACCOUNT | {"name": access} | values
    )
    with transaction():
        secrets.keep(made, {"access_token": access, "refresh_token": f"{access} refresh"}, at=clock.now)
    db.session.refresh(made)
    return made


ENDPOINTS = {name: f"https://slack.example/{name}" for name in ("authorize", "token", "refresh", "revoke")}


@pytest.fixture
def forms(workspace, clock):
    """Of a provider that ends one token and leaves others of the account alone."""
    return connected(workspace, clock, "typeform", kept={"team": "T1"})


@pytest.fixture
def revoked(forms, owner):
    revocations.revoke(forms, by=owner)
    return forms


@pytest.fixture
def work(app):
    return lambda: Worker(app, handlers=MINE, patience=0).run_once()


def job():
    db.session.rollback()
    return db.session.scalars(select(OutboxItem).where(OutboxItem.kind == revocations.KIND)).one()


def came_to(connection):
    db.session.rollback()
    db.session.refresh(connection)
    return connection.revocation, connection.secret_id


def token(connection):
    return secrets.reveal(connection)["access_token"].reveal()


def told():
    db.session.rollback()
    return [
        event.data["outcome"]
        for event in db.session.scalars(select(AuditEvent).where(AuditEvent.type == "connection.discarded"))
    ]


def renew(connection, clock, access="renewed", refresh=None):
    """Its owner approves it anew, as a callback does within the workspace's lock."""
    flow = SimpleNamespace(
        workspace_id=connection.workspace_id,
        app_key=connection.app_key,
        recipient=PRIYA,
        oauth_client=connection.oauth_client,
        client_id=connection.client_id,
        surface=FlowSurface.PORTAL,
        endpoints=connection.endpoints,
        fields={},
    )
    brought = Token(access_token=Masked(access), refresh_token=Masked(refresh) if refresh else None, scopes=())
    with transaction():
        accounts.renew(connection, flow, connections.scopes.app_of(connection), Grant(brought, None, ()), at=clock.now)


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


# ── Who comes back meanwhile ────────────────────────────────────────────────


def test_what_was_connected_again_is_left_alone(revoked, provider, work, clock):
    renew(revoked, clock)
    work()

    assert (provider.asked, job().state, job().error) == ([], OutboxState.DONE, "superseded")
    assert (revoked.health, revoked.revocation) == (Health.ACTIVE, None)
    assert (token(revoked), "refresh_token" in secrets.reveal(revoked)) == ("renewed", False)


def test_who_is_back_while_the_provider_is_asked_wins(revoked, provider, work, clock):
    provider.meanwhile = lambda: elsewhere(lambda connection: renew(connection, clock), revoked)
    work()

    assert len(provider.asked) == 1
    db.session.refresh(revoked)
    assert (revoked.health, revoked.revocation, told()) == (Health.ACTIVE, None, [])
    assert token(revoked) == "renewed"
    assert job().error == "superseded"


def test_what_came_back_while_all_of_the_account_was_ended_is_not_taken_to_work(
    workspace, owner, provider, work, clock
):
    """The provider may have ended the new access too; its next use tells."""
    made = connected(workspace, clock)
    revocations.revoke(made, by=owner)
    provider.meanwhile = lambda: elsewhere(lambda connection: renew(connection, clock), made)
    work()

    db.session.refresh(made)
    assert (made.health, made.revocation) == (Health.PENDING, None)


def test_who_comes_back_and_is_revoked_again_is_asked_for_again(revoked, owner, provider, work, clock):
    renew(revoked, clock)
    clock.forward(minutes=1)
    revocations.revoke(revoked, by=owner)
    work()

    assert came_to(revoked) == (Revocation.CONFIRMED, None)
    assert [access for access, _, _ in provider.asked] == ["renewed"]


def test_a_refresh_that_is_under_way_is_waited_for(agency, revoked, provider, clock):
    with transaction():
        revoked.refresh_lease = "x"
    with pytest.raises(NotGivenBack):
        returns.give_back(revoked.id, agency_id=agency.id)
    assert provider.asked == []

    clock.forward(minutes=5)
    assert returns.give_back(revoked.id, agency_id=agency.id)


def test_a_token_that_a_refresh_brought_meanwhile_is_given_back_too(revoked, provider, work, clock):
    def refreshed(connection):
        with transaction():
            secrets.keep(connection, {"access_token": "newer", "refresh_token": "newer refresh"}, at=clock.now)

    provider.meanwhile = lambda: elsewhere(refreshed, revoked)
    work()
    assert came_to(revoked)[0] is Revocation.PENDING
    clock.to(job().due_at)
    work()

    assert [access for access, _, _ in provider.asked] == ["access", "newer"]
    assert came_to(revoked) == (Revocation.CONFIRMED, None)


def test_a_token_that_took_the_place_of_the_old_one_is_given_back_too(revoked, provider, work, clock):
    """As a refresh does: the same row, another writing."""

    def refreshed(connection):
        with transaction():
            connection.secret.version += 1
            place = sealed.credential_place(connection.secret)
            parts = json.dumps({"access_token": "newer", "refresh_token": "newer refresh"}).encode()
            connection.secret.blob = seal(runtime.current().keyring, parts, place)

    provider.meanwhile = lambda: elsewhere(refreshed, revoked)
    work()
    assert came_to(revoked)[0] is Revocation.PENDING
    clock.to(job().due_at)
    work()

    assert [access for access, _, _ in provider.asked] == ["access", "newer"]
    assert came_to(revoked) == (Revocation.CONFIRMED, None)


def test_a_secret_that_comes_after_one_that_was_shredded_goes_on_counting(revoked, provider, work, clock):
    """Work for a writing of the first is never taken for work of the second."""
    before = revoked.secret.version
    work()
    clock.forward(hours=1)
    renew(revoked, clock)

    assert revoked.secret.version > before


def test_a_deleted_connection_is_given_back_too(forms, agency, owner, provider, work):
    revocations.delete(agency, forms.public_id, by=owner)
    work()

    assert came_to(forms) == (Revocation.CONFIRMED, None)
    assert db.session.scalars(select(Connection)).all() == [forms]


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


def test_what_was_given_up_for_a_while_is_asked_for_in_the_end(workspace, clock, app, monkeypatch, provider):
    asked = hang(monkeypatch, seconds=0)
    for n in range(8):
        each = connected(workspace, clock, "slack", access=f"s{n}", external_id=f"S{n}")
        revocations.revoke(each, by=Actor.client(PRIYA))

    for _ in range(8):
        Worker(app, handlers=MINE, patience=0).run_once()
        clock.forward(minutes=1)

    assert {token for _key, token, _when in asked} == {f"s{n}" for n in range(8)}

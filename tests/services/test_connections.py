"""Connections: one for each external account of a workspace, named after it, owned by who gave it."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.database import transaction
from app.extensions import db
from app.models import Connection, Health, Secret
from app.oauth.faults import Fault
from app.services import callbacks, connections, forecasts, revocations, scopes, secrets
from app.services.audit import Actor
from app.tenancy import across_tenants
from app.vault import Masked, VaultError
from tests import factories
from tests.support import browsing, shared_app
from tests.support.browsing import Browser

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures
stub = browsing.stub

PRIYA, SAM = "priya.nair@harbordental.example", "sam@cobalt-it.example"
FULL = ["chat:write", "channels:read"]


@dataclass
class Client:
    """A client who connects what they are asked for."""

    stub: object
    browser: Browser = field(default_factory=Browser)

    def connects(self, asked, account="ann@client.example"):
        self.stub.account = account
        assert self.browser.open(asked.bundle).bundle
        self.browser.finish(self.browser.start(asked))
        return asked.connection


@pytest.fixture
def client(stub):
    return Client(stub)


@pytest.fixture
def ask(workspace, owner):
    """Ask somebody for Slack, for a workflow of its own."""
    names = iter(f"Workflow {number}" for number in range(9))

    def ask(recipient=PRIYA, place=None):
        steps = ("slack", "send_channel_message")
        workflow = factories.make_workflow(place or workspace, owner, steps, name=next(names))
        return factories.make_sent(workflow, owner, recipient=recipient)[0]

    return ask


def every():
    return db.session.scalars(select(Connection).order_by(Connection.id)).all()


def test_store_makes_one_connection_for_an_account_whoever_approves(client, ask):
    first = client.connects(ask())
    second = client.connects(ask(SAM))

    assert first.id == second.id
    assert first.owner_email == SAM
    assert len(every()) == 1


def test_store_keeps_accounts_apart_and_names_them(client, ask):
    names = [client.connects(ask(), account).name for account in ("ann@x.example", "ben@x.example")]

    assert names == ["ann@x.example", "ben@x.example"]


def test_store_numbers_names_that_are_taken(workspace, client, ask):
    factories.make_connection(workspace, name="Ann@X.example ")
    factories.make_connection(workspace, name="ann@x.example (2)")
    factories.make_connection(workspace, "hubspot", name="ann@x.example (3)")

    assert client.connects(ask(), "ann@x.example").name == "ann@x.example (3)"


def test_store_mends_what_was_broken_or_revoked(client, ask, clock):
    connection = client.connects(ask())
    for health in (Health.ERROR, Health.REVOKED):
        with transaction():
            connection.health, connection.health_reason, connection.revoked_at = health, Fault.GRANT_ENDED, clock.now
        assert client.connects(ask()).id == connection.id
        assert (connection.health, connection.health_reason, connection.revoked_at) == (Health.ACTIVE, None, None)


def test_store_keeps_the_refresh_token_when_no_new_one_comes(client, ask, stub, monkeypatch):
    connection = client.connects(ask())
    before = secrets.reveal(connection)
    real = stub.exchange
    monkeypatch.setattr(callbacks, "exchange", lambda *a, **k: replace(real(*a, **k), refresh_token=None))
    client.connects(ask())

    after = secrets.reveal(connection)
    assert after["refresh_token"] == before["refresh_token"]
    assert after["access_token"] != before["access_token"]


def test_store_replaces_a_secret_that_does_not_open_any_more(client, ask, stub, monkeypatch):
    connection = client.connects(ask())
    with transaction():
        connection.secret.blob = connection.secret.blob[:-1] + bytes([connection.secret.blob[-1] ^ 1])
    real = stub.exchange
    monkeypatch.setattr(callbacks, "exchange", lambda *a, **k: replace(real(*a, **k), refresh_token=None))

    assert client.connects(ask()).id == connection.id
    assert "refresh_token" not in secrets.reveal(connection)


@pytest.mark.parametrize("is_again", [False, True], ids=["made", "made again"])
def test_a_token_that_is_all_there_is_ends_the_access_with_it(agency, client, ask, stub, monkeypatch, clock, is_again):
    connection = client.connects(ask()) if is_again else None
    if connection:
        revocations.revoke(connection, by=Actor("system", "make"))
    real, ends_at = stub.exchange, clock.now + timedelta(days=20)
    alone = {"refresh_token": None, "expires_at": ends_at}
    monkeypatch.setattr(callbacks, "exchange", lambda *a, **k: replace(real(*a, **k), **alone))
    connection = client.connects(ask())

    assert (connection.refreshable, connection.expires_at, connection.grant_ends_at) == (False, ends_at, ends_at)
    assert forecasts.end_of(connection, at=clock.now) is None
    clock.forward(days=6)
    assert [each.ends_at for each in forecasts.page(agency, at=clock.now).items] == [ends_at]


def test_a_token_that_is_refreshed_ends_nothing(client, ask, stub, monkeypatch):
    connection = client.connects(ask())
    assert (connection.refreshable, connection.grant_ends_at) == (True, None)
    real = stub.exchange
    monkeypatch.setattr(callbacks, "exchange", lambda *a, **k: replace(real(*a, **k), refresh_token=None))
    client.connects(ask())

    assert (connection.refreshable, connection.grant_ends_at) == (True, None), "the refresh token stays"


def test_the_same_account_in_two_workspaces_is_two_connections(agency, client, ask):
    other = factories.make_workspace(agency, "Cobalt")

    assert client.connects(ask()).id != client.connects(ask(place=other)).id


def test_the_database_holds_one_connection_an_account(workspace):
    factories.make_connection(workspace, external_id="42", name="one")
    with pytest.raises(IntegrityError):
        factories.make_connection(workspace, external_id="42", name="two")
    factories.make_connection(workspace, external_id="42", name="elsewhere", issuer="https://other.example")


@pytest.mark.parametrize("where", ["workspace", "account"])
def test_the_database_holds_names_apart_letter_case_aside(agency, workspace, where):
    place = {"workspace_id": None} if where == "account" else {}
    factories.make_connection(workspace, name="Main Account", **place)
    with pytest.raises(IntegrityError):
        factories.make_connection(workspace, name=" main ACCOUNT ", **place)
    factories.make_connection(workspace, "hubspot", name="Main Account", **place)


@pytest.mark.parametrize("fault", Fault)
def test_why_broken_has_a_sentence_for_every_fault(workspace, fault):
    broken = factories.make_connection(workspace, health=Health.ERROR, health_reason=fault)
    others = [
        factories.make_connection(workspace, name=each, health_reason=each) for each in Fault if each is not fault
    ]

    said = connections.why_broken(broken)

    assert "Slack" in said
    assert said not in [connections.why_broken(each) for each in others]


@pytest.mark.parametrize("reason", [None, "of another time"])
def test_why_broken_knows_what_to_say_of_no_fault(workspace, reason):
    broken = factories.make_connection(workspace, health=Health.ERROR, health_reason=reason)

    assert connections.why_broken(broken) == "Slack refuses it and gives no reason."


def test_needed_of_is_what_all_its_slots_need_together(workspace, owner, client, ask):
    connection = client.connects(ask())
    other = factories.make_workflow(workspace, owner, ("slack", "find_user"), name="Another")
    with transaction():
        other.slots[0].connection_id = connection.id

    needed = scopes.needed_of(connection)
    assert sorted(needed) == ["channels:read", "chat:write", "users:read", "users:read.email"]


# ── Secrets ─────────────────────────────────────────────────────────────────


def test_keep_seals_and_shreds_what_was_there_before(workspace, clock):
    connection = factories.make_connection(workspace)
    with transaction():
        first = secrets.keep(connection, {"access_token": "first", "refresh_token": None}, at=clock.now)
        first_id, blob = first.id, first.blob
    with transaction():
        secrets.keep(connection, {"access_token": "second"}, at=clock.now)

    assert b"first" not in blob
    assert db.session.scalars(select(Secret.id)).all() == [connection.secret_id] != [first_id]
    assert secrets.reveal(connection) == {"access_token": Masked("second")}
    assert connection.secret.version == 2


def test_reveal_masks_and_leaves_out_what_is_not_there(workspace, clock):
    connection = factories.make_connection(workspace)
    assert secrets.reveal(connection) == {}
    with transaction():
        secrets.keep(connection, {"access_token": "hush", "refresh_token": None}, at=clock.now)

    assert set(secrets.reveal(connection)) == {"access_token"}
    assert "hush" not in repr(secrets.reveal(connection))


@pytest.mark.parametrize("change", ["public_id", "version", "blob", "another connection's", "another agency's"])
def test_a_blob_that_was_moved_or_altered_does_not_open(agency, workspace, stranger, clock, change):
    connection, other = factories.make_connection(workspace), factories.make_connection(workspace, name="other")
    foreign = shared_app.foreign_workspace(stranger)
    elsewhere = {"agency_id": foreign.agency_id, "workspace_id": foreign.id}
    with transaction():
        secret = secrets.keep(connection, {"access_token": "hush"}, at=clock.now)
    wrong = {
        "public_id": {"public_id": "b" * 20},
        "version": {"version": 9},
        "blob": {"blob": secret.blob[:-1] + bytes([secret.blob[-1] ^ 1])},
        "another agency's": elsewhere,
    }
    with across_tenants("somebody with the database alone"), transaction():
        for name, value in wrong.get(change, {}).items():
            setattr(secret, name, value)
        if change == "another agency's":
            connection.agency_id, connection.workspace_id = elsewhere.values()
        if change == "another connection's":
            connection.secret_id = None
            db.session.flush()
            other.secret_id = secret.id
    thief = other if change == "another connection's" else connection

    with across_tenants("the same"), pytest.raises(VaultError):
        secrets.reveal(thief)

"""Revocation says what happened: use has stopped whatever the provider does, and the words are those of what it did."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from app import runtime
from app.catalog import Catalog
from app.database import transaction
from app.egress import Egress
from app.errors import Conflict
from app.extensions import db
from app.models import ConnectionRequest, Health, OutboxItem, Revocation, Secret, Slot, Status
from app.services import revocations, secrets, slots
from app.services.audit import Actor
from app.tenancy import across_tenants
from app.worker import Worker
from app.worker.handlers import HANDLERS
from tests import factories
from tests.security.connecting import leave
from tests.support.users import expire

pytestmark = pytest.mark.both_databases
MINE = [handler for handler in HANDLERS if handler.kind == revocations.KIND]  # others left work of other kinds

DELETED = "We stopped using it and deleted it here;"
NO_REVOCATION = f"{DELETED} Farport offers no revocation: remove it in your Farport settings"
UNCONFIRMED = f"{DELETED} Northdesk did not confirm that it is revoked: remove it in your Northdesk settings"
STILL_ASKING = "We stopped using it; Northdesk has yet to confirm that it is revoked there"


@pytest.fixture(autouse=True)
def nothing_else_to_do(agency):
    with across_tenants("a worker does everybody's work"), transaction() as session:
        for left in session.scalars(select(OutboxItem).where(OutboxItem.kind == revocations.KIND)):
            session.delete(left)


@pytest.fixture
def connect(visitor, workspace, owner, person):
    """Have a client connect an account of an app at the provider; returns the connection and its access token."""

    def connect(app_key, action, name="Tickets"):
        made = factories.make_workflow(workspace, owner, (app_key, action), name=name)
        (asked,) = factories.make_sent(made, owner)
        away = leave(visitor, asked, person)
        visitor.ask("GET", away.path, query_string=away.back)
        db.session.rollback()
        db.session.refresh(asked)
        assert asked.status is Status.FULFILLED
        return asked.connection, secrets.reveal(asked.connection)["access_token"].reveal()

    return connect


@pytest.fixture
def northdesk(connect):
    return connect("northdesk", "find_ticket")


@pytest.fixture
def work(app):
    def work():
        Worker(app, handlers=MINE, patience=0).run_once()
        db.session.rollback()

    return work


def revoke(connection):
    revocations.revoke(connection, by=Actor.client(connection.owner_email))


def said(connection):
    db.session.refresh(connection)
    return revocations.words(connection).text


def is_unused(connection):
    """That nothing here can use it, or offers to."""
    with pytest.raises(Conflict):
        secrets.reveal(connection)
    workflow = db.session.scalars(select(Slot).where(Slot.connection_id == connection.id)).first().workflow
    return connection.health is Health.REVOKED and slots.candidates(workflow.slots) == []


def is_shredded(connection):
    owner = Secret.owner == connection.public_id
    return connection.secret_id is None and db.session.scalars(select(Secret).where(owner)).all() == []


def due(connection):
    job = select(OutboxItem).where(OutboxItem.kind == revocations.KIND, OutboxItem.key.startswith(connection.public_id))
    return db.session.scalars(job).one().due_at


def test_row_28_a_provider_that_confirms(northdesk, provider, work):
    connection, token = northdesk
    assert provider.call_api(token)[0] == 200
    revoke(connection)
    assert (is_unused(connection), said(connection)) == (True, STILL_ASKING)

    work()

    assert provider.call_api(token)[0] == 401
    assert (said(connection), is_shredded(connection)) == ("Revoked at Northdesk", True)
    assert revocations.words(connection).link == ""
    (call,) = provider.calls("revoke")
    assert (call.status, set(call.parameters) >= {"token", "token_type_hint"}) == (200, True)


def test_row_28_a_provider_that_confirms_in_the_end(northdesk, provider, work, clock):
    connection, token = northdesk
    provider.misbehave("revoke", status=503, times=1)
    revoke(connection)
    work()
    assert (is_unused(connection), said(connection)) == (True, STILL_ASKING)
    assert not is_shredded(connection)

    clock.to(due(connection))
    work()

    assert provider.call_api(token)[0] == 401
    assert (said(connection), is_shredded(connection)) == ("Revoked at Northdesk", True)


FAILURES = [
    pytest.param({"status": 400, "body": '{"error": "invalid_request"}', "content_type": "application/json"}, id="400"),
    pytest.param({"status": 503}, id="503"),
    pytest.param({"status": 0, "delay": 1.2}, id="timeout"),
]


@pytest.mark.parametrize("answer", FAILURES)
def test_row_28_a_provider_that_never_confirms(northdesk, provider, work, clock, monkeypatch, answer):
    connection, _ = northdesk
    transport = Egress.transport
    monkeypatch.setattr(Egress, "transport", lambda self, deadline=0.4: transport(self, min(deadline, 0.4)))
    provider.misbehave("revoke", **answer)
    began = clock.now
    revoke(connection)
    work()
    assert (is_unused(connection), said(connection)) == (True, STILL_ASKING)

    clock.to(began + timedelta(days=1))
    work()

    assert (said(connection), is_shredded(connection)) == (UNCONFIRMED, True)
    assert revocations.words(connection).link == "https://northdesk.example/settings/apps"


@pytest.mark.parametrize("error", ["invalid_token", "token_revoked"])
def test_row_28_a_token_that_the_provider_no_longer_knows_is_revoked(northdesk, provider, work, error):
    """RFC 7009 2.2: it is what was wanted."""
    connection, token = northdesk
    provider.revoke_grants(client_id="northdesk-client")
    assert provider.call_api(token)[0] == 401
    body = json.dumps({"error": error})
    provider.misbehave("revoke", status=400, body=body, content_type="application/json", times=1)
    revoke(connection)
    work()

    assert (said(connection), is_shredded(connection)) == ("Revoked at Northdesk", True)


def test_row_28_a_provider_without_revocation(connect, provider, work):
    connection, token = connect("farport", "upload_file")
    revoke(connection)
    assert (is_unused(connection), said(connection), is_shredded(connection)) == (True, NO_REVOCATION, True)
    work()

    assert provider.calls("revoke") == []
    assert provider.call_api(token)[0] == 200, "the words are true: it works until the client removes it there"
    assert revocations.words(connection).link == "https://farport.example/security"


def test_row_28_a_client_that_is_gone(northdesk, provider, work):
    connection, _ = northdesk
    with transaction():
        connection.oauth_client = "removed"
    revoke(connection)
    work()

    assert (provider.calls("revoke"), said(connection), is_shredded(connection)) == ([], UNCONFIRMED, True)
    assert is_unused(connection)


def test_row_28_a_client_that_another_took_the_place_of(northdesk, provider, work):
    """What the provider would say to the new client is nothing about the grant of the old one."""
    connection, token = northdesk
    assert connection.client_id == "northdesk-client"
    with transaction():
        connection.client_id = "northdesk-client-of-before"
    revoke(connection)
    work()

    assert (provider.calls("revoke"), said(connection), is_shredded(connection)) == ([], UNCONFIRMED, True)
    assert provider.call_api(token)[0] == 200, "the words are true"


@pytest.fixture
def by_access_token(app, monkeypatch):
    """The provider ends an access by the access token, as some do."""
    state = runtime.current()
    known = state.catalog.get("northdesk")
    changed = replace(known, oauth2=replace(known.oauth2, revoke=replace(known.oauth2.revoke, token="access_token")))
    apps = {each.key: each for each in state.catalog} | {"northdesk": changed}
    monkeypatch.setitem(app.extensions, "gatehouse", replace(state, catalog=Catalog(apps)))


def test_row_28_an_access_token_that_has_ended_is_refreshed_to_be_given_back(
    northdesk, provider, work, by_access_token
):
    connection, _ = northdesk
    expire(connection.id)
    revoke(connection)
    work()

    assert provider.count()["token.refresh_token"] == 1
    assert (said(connection), is_shredded(connection)) == ("Revoked at Northdesk", True)
    assert [call.status for call in provider.calls("revoke")] == [200]


def test_row_28_an_access_token_that_has_ended_is_no_proof(northdesk, provider, work, clock, by_access_token):
    """A provider that knows nothing of it any more says so, or even that all is well: the refresh token lives."""
    connection, _ = northdesk
    expire(connection.id)
    provider.misbehave("token", status=503)
    body = json.dumps({"error": "token_expired"})
    provider.misbehave("revoke", status=400, body=body, content_type="application/json")
    began = clock.now
    revoke(connection)
    work()
    assert (provider.calls("revoke"), said(connection), is_shredded(connection)) == ([], STILL_ASKING, False)

    clock.to(began + timedelta(days=1))
    work()

    assert (provider.calls("revoke"), said(connection), is_shredded(connection)) == ([], UNCONFIRMED, True)


def test_row_28_a_sibling_that_lives_is_spared_and_told_of(agency, northdesk, provider, work):
    """The same token stands behind another connection, as at providers with one grant for an account and a client."""
    connection, token = northdesk
    other = factories.make_workspace(agency, "Second practice")
    of_account = {"issuer": connection.issuer, "external_id": connection.external_id}
    sibling = factories.make_connection(other, "northdesk", oauth_client=connection.oauth_client, **of_account)
    with transaction():
        secrets.keep(sibling, {"access_token": token}, at=connection.created_at)
    revoke(connection)
    work()

    assert provider.call_api(token)[0] == 200
    assert is_shredded(connection)
    kept = "Northdesk was not asked to revoke it: that would end another connection of the account"
    assert said(connection) == f"{DELETED} {kept}"
    assert connection.revocation is Revocation.KEPT_FOR_SIBLING
    assert secrets.reveal(sibling)["access_token"].reveal() == token


def test_row_28_a_key_is_removed_where_it_was_made(workspace, owner, provider, work):
    key = factories.make_connection(workspace, "keyhole", oauth_client=None, external_id=None)
    with transaction():
        secrets.keep(key, {"token": "sk-1"}, at=key.created_at)
    revocations.revoke(key, by=owner)
    work()

    assert (said(key), is_shredded(key)) == (f"{DELETED} remove the key in your Keyhole settings", True)
    assert revocations.words(key).link == "https://keyhole.example/keys"
    assert provider.calls() == []


def test_row_28_requests_and_workflows_follow(northdesk, provider, work):
    connection, _ = northdesk
    revoke(connection)
    work()

    db.session.rollback()
    slot = db.session.scalars(select(Slot).where(Slot.connection_id == connection.id)).one()
    asked = db.session.scalars(select(ConnectionRequest).where(ConnectionRequest.connection_id == connection.id)).one()
    assert (asked.status, slot.connection.health) == (Status.REVOKED, Health.REVOKED)

"""Giving back what a revoked connection had, never against who comes back meanwhile, and with what a refresh brings meanwhile."""

import json
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from app import runtime
from app.database import transaction
from app.extensions import db
from app.models import Connection, FlowSurface, Health, OutboxState, Revocation
from app.oauth.token import Token
from app.services import accounts, connections, returns, revocations, sealed, secrets
from app.services.accounts import Grant
from app.services.giving_back import NotGivenBack
from app.vault import Masked, seal
from tests.services import returning
from tests.services.returning import PRIYA, came_to, connected, job, token, told
from tests.support import shared_app
from tests.support.elsewhere import elsewhere

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures
apart, forms, provider, revoked, work = returning.fixtures


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


def writes_another(connection, clock):
    with transaction():
        secrets.keep(connection, {"access_token": "newer", "refresh_token": "newer refresh"}, at=clock.now)


def writes_the_same_anew(connection, _clock):
    """As a refresh does: the same row, another writing."""
    with transaction():
        connection.secret.version += 1
        place = sealed.credential_place(connection.secret)
        parts = json.dumps({"access_token": "newer", "refresh_token": "newer refresh"}).encode()
        connection.secret.blob = seal(runtime.current().keyring, parts, place)


@pytest.mark.parametrize("refreshed", [writes_another, writes_the_same_anew])
def test_a_token_that_a_refresh_brought_meanwhile_is_given_back_too(revoked, provider, work, clock, refreshed):
    provider.meanwhile = lambda: elsewhere(lambda connection: refreshed(connection, clock), revoked)
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

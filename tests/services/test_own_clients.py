import threading
from dataclasses import replace

import pytest
from sqlalchemy import select

from app import runtime
from app.catalog import Catalog
from app.catalog.protocol import ClientAuth
from app.database import transaction
from app.errors import Conflict, NotFound, Refused
from app.extensions import db
from app.models import AuditEvent, OAuthClient, Staff
from app.services import oauth_clients, own_clients
from app.services.oauth_clients import Readiness
from app.tenancy import acting_for
from app.vault import Masked, VaultError
from tests import factories
from tests.support.shared_app import *  # noqa: F403

pytestmark = pytest.mark.both_databases
SECRET = "CANARY-client-secret"


def configured(agency, owner, app="notion", **changes):
    given = {"client_id": "our-client", "client_secret": SECRET} | changes
    return own_clients.configure(agency, app, **given, by=owner)


def audited():
    return [(row.type, row.data["app"]) for row in db.session.scalars(select(AuditEvent).order_by(AuditEvent.id))]


def test_draft_has_its_redirect_address_before_the_client_is_there(agency, owner):
    own = own_clients.draft(agency, "notion", by=owner)

    state = oauth_clients.state(agency, "notion")
    assert state.own_redirect_uri == f"http://localhost/oauth/callback/{own.public_id}"
    assert state.readiness is Readiness.NEEDS_CLIENT
    assert oauth_clients.for_app(agency, "notion") is None
    assert oauth_clients.by_key(agency, own.public_id) is None
    assert own_clients.draft(agency, "notion", by=owner) == own
    assert audited() == [("oauth_client.drafted", "notion")]


def test_draft_is_for_oauth_apps_of_the_catalog(agency, owner):
    api_key_only = next(app.key for app in runtime.current().catalog if not app.oauth2)
    with pytest.raises(Refused):
        own_clients.draft(agency, api_key_only, by=owner)
    with pytest.raises(NotFound):
        own_clients.draft(agency, "nothing", by=owner)


@pytest.mark.parametrize("act", [own_clients.draft, configured])
def test_a_client_is_made_once_by_two_at_a_time(app, agency, owner, act):
    ready, made = threading.Barrier(2), []
    agency_id, owner_id = agency.id, owner.id

    def draft():
        with app.app_context(), acting_for(agency_id):
            by = db.session.get_one(Staff, owner_id)
            ours = by.agency
            ready.wait(60)
            made.append((act(ours, by) if act is configured else act(ours, "notion", by=by)).public_id)

    threads = [threading.Thread(target=draft) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(made) == 2
    assert len(set(made)) == 1


def test_configure_replaces_a_secret_that_does_not_open_any_more(agency, owner):
    own = configured(agency, owner)
    with transaction():
        own.client_secret = own.client_secret[:-1] + bytes([own.client_secret[-1] ^ 1])

    assert own_clients.secret_of(configured(agency, owner)) == Masked(SECRET)


def test_configure_seals_the_secret_and_makes_the_client_usable(agency, owner):
    own = configured(agency, owner, client_id=" our-client ")

    usable = oauth_clients.for_app(agency, "notion")
    assert (usable.key, usable.client_id) == (own.public_id, "our-client")
    assert usable.client_secret.reveal() == SECRET
    assert usable.redirect_uri == f"http://localhost/oauth/callback/{own.public_id}"
    assert oauth_clients.by_key(agency, own.public_id) == usable
    assert SECRET.encode() not in own.client_secret
    assert SECRET not in repr(usable)
    assert audited() == [("oauth_client.drafted", "notion"), ("oauth_client.set", "notion")]


def test_configure_replaces_both(agency, owner):
    first = configured(agency, owner)
    second = configured(agency, owner, client_id="another", client_secret="another secret")

    usable = oauth_clients.for_app(agency, "notion")
    assert (usable.client_id, usable.client_secret.reveal()) == ("another", "another secret")
    assert first.public_id == second.public_id


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"client_id": ""}, "client_id"),
        ({"client_id": "x" * 401}, "client_id"),
        ({"client_id": "our\nclient"}, "client_id"),
        ({"client_id": "oür-client"}, "client_id"),
        ({"client_secret": ""}, "client_secret"),
        ({"client_secret": "   "}, "client_secret"),
        ({"client_secret": "x" * 2001}, "client_secret"),
        ({"client_secret": "sec\x00ret"}, "client_secret"),
    ],
)
def test_configure_refuses_bad_input_at_its_field(agency, owner, changes, field):
    with pytest.raises(Refused) as refused:
        configured(agency, owner, **changes)

    assert refused.value.field == field
    assert oauth_clients.for_app(agency, "notion") is None


def test_configure_takes_a_public_client_without_a_secret(app, agency, owner, monkeypatch):
    state = runtime.current()
    notion = state.catalog.get("notion")
    public = replace(notion, oauth2=replace(notion.oauth2, client_auth=ClientAuth.NONE))
    monkeypatch.setitem(app.extensions, "gatehouse", replace(state, catalog=Catalog({"notion": public})))

    configured(agency, owner, client_secret="")

    assert oauth_clients.for_app(agency, "notion").client_secret is None


def test_a_secret_that_was_moved_to_another_client_does_not_open(agency, owner):
    one, other = configured(agency, owner), configured(agency, owner, "airtable")
    with factories.transaction():
        other.client_secret = one.client_secret

    with pytest.raises(VaultError):
        oauth_clients.for_app(agency, "airtable")


def test_remove_forgets_id_and_secret_and_keeps_the_address(agency, owner):
    own = configured(agency, owner)
    own_clients.remove(agency, "notion", by=owner)

    assert oauth_clients.for_app(agency, "notion") is None
    row = db.session.scalars(select(OAuthClient)).one()
    assert (row.public_id, row.client_id, row.client_secret, row.configured_at) == (own.public_id, None, None, None)
    with pytest.raises(Conflict):
        own_clients.remove(agency, "notion", by=owner)
    assert audited()[-1] == ("oauth_client.removed", "notion")


def test_connections_made_with_counts_those_that_still_are(agency, owner, workspace):
    own = configured(agency, owner)
    factories.make_connection(workspace, "notion", oauth_client=own.public_id)
    factories.make_connection(
        workspace, "notion", name="Another", oauth_client=own.public_id, revoked_at=own.created_at
    )
    factories.make_connection(workspace, "slack")

    assert own_clients.connections_made_with(own) == 1

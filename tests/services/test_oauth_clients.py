import pytest

from app import runtime
from app.errors import Conflict
from app.extensions import db
from app.services import oauth_clients, own_clients
from app.services.oauth_clients import Readiness
from app.tenancy import acting_for
from tests.services.test_own_clients import configured
from tests.support.shared_app import *  # noqa: F403
from tests.support.statements import counted

pytestmark = pytest.mark.both_databases


def test_the_shared_client_serves_until_there_is_one_of_ones_own(agency, owner):
    shared = oauth_clients.for_app(agency, "slack")
    assert (shared.key, shared.client_id, shared.client_secret.reveal()) == (
        "shared-slack",
        "slack-client",
        "slack-secret",
    )
    assert shared.redirect_uri == "http://localhost/oauth/callback/shared-slack"
    assert oauth_clients.by_key(agency, "shared-slack") == shared

    own = configured(agency, owner, "slack")

    assert oauth_clients.for_app(agency, "slack").key == own.public_id
    assert oauth_clients.by_key(agency, "shared-slack") == shared
    assert oauth_clients.state(agency, "slack").readiness is Readiness.OWN

    own_clients.remove(agency, "slack", by=owner)
    assert oauth_clients.for_app(agency, "slack") == shared


@pytest.mark.parametrize("key", ["shared-notion", "shared-", "nothing", "", "shared-shared-slack"])
def test_by_key_knows_no_other(agency, key):
    assert oauth_clients.by_key(agency, key) is None


def test_another_agencys_client_is_not_there(agency, owner, stranger):
    with acting_for(stranger.agency_id):
        theirs = configured(stranger.agency, stranger).public_id

    assert oauth_clients.for_app(agency, "notion") is None
    assert oauth_clients.by_key(agency, theirs) is None
    assert oauth_clients.states(agency)["notion"].own is None
    with pytest.raises(Conflict):
        own_clients.remove(agency, "notion", by=owner)


def test_eligible_wants_oauth_and_a_client(agency, owner):
    catalog = runtime.current().catalog
    api_key_only = next(app for app in catalog if not app.oauth2)

    assert oauth_clients.eligible(agency, catalog.get("slack"))
    assert not oauth_clients.eligible(agency, catalog.get("notion"))
    assert not oauth_clients.eligible(agency, api_key_only)

    own_clients.draft(agency, "notion", by=owner)
    assert not oauth_clients.eligible(agency, catalog.get("notion"))
    configured(agency, owner)
    assert oauth_clients.eligible(agency, catalog.get("notion"))


def test_states_tell_of_every_app_in_one_statement(agency, owner):
    configured(agency, owner)
    db.session.rollback()
    assert agency.id
    with counted() as statements:
        states = oauth_clients.states(agency)

    assert len(statements) == 1
    assert set(states) == {app.key for app in runtime.current().catalog}
    assert (states["notion"].readiness, states["notion"].ready) == (Readiness.OWN, True)
    assert (states["slack"].readiness, states["slack"].ready) == (Readiness.SHARED, True)
    assert (states["airtable"].readiness, states["airtable"].ready) == (Readiness.NEEDS_CLIENT, False)
    assert {each.readiness for each in states.values() if not each.app.oauth2} == {Readiness.API_KEY}

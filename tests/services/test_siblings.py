"""Who stands on the same grant: over tenants and over apps, as the provider sees it."""

import pytest

from app.database import transaction
from app.models import Health
from app.oauth.identify import Identity
from app.services import own_clients, siblings
from app.tenancy import across_tenants
from tests import factories
from tests.support import shared_app

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures
GOOGLE = "https://accounts.google.example"


@pytest.fixture
def account(agency):
    """An account that no other test knows."""
    return Identity(issuer=GOOGLE, id=f"sub of {agency.id}", label="")


@pytest.fixture
def connect(workspace, account):
    def connect(app_key, *, home=workspace, **values):
        of = {"issuer": account.issuer, "external_id": account.id, "name": app_key} | values
        with across_tenants("whoever's it is"):
            return factories.make_connection(home, app_key, **of)

    return connect


@pytest.fixture
def of(account):
    def of(connection):
        with across_tenants("to compare"):
            return {each.name for each in siblings.of(connection, account)} - {connection.name}

    return of


def registered(agency, owner, app_key, client_id="1234.apps.example"):
    own = own_clients.configure(agency, app_key, client_id=client_id, client_secret="s", by=owner)
    return {"oauth_client": own.public_id, "client_id": client_id}


def test_of_is_over_all_tenants_and_only_alive(agency, workspace, stranger, connect, of):
    mine = connect("slack")
    connect("slack", home=shared_app.foreign_workspace(stranger), name="theirs")
    connect("slack", home=factories.make_workspace(agency, "Gone"), name="gone", health=Health.REVOKED)
    connect("slack", home=factories.make_workspace(agency, "Own"), name="of their own", oauth_client="of-its-own")
    connect("slack", home=factories.make_workspace(agency, "Who"), name="another's", external_id="another")
    connect("slack", home=factories.make_workspace(agency, "Where"), name="elsewhere", issuer="https://x.example")
    connect("hubspot")

    assert of(mine) == {"theirs"}


def test_of_is_over_all_apps_that_one_client_is_set_up_for(agency, owner, connect, of):
    """Google ends with one token all that a person granted to a client, whichever of its apps asked for it."""
    sheets = connect("google-sheets", **registered(agency, owner, "google-sheets"))
    connect("google-drive", **registered(agency, owner, "google-drive"))
    connect("google-calendar", **registered(agency, owner, "google-calendar", "5678.apps.example"))
    connect("hubspot", **registered(agency, owner, "hubspot"))

    assert of(sheets) == {"google-drive"}


def test_of_is_over_agencies_that_use_one_client(agency, owner, stranger, connect, of):
    mine = connect("gmail", **registered(agency, owner, "gmail"))
    with across_tenants("another agency"):
        theirs = factories.make_workspace(stranger.agency, "Theirs")
        connect("google-drive", home=theirs, **registered(stranger.agency, stranger, "google-drive"))

    assert of(mine) == {"google-drive"}


def test_of_tells_a_client_from_the_one_that_took_its_place(agency, owner, connect, of):
    before, after = registered(agency, owner, "gmail"), registered(agency, owner, "gmail", "5678.apps.example")
    assert before["oauth_client"] == after["oauth_client"]
    old = connect("gmail", **before)
    connect("gmail", home=factories.make_workspace(agency, "New"), name="new", **after)

    assert of(old) == set()


@pytest.mark.parametrize("is_known", [True, False])
def test_of_takes_what_is_not_known_for_the_client_of_now(agency, owner, connect, of, is_known):
    sheets, drive = registered(agency, owner, "google-sheets"), registered(agency, owner, "google-drive")
    one = connect("google-sheets", **sheets | ({} if is_known else {"client_id": None}))
    connect("google-drive", **drive | {"client_id": None})
    connect("gmail", oauth_client="removed", client_id=None)

    assert of(one) == {"google-drive"}


def test_doubt_is_of_all_that_work(agency, owner, account, connect):
    sheets = connect("google-sheets", **registered(agency, owner, "google-sheets"))
    drive = connect("google-drive", **registered(agency, owner, "google-drive"))
    broken = connect("gmail", **registered(agency, owner, "gmail"), health=Health.ERROR)
    other = connect("google-calendar", **registered(agency, owner, "google-calendar", "5678.apps.example"))

    siblings.doubt(siblings.of(sheets, account))

    with transaction() as session:
        for each in (sheets, drive, broken, other):
            session.refresh(each)
    assert [each.health for each in (sheets, drive, broken, other)] == [
        Health.PENDING,
        Health.PENDING,
        Health.ERROR,
        Health.ACTIVE,
    ]

"""A client that another took the place of: what the provider says to the new one is nothing about the grants of the old."""

import pytest
from sqlalchemy import select

from app.database import transaction
from app.errors import ProviderFailed
from app.extensions import db
from app.models import AuditEvent, Connection, Flow, Health, Notice, OutboxItem, Revocation
from app.oauth.faults import Fault
from app.services import credentials, giving_back, oauth_clients, own_clients, returns, revocations
from app.services.audit import Actor
from tests import factories
from tests.support import browsing, refresh_endpoint
from tests.support.browsing import Browser
from tests.support.refresh_endpoint import expired, said
from tests.support.token_endpoint import KEY

apps_dir, catalog, config, endpoint, grown = refresh_endpoint.fixtures
stub = browsing.stub
BY = Actor("system", "make")


def registered(agency, owner, client_id):
    return own_clients.configure(agency, KEY, client_id=client_id, client_secret=f"{client_id} secret", by=owner)


@pytest.fixture
def made(agency, owner, grown):
    """A connection of a client of the agency's own, whose token has ended."""
    own = registered(agency, owner, "old-client")
    return grown("ann", oauth_client=own.public_id, client_id="old-client", **expired())


def letters_of_broken():
    return db.session.scalars(select(OutboxItem).where(OutboxItem.kind == "connection.broken")).all()


def test_a_refresh_asks_nobody_and_says_that_it_is_the_client(agency, owner, made, endpoint):
    registered(agency, owner, "new-client")

    with pytest.raises(ProviderFailed, match="no longer accepts the client that is set up for it"):
        credentials.use(made, by=BY)

    db.session.refresh(made)
    assert (made.health, made.health_reason, letters_of_broken()) == (Health.ACTIVE, Fault.MISCONFIGURED, [])
    assert not endpoint.asked


def test_the_client_that_comes_back_refreshes_again(agency, owner, made, endpoint):
    registered(agency, owner, "new-client")
    registered(agency, owner, "old-client")

    credentials.use(made, by=BY)

    db.session.refresh(made)
    assert (endpoint.refreshes["ann"], made.health_reason) == (1, None)


def test_another_secret_of_the_same_client_changes_nothing(agency, owner, made, endpoint):
    own_clients.configure(agency, KEY, client_id="old-client", client_secret="a new one", by=owner)

    credentials.use(made, by=BY)

    assert endpoint.refreshes["ann"] == 1


@pytest.mark.parametrize("end", ["replaced", "removed", "removed and replaced"])
def test_a_revocation_asks_nobody_and_is_not_confirmed(agency, owner, made, monkeypatch, end):
    monkeypatch.setattr(giving_back, "revoke", lambda *_, **__: pytest.fail("the provider was asked"))
    if "removed" in end:
        own_clients.remove(agency, KEY, by=owner)
    if "replaced" in end:
        registered(agency, owner, "new-client")
    revocations.revoke(made, by=owner)

    assert returns.give_back(made.id, agency_id=agency.id)

    db.session.refresh(made)
    assert made.revocation is Revocation.UNCONFIRMED
    assert "Quayside did not confirm that it is revoked" in revocations.words(made).text


@pytest.mark.parametrize("end", ["replaced", "removed and replaced"])
def test_what_was_connected_before_it_was_written_down_is_known_by_the_client_that_goes(agency, owner, made, end):
    with transaction():
        made.client_id = None
    assert oauth_clients.of(made).client_id == "old-client"
    if "removed" in end:
        own_clients.remove(agency, KEY, by=owner)
    registered(agency, owner, "new-client")

    db.session.refresh(made)
    assert made.client_id == "old-client"
    assert oauth_clients.of(made) is None


def test_what_is_not_known_is_of_the_client_of_now_and_known_once_it_was_refreshed(made, endpoint):
    with transaction():
        made.client_id = None

    credentials.use(made, by=BY)

    db.session.refresh(made)
    assert (endpoint.refreshes["ann"], made.client_id) == (1, "old-client")


def test_an_ended_grant_of_the_same_client_is_the_clients_to_mend(made, endpoint):
    endpoint.answers.append(said({"error": "invalid_grant"}, 400))

    with pytest.raises(Exception, match="Access was removed or ran out"):
        credentials.use(made, by=BY)

    db.session.refresh(made)
    assert made.health is Health.ERROR


@pytest.fixture
def away(agency, workspace, owner, stub):
    """A browser that is at the provider on behalf of a client of the agency's own."""
    own_clients.configure(agency, KEY, client_id="old-client", client_secret="s", by=owner)
    (asked,) = factories.make_sent(factories.make_workflow(workspace, owner, (KEY, "find_boat")), owner)
    browser = Browser()
    browser.open(asked.bundle)
    stub.scopes = ("boats.read",)
    return asked, browser, browser.start(asked)


def test_a_connection_knows_which_client_got_its_grant(away):
    _asked, browser, started = away
    browser.finish(started)

    connection = db.session.scalars(select(Connection)).one()
    assert (db.session.scalars(select(Flow)).one().client_id, connection.client_id) == ("old-client", "old-client")


def test_a_code_is_not_exchanged_by_another_client_than_it_is_for(agency, owner, away):
    asked, browser, started = away
    own_clients.configure(agency, KEY, client_id="new-client", client_secret="s", by=owner)
    browser.finish(started)

    db.session.refresh(asked)
    assert (asked.notice, db.session.scalars(select(Connection)).all()) == (Notice.UNCONFIGURED, [])
    assert db.session.scalars(select(AuditEvent).where(AuditEvent.type == "connection.created")).all() == []

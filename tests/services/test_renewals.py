"""Renewals: an owner approves a connection anew in the portal, with the same account and no less than is needed."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from app.database import transaction
from app.errors import ProviderFailed
from app.extensions import db
from app.models import (
    AuditEvent,
    Flow,
    FlowStatus,
    Health,
    Notice,
    PortalSession,
    Status,
)
from app.oauth.answers import TokenError
from app.oauth.faults import Fault
from app.oauth.identify import IdentityError
from app.oauth.token import Token
from app.services import (
    callbacks,
    oauth_clients,
    portal_sessions,
    portal_visitors,
    revocations,
    secrets,
    settlement,
)
from app.services.audit import Actor
from app.tenancy import acting_for
from app.vault import Masked
from tests import factories
from tests.services import renewing
from tests.services.renewing import NEEDED, PRIYA, SAM, Portal, discards, sign_in, stands
from tests.services.test_revocations import reauthorize
from tests.support import browsing, shared_app
from tests.support.browsing import connections, the_flow
from tests.support.elsewhere import at_once, elsewhere, outcomes

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures
stub = browsing.stub
portal, broken = renewing.fixtures


@pytest.fixture(autouse=True)
def signed_in(portal, workspace):
    sign_in(portal, workspace)


# ── It is mended ────────────────────────────────────────────────────────────


def test_the_owner_mends_the_same_connection(portal, broken, sent, stub, clock):
    assert portal.renew(broken) == settlement.CONNECTED

    db.session.refresh(broken)
    assert (broken.health, broken.health_reason, broken.broken_at) == (Health.ACTIVE, None, None)
    assert (broken.refresh_failures, broken.refresh_after, broken.granted_at) == (0, None, clock.now)
    assert secrets.reveal(broken)["access_token"].reveal().startswith("access-")
    assert (broken.secret.version, sent[0].slot.connection_id, sent[0].status) == (2, broken.id, Status.FULFILLED)
    assert (connections(), the_flow().status, discards()) == ([broken], FlowStatus.DONE, [])
    (event,) = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "connection.updated"))
    assert (event.actor, event.subject) == (PRIYA, broken.public_id)


def test_it_asks_for_what_it_holds_and_what_is_needed(portal, broken, workspace, owner):
    other = factories.make_workflow(workspace, owner, ("slack", "find_user"), name="Another")
    with transaction():
        other.slots[0].connection_id = broken.id

    portal.start(broken)

    assert set(portal.sent["scope"][0].split(",")) >= {*NEEDED, "users:read", "users:read.email"}


@pytest.mark.parametrize("status", [Status.QUEUED, Status.PENDING, Status.DECLINED])
def test_what_still_asks_for_it_is_settled(portal, broken, workflow, status):
    asked = reauthorize(broken, workflow, status)

    portal.renew(broken)

    db.session.refresh(asked)
    assert asked.status is (Status.CANCELLED if status is Status.QUEUED else Status.FULFILLED)


def test_a_revoked_connection_is_connected_again(portal, broken, sent, owner):
    revocations.revoke(broken, by=Actor.client(PRIYA))

    assert portal.renew(broken) == settlement.CONNECTED

    db.session.refresh(broken)
    assert (broken.health, broken.revoked_at, broken.revocation) == (Health.ACTIVE, None, None)
    assert sent[0].status is Status.REVOKED, "what was revoked stays so; the slot goes on"
    assert sent[0].slot.connection.works


def test_revoked_while_its_owner_is_away_it_is_theirs_to_bring_back(portal, broken, owner):
    """Whoever comes last has it: the owner's word at the provider is the later one."""
    state = portal.start(broken)
    revocations.revoke(broken, by=owner)

    assert portal.finish(state).is_connected
    db.session.refresh(broken)
    assert broken.health is Health.ACTIVE


def test_a_member_mends_what_a_removed_owner_gave(agency, workspace, broken, clock):
    factories.make_member(workspace, SAM, "Sam")
    with transaction():
        broken.owner_left_at = clock.now
    sam = Portal(agency, who=SAM)
    sign_in(sam, workspace)

    assert sam.renew(broken) == settlement.CONNECTED
    db.session.refresh(broken)
    assert (broken.owner_email, broken.owner_left_at) == (SAM, None)


# ── Nothing has changed ─────────────────────────────────────────────────────


def test_another_account_never_takes_its_place(portal, broken, stub):
    stub.account = "ben@client.example"

    assert portal.renew(broken) == Notice.OTHER_ACCOUNT
    assert stands(broken)
    assert connections() == [broken]


@pytest.mark.parametrize("granted", [("chat:write",), ("users:read",), ()])
def test_less_than_it_held_never_takes_its_place(portal, broken, stub, granted):
    stub.scopes = granted

    assert portal.renew(broken) == Notice.PARTIAL
    assert stands(broken)


def test_a_narrower_token_never_replaces_one_that_a_slot_needs(portal, broken, workspace, owner, stub):
    """Neither where the need came up while its owner was away."""
    state = portal.start(broken)
    other = factories.make_workflow(workspace, owner, ("slack", "find_user"), name="Another")
    with transaction():
        other.slots[0].connection_id = broken.id

    assert portal.finish(state).outcome == Notice.PARTIAL
    assert stands(broken)


def test_a_refusal_at_the_provider_changes_nothing(portal, broken, stub):
    landing = portal.finish(portal.start(broken), ("error", "access_denied"))

    assert (landing.outcome, landing.connection_id, stub.exchanges) == (Notice.DENIED, broken.public_id, 0)
    assert stands(broken)


@pytest.mark.parametrize(
    ("fault", "notice"),
    [
        (Fault.UNAVAILABLE, Notice.TIMEOUT),
        (Fault.LIMITED, Notice.TIMEOUT),
        (Fault.GARBAGE, Notice.PROVIDER),
        (Fault.GRANT_ENDED, Notice.PROVIDER),
    ],
)
@pytest.mark.parametrize("step", ["exchange", "identify"])
def test_an_error_of_the_providers_changes_nothing(portal, broken, stub, monkeypatch, fault, notice, step):
    def fails(*_, **__):
        raise (TokenError if step == "exchange" else IdentityError)(fault)

    monkeypatch.setattr(callbacks, step, fails)

    assert portal.renew(broken) == notice
    assert stands(broken)
    assert len(discards()) == (step == "identify"), "a token that came is given back, whoever's it is"


def test_the_pause_of_an_account_is_kept_by_its_owner_alone(portal, broken, agency, stub, monkeypatch):
    def fails(*_, **__):
        raise IdentityError(Fault.LIMITED, retry_after=300)

    monkeypatch.setattr(callbacks, "identify", fails)
    assert portal.renew(broken) == Notice.TIMEOUT

    with pytest.raises(ProviderFailed, match="asked for a pause"):
        portal.start(broken)
    assert not oauth_clients.for_app(agency, broken.app_key).paused_until


def test_what_takes_longer_than_a_quarter_of_an_hour_comes_to_nothing(portal, broken, stub, clock):
    state = portal.start(broken)
    clock.forward(minutes=15)

    assert portal.finish(state).outcome == Notice.EXPIRED
    assert (stub.exchanges, stands(broken)) == (0, True)


@pytest.mark.parametrize("when", ["before", "meanwhile"])
@pytest.mark.parametrize("how", ["deleted", "passed on", "left", "the agency's"])
def test_what_is_not_theirs_any_more_is_not_renewed(portal, broken, stub, owner, clock, monkeypatch, how, when):
    def happen(connection, owner):
        with transaction():
            if how == "deleted":
                revocations.delete(owner.agency, connection.public_id, by=owner, confirmed=True)
            elif how == "passed on":
                connection.owner_email = SAM
            elif how == "left":
                connection.owner_left_at = clock.now
            else:
                connection.owner_email = None

    state, real, agency_id = portal.start(broken), stub.exchange, broken.agency_id
    if when == "before":
        happen(broken, owner)
    else:

        def exchange(*args, **kwargs):
            with acting_for(agency_id):
                elsewhere(happen, broken, owner)
            return real(*args, **kwargs)

        monkeypatch.setattr(callbacks, "exchange", exchange)
    portal.finish(state)

    db.session.rollback()
    db.session.refresh(broken)
    assert (the_flow().outcome, discards()) == (settlement.WITHDRAWN, [the_flow().public_id])
    assert broken.health is (Health.REVOKED if how == "deleted" else Health.ERROR)
    assert broken.secret is None or broken.secret.version == 1


# ── The browser that began it, and that alone ───────────────────────────────


def test_another_browser_can_not_finish_it(agency, workspace, portal, broken, stub):
    state = portal.start(broken)
    other = Portal(agency)
    sign_in(other, workspace)

    assert other.finish(state) is None
    other.cookies = portal.cookies
    assert other.finish(state) is None
    assert (stub.exchanges, the_flow().status) == (0, FlowStatus.STARTED)
    assert portal.finish(state).is_connected


@pytest.mark.parametrize("how", ["here", "everywhere", "by time"])
def test_who_signed_out_meanwhile_can_not_finish_it(portal, broken, stub, clock, how):
    state = portal.start(broken)
    guest = portal_visitors.resume(portal.session, at=clock.now)
    if how == "here":
        portal_sessions.end(guest)
    elif how == "everywhere":
        portal_sessions.end_all(guest)
    else:
        with transaction() as session:
            session.execute(update(PortalSession).values(expires_at=clock.now))

    assert portal.finish(state) is None
    assert (stub.exchanges, the_flow().status, stands(broken)) == (0, FlowStatus.STARTED, True)


def test_twice_is_once(portal, broken, stub):
    state = portal.start(broken)
    first, second = portal.finish(state), portal.finish(state)

    assert (first.outcome, second.outcome) == (settlement.CONNECTED, settlement.CONNECTED)
    db.session.refresh(broken)
    assert (stub.exchanges, broken.secret.version) == (1, 2)


def test_twenty_times_at_once_is_once(portal, broken, stub):
    state = portal.start(broken)

    found = outcomes(at_once([lambda: portal.finish(state).outcome] * 6))

    assert set(found) <= {settlement.CONNECTED, ""}
    db.session.rollback()
    db.session.refresh(broken)
    assert (stub.exchanges, broken.secret.version, broken.health) == (1, 2, Health.ACTIVE)


def test_two_begun_side_by_side_both_renew_the_same_connection(portal, broken):
    states = [portal.start(broken) for _ in range(2)]

    assert [portal.finish(state).outcome for state in states] == [settlement.CONNECTED] * 2
    assert connections() == [broken]


def test_an_app_without_a_client_can_not_be_renewed(portal, workspace):
    made = factories.make_connection(workspace, "calendly", owner_email=PRIYA)

    with pytest.raises(ProviderFailed):
        portal.start(made)
    assert db.session.scalars(select(Flow)).all() == []


# ── A provider that gives no refresh token ───────────────────────────────────


@pytest.mark.parametrize(
    ("changes", "is_kept"),
    [
        ({}, True),
        ({"client_id": None}, True),
        ({"client_id": "the client of before"}, False),
        ({"oauth_client": "another-slack"}, False),
        ({"health": Health.ERROR, "health_reason": Fault.GRANT_ENDED}, False),
        ({"health": Health.ERROR, "health_reason": Fault.CREDENTIAL}, True),
        ({"owner_email": SAM, "owner_left_at": datetime(2026, 1, 1, tzinfo=UTC)}, False),
    ],
)
def test_the_refresh_token_stays_only_with_the_client_and_the_person_that_got_it(
    broken, portal, agency, workspace, clock, monkeypatch, changes, is_kept
):
    factories.make_member(workspace, PRIYA, "Priya")
    client = oauth_clients.for_app(agency, "slack")
    with transaction():
        secrets.keep(broken, {"access_token": "old", "refresh_token": "kept"}, at=clock.now)
        same = {
            "oauth_client": client.key,
            "client_id": client.client_id,
            "health": Health.ACTIVE,
            "health_reason": None,
        }
        for name, value in (same | changes).items():
            setattr(broken, name, value)
    db.session.refresh(broken)

    def exchange(*_args, scopes, **_options):
        return Token(access_token=Masked("new"), expires_at=clock.now + timedelta(hours=1), scopes=scopes)

    monkeypatch.setattr(callbacks, "exchange", exchange)

    portal.renew(broken)

    kept = secrets.reveal(broken)
    assert (broken.health, kept["access_token"].reveal()) == (Health.ACTIVE, "new")
    assert ("refresh_token" in kept, broken.refreshable) == (is_kept, is_kept)

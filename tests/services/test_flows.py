"""Flows: an authorization has one callback, in the browser that began it, and what overtakes it has one outcome."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.database import transaction
from app.errors import Conflict, ProviderFailed, Refused
from app.extensions import db
from app.models import AuditEvent, Flow, FlowStatus, Health, Notice, OutboxItem, Secret, Status
from app.oauth.answers import TokenError
from app.oauth.faults import Fault
from app.services import callbacks, flows, fulfilment, intake, nodes, secrets, sending
from app.services.audit import SYSTEM
from tests import factories
from tests.support import browsing, shared_app
from tests.support.browsing import Browser, connections, the_flow
from tests.support.rows import rows_of

agency, app, config, stranger = shared_app.fixtures
stub = browsing.stub

SAM = "sam@cobalt-it.example"


# ── Starting ────────────────────────────────────────────────────────────────


def test_start_keeps_nothing_readable_of_what_the_browser_holds(sent, browser, stub):
    state = browser.start(sent[0])
    flow = the_flow()

    (secret,) = browser.cookies.values()
    held = " ".join(str(getattr(flow, column.name)) for column in Flow.__table__.c)
    assert state not in held
    assert secret not in held
    assert flow.state_hash == flows.digest(state)
    assert flow.browser_hash == flows.digest(secret)
    assert flow.expires_at - flow.created_at == timedelta(minutes=15)


def test_start_freezes_scopes_and_addresses(sent, browser, stub, workflow, owner):
    state = browser.start(sent[0])
    nodes.add(workflow, app_key="slack", action_key="find_user", by=owner)

    assert the_flow().scopes == ["chat:write", "channels:read"]
    assert the_flow().endpoints["token"] == "https://slack.com/api/oauth.v2.access"
    browser.finish(state)

    db.session.refresh(sent[0])
    assert sent[0].status is Status.FULFILLED
    assert connections()[0].scopes == ["chat:write", "channels:read"]


def test_start_is_refused_for_what_is_connected_already(sent, browser, stub):
    browser.finish(browser.start(sent[0]))

    with pytest.raises(Conflict):
        browser.start(sent[0])


def test_start_says_on_the_card_that_an_app_has_no_client(agency, sent, browser, stub, app, monkeypatch):
    monkeypatch.setattr(flows.oauth_clients, "for_app", lambda *_: None)

    with pytest.raises(ProviderFailed, match="not configured for OAuth2"):
        browser.start(sent[0])

    assert sent[0].notice is Notice.UNCONFIGURED


def test_start_asks_for_an_apps_fields(workspace, owner, stub):
    workflow = factories.make_workflow(workspace, owner, ("zendesk", "create_ticket"))
    (asked,) = factories.make_sent(workflow, owner)
    browser = Browser()
    browser.open(asked.bundle)
    field = next(iter(flows.scopes.app_of(asked).fields)).name

    for bad in ("", "acme/../evil", "evil.example#", "a" * 500, "acme.example@evil.example"):
        with pytest.raises(Refused) as refused:
            browser.start(asked, {field: bad})
        assert refused.value.field == field
    browser.start(asked, {field: "acme", "redirect_uri": "https://evil.example", "scope": "admin"})

    assert the_flow().fields == {field: "acme"}
    assert asked.typed_fields == {field: "acme"}


# ── Coming back ─────────────────────────────────────────────────────────────


@pytest.mark.both_databases
def test_finish_makes_the_connection_and_fulfils_the_request(sent, browser, stub, clock, agency):
    landing = browser.finish(browser.start(sent[0]))

    (connection,) = connections()
    assert (landing.bundle_id, landing.request_id) == (sent[0].bundle.public_id, sent[0].public_id)
    assert (sent[0].status, sent[0].connection_id, sent[0].slot.connection_id) == (
        Status.FULFILLED,
        connection.id,
        connection.id,
    )
    assert (connection.account, connection.health) == ("ann@client.example", Health.ACTIVE)
    assert connection.owner_email == sent[0].recipient
    assert (the_flow().status, the_flow().verifier, the_flow().grant) == (FlowStatus.DONE, None, None)
    assert set(secrets.reveal(connection)) == {"access_token", "refresh_token", "token_type"}
    acts = db.session.scalars(select(AuditEvent.type).order_by(AuditEvent.id)).all()
    assert acts[-3:] == ["flow.started", "connection.created", "request.fulfilled"]


@pytest.mark.parametrize("holds", ["nothing", "the session", "the cookie", "another flow's cookie"])
def test_finish_changes_nothing_in_another_browser(agency, sent, browser, stub, holds):
    state = browser.start(sent[0])
    thief = Browser(clients=browser.clients)
    if holds == "the session":
        thief.session_id = browser.session_id
    if holds == "the cookie":
        thief.cookies = browser.cookies
    if holds == "another flow's cookie":
        thief.session_id = browser.session_id
        thief.start(sent[1])
        thief.cookies = {flows.cookie_name(state): next(iter(thief.cookies.values()))}
        thief.clients |= browser.clients
    before = rows_of(agency)

    assert thief.finish(state) is None

    assert stub.exchanges == 0
    assert rows_of(agency) == before
    assert browser.finish(state) is not None
    assert stub.exchanges == 1


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param([], id="nothing but the state"),
        pytest.param([("code", "")], id="an empty code"),
        pytest.param([("code", "a"), ("code", "b")], id="two codes"),
        pytest.param([("code", "a"), ("error", "access_denied")], id="a code and an error"),
        pytest.param([("code", "a\x00b")], id="a code that is none"),
        pytest.param([("code", "a"), ("scope", "x"), ("scope", "y")], id="something else twice"),
    ],
)
def test_finish_refuses_what_the_provider_would_not_send_and_leaves_the_flow_usable(agency, sent, browser, stub, pairs):
    state = browser.start(sent[0])
    before = rows_of(agency)

    key = browser.clients[state]
    cookies = {"cookie": browser.cookies.get, "session_hash": lambda _: browser.id_hash}
    assert callbacks.finish(key, [("state", state), *pairs], **cookies) is None
    assert callbacks.finish(key, [("state", state), ("state", state), ("code", "a")], **cookies) is None
    assert callbacks.finish("shared-hubspot", [("state", state), ("code", "a")], **cookies) is None

    assert (stub.exchanges, rows_of(agency) == before) == (0, True)
    assert browser.finish(state) is not None


@pytest.mark.parametrize("state", ["", "x", "x" * 43, "x" * 44, "ä" * 43])
def test_finish_knows_no_invented_state(agency, sent, browser, stub, state):
    assert browser.finish(state) is None
    assert browser.finish("a" * 43, ("error", "access_denied")) is None


@pytest.mark.both_databases
def test_finish_takes_one_callback_alone(sent, browser, stub):
    state = browser.start(sent[0])

    assert [browser.finish(state) is not None for _ in range(3)] == [True, True, True]

    assert stub.exchanges == 1
    assert len(connections()) == 1


def test_finish_after_a_quarter_of_an_hour_calls_nobody(sent, browser, stub, clock):
    first, second = browser.start(sent[0]), browser.start(sent[1])
    clock.forward(minutes=15, seconds=-1)
    browser.finish(first)
    clock.forward(seconds=1)
    browser.finish(second)

    assert stub.exchanges == 1
    assert (sent[0].status, sent[1].status) == (Status.FULFILLED, Status.PENDING)
    assert sent[1].notice is Notice.EXPIRED
    browser.finish(browser.start(sent[1]))
    assert sent[1].status is Status.FULFILLED


@pytest.mark.parametrize(
    ("fault", "notice"),
    [
        (Fault.UNAVAILABLE, Notice.TIMEOUT),
        (Fault.LIMITED, Notice.TIMEOUT),
        (Fault.GARBAGE, Notice.PROVIDER),
        (Fault.GRANT_ENDED, Notice.PROVIDER),
        (Fault.MISMATCH, Notice.PROVIDER),
    ],
)
def test_a_provider_that_fails_leaves_the_request_open_with_a_word_on_its_card(sent, browser, stub, fault, notice):
    stub.error = TokenError(fault)
    assert browser.finish(browser.start(sent[0])) is not None

    assert (sent[0].status, sent[0].notice) == (Status.PENDING, notice)
    assert (the_flow().status, connections()) == (FlowStatus.FAILED, [])

    stub.error = None
    browser.finish(browser.start(sent[0]))
    assert (sent[0].status, sent[0].notice) == (Status.FULFILLED, None)


def test_a_denial_is_said_and_calls_nobody(sent, browser, stub):
    browser.finish(browser.start(sent[0]), ("error", "access_denied"), ("error_description", "<b>no</b>"))

    assert (sent[0].status, sent[0].notice, stub.exchanges) == (Status.PENDING, Notice.DENIED, 0)


# ── Granted in part ─────────────────────────────────────────────────────────


@pytest.mark.both_databases
def test_a_partial_grant_is_held_sealed_and_thrown_away_in_time(sent, browser, stub, clock):
    stub.scopes = ("chat:write",)
    browser.finish(browser.start(sent[0]))

    flow = the_flow()
    assert (sent[0].status, sent[0].notice, sent[0].granted_scopes) == (Status.PENDING, Notice.PARTIAL, ["chat:write"])
    assert (flow.status, connections()) == (FlowStatus.HELD, [])
    assert flow.grant
    discard = db.session.scalars(select(OutboxItem).where(OutboxItem.kind == "grant.discard")).one()
    assert (discard.key, discard.due_at) == (flow.public_id, flow.expires_at)


def test_the_rest_granted_replaces_what_was_held(sent, browser, stub, clock):
    stub.scopes = ("chat:write",)
    browser.finish(browser.start(sent[0]))
    held = the_flow().public_id
    stub.scopes = None
    clock.forward(minutes=2)
    browser.finish(browser.start(sent[0]))

    assert (sent[0].status, sent[0].notice, sent[0].granted_scopes) == (Status.FULFILLED, None, None)
    discard = db.session.scalars(select(OutboxItem).where(OutboxItem.kind == "grant.discard")).one()
    assert (discard.key, discard.due_at) == (held, clock.now)


def test_scopes_added_meanwhile_are_asked_again(agency, sent, browser, stub, workflow, owner):
    """The scopes required of an authorization are those frozen when it began."""
    state = browser.start(sent[0])
    nodes.add(workflow, app_key="slack", action_key="find_user", by=owner)
    browser.finish(state)

    again = factories.make_request(workflow.slots[0], owner)

    assert again.status is Status.QUEUED
    assert set(flows.scopes.required(again)) == {"chat:write", "channels:read", "users:read", "users:read.email"}
    sending.send(workflow, by=owner)
    card = next(card for card in intake.cards(again.bundle) if card.asked.id == again.id)
    assert [each.scope for each in card.permissions if each.is_new] == ["users:read", "users:read.email"]


@pytest.mark.both_databases
def test_a_narrower_token_never_replaces_one_in_use(agency, workspace, workflow, sent, browser, stub, owner):
    """The same account approved for less, elsewhere in the workspace, must not break what works."""
    browser.finish(browser.start(sent[0]))
    (wide,) = connections()
    before = secrets.reveal(wide)
    other = factories.make_workflow(workspace, owner, ("slack", "create_channel"), name="Rooms")
    (asked,) = factories.make_sent(other, owner)
    browser.open(asked.bundle)

    browser.finish(browser.start(asked))

    assert (asked.status, asked.notice) == (Status.PENDING, Notice.PARTIAL)
    assert [secrets.reveal(each) for each in connections()] == [before]
    assert set(flows.scopes.required(asked)) == {"chat:write", "channels:read", "channels:manage"}
    browser.finish(browser.start(asked))
    assert asked.status is Status.FULFILLED
    assert len(connections()) == 1
    assert set(connections()[0].scopes) == {"chat:write", "channels:read", "channels:manage"}


# ── Parallel flows ──────────────────────────────────────────────────────────


@pytest.mark.both_databases
def test_the_later_success_updates_the_same_connection(sent, browser, stub):
    first, second = browser.start(sent[0]), browser.start(sent[0])
    browser.finish(first)
    token = secrets.reveal(connections()[0])["access_token"].reveal()

    browser.finish(second)

    (connection,) = connections()
    assert secrets.reveal(connection)["access_token"].reveal() != token
    assert [(row.version, row.id) for row in db.session.scalars(select(Secret))] == [(2, connection.secret_id)]
    assert sent[0].connection_id == connection.id


def test_a_revoked_request_is_not_brought_back_by_a_flow_that_began_before(agency, sent, browser, stub, clock):
    first, second = browser.start(sent[0]), browser.start(sent[0])
    browser.finish(first)
    (connection,) = connections()
    with transaction():
        connection.health = Health.REVOKED
        fulfilment.revoke_for(connection, by=SYSTEM, at=clock.now)

    browser.finish(second)

    assert (sent[0].status, connections()[0].health) == (Status.REVOKED, Health.REVOKED)
    assert the_flow().outcome == "withdrawn"
    assert intake.cards(sent[0].bundle)[0].is_open is False

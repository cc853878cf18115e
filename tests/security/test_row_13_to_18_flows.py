"""Authorizations under attack: begun by one and ended by another, mixed up, replayed, raced. Against an independent provider."""

import base64
import secrets
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import func, select

from app.database import transaction
from app.egress.transport import GuardedTransport
from app.extensions import db
from app.models import Flow, FlowStatus, Secret, Status
from app.services import flows
from tests import factories
from tests.security.connecting import connected, leave, status
from tests.support.crowd import crowd
from tests.support.visitor import Visitor

# ── Row 13 ──────────────────────────────────────────────────────────────────


@pytest.mark.both_databases
@pytest.mark.parametrize(
    "holds", ["nothing", "the link", "the session", "the flow's cookie", "the session and another's cookie"]
)
def test_row_13_a_flow_ends_in_the_browser_that_began_it_alone(app, visitor, asked, person, provider, holds):
    """An attacker begins, the victim approves (or the other way round): nothing comes of it, and nobody is called."""
    away = leave(visitor, asked[0], person)
    mine = {cookie.key: cookie.value for cookie in visitor.web._cookies.values()}
    flow_cookie = flows.cookie_name(away.sent["state"])
    other = Visitor(app.test_client())
    if holds in ("the link", "the flow's cookie"):
        other.open(asked[0])
    if "the session" in holds:
        other.web.set_cookie("gh_intake", mine["gh_intake"])
    if holds == "the flow's cookie":
        other.web.set_cookie(flow_cookie, mine[flow_cookie])
    if "another's cookie" in holds:
        other.web.set_cookie(flow_cookie, secrets.token_urlsafe(32))
    calls = len(provider.calls("token"))

    answer = other.ask("GET", away.path, query_string=away.back)

    assert (answer.status_code, status(asked[0]), connected()) == (404, Status.PENDING, 0)
    assert len(provider.calls("token")) == calls
    assert visitor.ask("GET", away.path, query_string=away.back).status_code == 303
    assert status(asked[0]) is Status.FULFILLED


def test_row_13_the_cookie_is_of_one_flow_and_hidden_from_scripts(visitor, asked, person):
    page = visitor.open(asked[0])
    visitor.get(page)
    started = visitor.start(page, asked[0])
    state = parse_qs(urlsplit(started.headers["HX-Redirect"]).query)["state"][0]

    cookie = next(each for each in started.headers.getlist("Set-Cookie") if flows.cookie_name(state) in each)
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "Max-Age=900" in cookie
    flow = db.session.scalars(select(Flow)).one()
    assert len(flow.state_hash) == len(flow.browser_hash) == len(flow.session_hash) == 32
    assert len(state) == 43


# ── Row 14 ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["get", "without a token", "with a token of nothing", "from another site"])
def test_row_14_a_flow_starts_by_a_post_of_our_own_page_alone(visitor, asked, how):
    page = visitor.open(asked[0])
    visitor.get(page)
    path = f"{page}/requests/{asked[0].public_id}/start"
    answer = {
        "get": lambda: visitor.ask("GET", path),
        "without a token": lambda: visitor.ask("POST", path),
        "with a token of nothing": lambda: visitor.ask("POST", path, data={"csrf_token": visitor.token()[:-3] + "AAA"}),
        "from another site": lambda: visitor.ask(
            "POST", path, data={"csrf_token": visitor.token()}, headers={"Sec-Fetch-Site": "cross-site"}
        ),
    }[how]()

    assert answer.status_code == {"get": 405, "from another site": 403}.get(how, 400)
    assert db.session.scalar(select(func.count(Flow.id))) == 0
    assert "HX-Redirect" not in answer.headers


# ── Row 15 ──────────────────────────────────────────────────────────────────


@pytest.fixture
def ledgerly(workspace, owner):
    """An app whose metadata promises `iss` in the callback, and whose account is read from its id_token."""
    made = factories.make_workflow(workspace, owner, ("ledgerly", "find_invoice"), name="Books")
    return factories.make_sent(made, owner)[0]


@pytest.mark.parametrize("issuer", [None, "https://evil.example", "", "{}/", "{}x"])
def test_row_15_a_callback_of_another_issuer_is_refused_and_calls_nobody(visitor, ledgerly, person, provider, issuer):
    """RFC 9207: the mix-up, where one provider's code is carried to another."""
    away = leave(visitor, ledgerly, person)
    true = away.back.pop("iss")
    wrong = {} if issuer is None else {"iss": issuer.format(true)}
    calls = len(provider.calls("token"))

    assert visitor.ask("GET", away.path, query_string=away.back | wrong).status_code == 404

    assert (len(provider.calls("token")), status(ledgerly)) == (calls, Status.PENDING)
    assert visitor.ask("GET", away.path, query_string=away.back | {"iss": true}).status_code == 303
    assert status(ledgerly) is Status.FULFILLED


def test_row_15_each_client_has_an_address_of_its_own(visitor, asked, person, provider):
    away, calls = leave(visitor, asked[0], person), len(provider.calls("token"))

    for key in ("shared-postwave", "shared-", "northdesk", "shared-northdeskx", "a" * 20, "é"):
        assert visitor.ask("GET", f"/oauth/callback/{key}", query_string=away.back).status_code == 404
    assert (len(provider.calls("token")), connected()) == (calls, 0)
    assert away.path == "/oauth/callback/shared-northdesk"


def test_row_15_where_a_flow_goes_is_frozen_when_it_begins(visitor, ledgerly, person, provider, app):
    """Metadata that changes while the client is away moves nothing."""
    away = leave(visitor, ledgerly, person)
    flow = db.session.scalars(select(Flow)).one()
    assert flow.endpoints["token"] == provider.token_url
    document = '{"issuer": "https://evil.example", "token_endpoint": "https://evil.example/token"}'
    provider.misbehave("token", status=200, body=document, times=0)

    visitor.ask("GET", away.path, query_string=away.back)

    assert [call.path for call in provider.calls("token")] == [urlsplit(provider.token_url).path]
    assert status(ledgerly) is Status.FULFILLED


# ── Row 16 ──────────────────────────────────────────────────────────────────


def test_row_16_pkce_and_nonce_go_out_and_their_secrets_stay(visitor, ledgerly, person, monkeypatch):
    sent = []
    real = GuardedTransport.exchange
    monkeypatch.setattr(
        GuardedTransport, "exchange", lambda self, asked, left: (sent.append(asked), real(self, asked, left))[1]
    )
    away = leave(visitor, ledgerly, person)
    flow = db.session.scalars(select(Flow)).one()

    assert (away.sent["code_challenge_method"], len(away.sent["code_challenge"])) == ("S256", 43)
    assert away.sent["nonce"] == flow.nonce
    assert flow.verifier
    cookies = " ".join(cookie.value for cookie in visitor.web._cookies.values())
    visitor.ask("GET", away.path, query_string=away.back)
    body = next(parse_qs(asked.content.decode()) for asked in sent if "/token/" in asked.url.path)
    (verifier,) = body["code_verifier"]
    assert flows.hashlib.sha256(verifier.encode()).digest() == _unpadded(away.sent["code_challenge"])
    db.session.rollback()
    assert verifier not in repr([getattr(flow, column.name) for column in Flow.__table__.c]) + cookies
    assert db.session.scalars(select(Flow)).one().verifier is None


def _unpadded(text):
    return base64.urlsafe_b64decode(text + "=")


def test_row_16_an_id_token_for_another_flow_is_refused(visitor, ledgerly, person, provider):
    """The nonce of the flow is not the one that the id_token was made for."""
    away = leave(visitor, ledgerly, person)
    db.session.rollback()
    with transaction():
        db.session.scalars(select(Flow)).one().nonce = secrets.token_urlsafe(32)

    visitor.ask("GET", away.path, query_string=away.back)

    assert (status(ledgerly), connected()) == (Status.PENDING, 0)


# ── Row 17 ──────────────────────────────────────────────────────────────────


def come_back(app, payload):
    """One callback, as a double click, a reload or an attacker would repeat it."""
    path, query, cookies = payload
    browser = app.test_client()
    for name, value in cookies.items():
        browser.set_cookie(name, value)
    answer = browser.get(path, query_string=query)
    return answer.status_code, answer.headers.get("Location", "").partition("#")[0]


@pytest.mark.both_databases
def test_row_17_twenty_callbacks_at_once_from_two_processes_are_one_exchange(config, visitor, asked, person, provider):
    away = leave(visitor, asked[0], person)
    cookies = {cookie.key: cookie.value for cookie in visitor.web._cookies.values()}
    page = f"/connect/{asked[0].bundle.public_id}"
    db.session.rollback()

    came_to = crowd(config, come_back, (away.path, away.back, cookies))

    assert came_to == [(303, page)] * 20
    assert provider.count()["token.authorization_code"] == 1
    assert (status(asked[0]), connected()) == (Status.FULFILLED, 1)
    assert [secret.version for secret in db.session.scalars(select(Secret))] == [1]


def test_row_17_a_replay_is_sent_to_the_status_page(visitor, asked, person, provider):
    away = leave(visitor, asked[0], person)
    cookies = {cookie.key: cookie.value for cookie in visitor.web._cookies.values()}
    assert visitor.ask("GET", away.path, query_string=away.back).status_code == 303
    for name, value in cookies.items():
        visitor.web.set_cookie(name, value)

    again = visitor.ask("GET", away.path, query_string=away.back)

    assert again.status_code == 303
    assert again.headers["Location"].startswith(f"/connect/{asked[0].bundle.public_id}")
    assert provider.count()["token.authorization_code"] == 1


# ── Row 18 ──────────────────────────────────────────────────────────────────


def test_row_18_of_parallel_flows_the_later_success_updates_the_same_connection(visitor, asked, person):
    first, second = leave(visitor, asked[0], person), leave(visitor, asked[0], person)
    for away in (second, first):
        assert visitor.ask("GET", away.path, query_string=away.back).status_code == 303

    assert (status(asked[0]), connected()) == (Status.FULFILLED, 1)
    assert [secret.version for secret in db.session.scalars(select(Secret))] == [2]
    assert set(db.session.scalars(select(Flow.status))) == {FlowStatus.DONE}

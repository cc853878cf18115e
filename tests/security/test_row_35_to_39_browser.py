"""What a browser is told and held to: forms, policy, sessions, headers, and answers that give nobody away."""

import json
import re

import pytest
from argon2 import extract_parameters
from sqlalchemy import select

from app.catalog import load
from app.extensions import db
from app.models import IntakeSession, StaffSession
from app.services import passwords
from app.tenancy import across_tenants
from app.web.security import CSP
from tests import factories
from tests.support.databases import migrate
from tests.support.scenery import Scenery
from tests.support.shared_app import running

HTTPS = "https://access.northwind.example"
MAYA = "maya@northwind-studio.example"


def sign_in(scenery, browser, password=factories.PASSWORD, email=MAYA, **options):
    path = "/panel/sign-in"
    data = {"csrf_token": scenery.csrf(browser, path), "email": email, "password": password}
    return browser.post(path, data=data, **options)


# ── Row 35 ──────────────────────────────────────────────────────────────────


def test_row_35_a_form_needs_the_token_of_its_own_session(scenery, clock):
    """Every unsafe address is walked in tests/test_routes.py; here is what makes a token good."""
    mine, other = scenery.staff(scenery.ours), scenery.staff(scenery.ours)
    path = "/panel/account/name"
    before = scenery.rows(scenery.ours)

    for token in ("", "x", scenery.csrf(other, path), scenery.csrf(mine, "/connect/x")):
        assert mine.post(path, data={"name": "Evil", "csrf_token": token}).status_code == 400
        assert mine.post(path, data={"name": "Evil"}, headers={"X-CSRFToken": token}).status_code == 400
    assert scenery.rows(scenery.ours) == before
    assert mine.post(path, data={"name": "Maya", "csrf_token": scenery.csrf(mine, path)}).status_code == 303


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Origin": factories.BASE_URL}, 303),
    ],
)
def test_row_35_a_good_token_from_another_site_is_refused_all_the_same(scenery, clock, headers, status):
    browser, path = scenery.staff(scenery.ours), "/panel/account/name"
    data = {"name": "Maya", "csrf_token": scenery.csrf(browser, path)}

    assert browser.post(path, data=data, headers=headers).status_code == status


def test_row_35_an_open_page_outlives_every_hour(scenery, clock):
    browser, path = scenery.client(scenery.ours), f"/connect/{scenery.ours.names['bundle_id']}"
    token = scenery.csrf(browser, path)
    clock.forward(days=6)
    decline = f"{path}/requests/{scenery.ours.names['request_id']}/decline"

    assert browser.post(decline, data={"csrf_token": token, "reason": "no"}).status_code == 303


# ── Row 36 ──────────────────────────────────────────────────────────────────

POLICY = {
    "default-src": ["'none'"],
    "script-src": ["'self'"],
    "style-src": ["'self'"],
    "img-src": ["'self'", "data:"],
    "font-src": ["'self'"],
    "connect-src": ["'self'"],
    "form-action": ["'self'"],
    "base-uri": ["'none'"],
    "frame-ancestors": ["'none'"],
}
HTMX = {
    "allowEval": False,
    "allowScriptTags": False,
    "includeIndicatorStyles": False,
    "selfRequestsOnly": True,
    "historyCacheSize": 0,
    "historyRestoreAsHxRequest": False,
}


def test_row_36_the_policy_is_the_written_one():
    found = {name: values for name, *values in (part.split() for part in CSP.split("; "))}

    assert found == POLICY


def test_row_36_every_page_keeps_to_it_and_holds_htmx_down(scenery, clock):
    workspace, workflow = scenery.ours.names["workspace_id"], scenery.ours.names["workflow_id"]
    staff, client = scenery.staff(scenery.ours), scenery.client(scenery.ours)
    pages = [
        *[(staff, path) for path in ("/panel/", "/panel/workspaces", "/panel/people", "/panel/apps")],
        (staff, f"/panel/workspaces/{workspace}/workflows/{workflow}"),
        (client, f"/connect/{scenery.ours.names['bundle_id']}"),
        *[(scenery.nobody(), path) for path in ("/panel/sign-in", "/portal/login", "/l/nothing", "/nowhere")],
    ]
    for browser, path in pages:
        answer = browser.get(path)
        assert answer.headers["Content-Security-Policy"] == CSP, path
        (settings,) = re.findall(r"<meta name=\"htmx-config\" content='([^']*)'>", answer.text)
        assert {name: json.loads(settings)[name] for name in HTMX} == HTMX, path
        assert not re.findall(
            r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|hx-on|\bjs:|javascript:", answer.text
        ), path
        for tag in re.findall(r"<(?:script|link|img)[^>]*>", answer.text):
            assert re.search(r'(?:src|href)="(?:/static/|/brand/|data:)', tag), f"{path}: {tag}"
        for form in re.findall(r'<form[^>]*action="([^"]*)"', answer.text):
            assert form.startswith("/") and not form.startswith("//"), f"{path}: {form}"  # noqa: PT018


def policy_of(answer):
    return {
        name: values
        for name, *values in (part.split() for part in answer.headers["Content-Security-Policy"].split("; "))
    }


def test_row_36_the_branding_page_alone_may_hold_frames_and_none_but_our_own(scenery, clock):
    """Every other page of ours lets nobody frame it, so that nothing but the previews can be seen there."""
    staff = scenery.staff(scenery.ours)
    token = scenery.csrf(staff, "/panel/branding")

    for answer in (staff.get("/panel/branding"), staff.post("/panel/branding", data={"csrf_token": token, "name": ""})):
        assert policy_of(answer) == POLICY | {"frame-src": ["'self'"]}
        for frame in re.findall(r"<iframe[^>]*>", answer.text):
            assert re.search(r'sandbox="allow-same-origin"', frame)
            assert "src=" not in frame
            assert 'title="Preview of the ' in frame


@pytest.mark.parametrize(("what", "styles"), [("page", "'self'"), ("mail", "'unsafe-inline'")])
def test_row_36_a_preview_is_framed_by_our_pages_alone_and_runs_and_sends_nothing(scenery, clock, what, styles):
    staff, path = scenery.staff(scenery.ours), f"/panel/branding/preview/{what}"
    answer = staff.post(path, data={"csrf_token": scenery.csrf(staff, "/panel/branding")})

    assert answer.status_code == 200
    assert policy_of(answer) == {
        "default-src": ["'none'"],
        "style-src": [styles],
        "img-src": ["'self'", "data:"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'self'"],
        "sandbox": ["allow-same-origin"],
    }
    assert "<script" not in answer.text
    assert re.search(r"<body[^>]* inert", answer.text)
    assert staff.get(path).status_code == 405, "no address leads to one"


# ── Row 37 ──────────────────────────────────────────────────────────────────


def test_row_37_sessions_end_after_two_hours_idle_and_twelve_at_most(scenery, clock):
    browser = scenery.nobody()
    assert sign_in(scenery, browser).status_code == 303
    for _ in range(6):
        clock.forward(hours=1, minutes=59)
        assert browser.get("/panel/account").status_code == 200
    clock.forward(minutes=7)
    assert browser.get("/panel/account").status_code == 303
    other = scenery.nobody()
    sign_in(scenery, other)
    clock.forward(hours=2)
    assert other.get("/panel/account").status_code == 303


def test_row_37_polls_do_not_keep_a_session_awake(scenery, clock):
    browser = scenery.nobody()
    sign_in(scenery, browser)
    for _ in range(7):
        clock.forward(minutes=20)
        polled = browser.get("/panel/account", headers={"X-Poll": "1", "HX-Request": "true"})
    assert polled.status_code in (200, 303)
    assert browser.get("/panel/account").status_code == 303


def test_row_37_ids_have_256_bits_are_stored_hashed_and_new_at_every_sign_in(scenery, clock):
    browser = scenery.nobody()
    planted = browser.get_cookie("gh_staff").value
    sign_in(scenery, browser)
    first = browser.get_cookie("gh_staff").value
    sign_in(scenery, browser)
    second = browser.get_cookie("gh_staff").value

    assert len({planted, first, second}) == 3
    assert {len(each) * 6 // 8 * 8 for each in (first, second)} == {256}
    with scenery.app.app_context(), across_tenants("to look"):
        hashes = db.session.scalars(select(StaffSession.id_hash)).all()
        intake = db.session.scalars(select(IntakeSession.id_hash)).all()
    assert {len(each) for each in [*hashes, *intake]} == {32}
    assert first not in repr(hashes)
    thief = scenery.app.test_client()
    thief.set_cookie("gh_staff", first)
    assert thief.get("/panel/").status_code == 303, "the id from before the second sign-in is worth nothing"


def test_row_37_sign_out_ends_it_on_the_server(scenery, clock):
    browser = scenery.nobody()
    sign_in(scenery, browser)
    session_id = browser.get_cookie("gh_staff").value
    browser.post("/panel/sign-out", data={"csrf_token": scenery.csrf(browser, "/panel/sign-out")})
    browser.set_cookie("gh_staff", session_id)

    assert browser.get("/panel/").status_code == 303


def test_row_37_a_disabled_person_is_out_at_once(scenery, clock):
    teammate = scenery.staff(scenery.ours, "other")
    assert teammate.get("/panel/").status_code == 200
    owner, path = scenery.staff(scenery.ours), f"/panel/people/{scenery.ours.names['person_id']}/disable"
    assert owner.post(path, data={"csrf_token": scenery.csrf(owner, path)}).status_code == 303

    assert teammate.get("/panel/").status_code == 303


def test_row_37_passwords_are_argon2id_with_the_recommended_parameters(tmp_path):
    """RFC 9106, section 4: the second recommended parameters or better."""
    url = f"sqlite:///{tmp_path / 'x.sqlite3'}"
    with running(factories.config(tmp_path, url, argon2_light=False)) as app, app.app_context():
        found = extract_parameters(passwords.hashed(factories.PASSWORD))
        nobodys = extract_parameters(passwords._nobodys())

    assert (found.type.name, found.hash_len, found.salt_len) == ("ID", 32, 16)
    assert (found.time_cost, found.memory_cost, found.parallelism) >= (3, 64 * 1024, 4)
    assert found == nobodys


@pytest.fixture(scope="module")
def on_https(tmp_path_factory):
    folder = tmp_path_factory.mktemp("https")
    url = f"sqlite:///{folder / 'x.sqlite3'}"
    migrate(url, folder)
    with running(factories.config(folder, url, base_url=HTTPS), load(None)) as app:
        yield Scenery(app, None)


def test_row_37_cookies_on_https_are_host_secure_and_out_of_scripts_reach(on_https):
    """Those of staff, of a link and of a flow."""
    browser, names = on_https.app.test_client(), on_https.ours.names
    staff = browser.get("/panel/sign-in", base_url=HTTPS)
    link = browser.get(f"/l/{names['token']}", base_url=HTTPS)
    page = f"/connect/{names['bundle_id']}"
    token = browser.get(page, base_url=HTTPS).text.split('"X-CSRFToken": "')[1].split('"')[0]
    flow = browser.post(
        f"{page}/requests/{names['request_id']}/start",
        base_url=HTTPS,
        data={"csrf_token": token},
        headers={"Referer": f"{HTTPS}{page}", "HX-Request": "true"},
    )

    for answer, name in ((staff, "gh_staff="), (link, "gh_intake="), (flow, "gh_flow_")):
        (cookie,) = answer.headers.getlist("Set-Cookie")
        assert cookie.startswith(f"__Host-{name}")
        assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
        assert "Domain" not in cookie


def test_row_37_each_surface_has_a_cookie_of_its_own(scenery, clock):
    staff = scenery.app.test_client().get("/panel/sign-in").headers["Set-Cookie"]
    link = scenery.app.test_client().get(f"/l/{scenery.ours.names['token']}").headers["Set-Cookie"]

    assert (staff.partition("=")[0], link.partition("=")[0]) == ("gh_staff", "gh_intake")
    for cookie in (staff, link):
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))


# ── Row 38 ──────────────────────────────────────────────────────────────────


def test_row_38_the_headers_on_https(on_https):
    headers = on_https.app.test_client().get("/panel/sign-in", base_url=HTTPS).headers

    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin-allow-popups"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert "HX-Request" in headers["Vary"]

"""Every address, tried by everybody: the anonymous, the client, the teammate, the stranger. New ones join by themselves."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from flask import Flask
from werkzeug.routing import Rule

from app.catalog import load
from app.web.panel.branding import FRAMING_CSP
from app.web.security import CSP, HEADERS
from tests.support.scenery import Scenery, unknown
from tests.support.shared_app import on_sqlite
from tests.support.statements import counted

# Whoever comes may ask these; everything else is refused to the anonymous.
PUBLIC = {
    *("ops.healthz", "ops.readyz", "ops.metrics"),  # figures are for this machine or a token alone, see tests/web
    *("brand.show_sheet", "brand.show_logo"),
    *("panel.sign_in", "panel.submit_sign_in"),
    *("setup.start", "setup.show_set_up", "setup.create_agency", "setup.send_test_mail"),
    *("portal.sign_in", "portal.ask_for_code", "portal.show_code", "portal.enter_code"),
    *("portal.show_button", "portal.press_button"),
    "client.open_link",
}
MANAGERS = {
    *("set_up_app", "save_client", "confirm_client_removal", "remove_client"),
    *("show_branding", "save_branding", "try_branding", "preview_page", "preview_mail"),
    *("show_people", "new_person", "add_person", "edit_role", "change_role", "confirm_disabling", "disable_person"),
    *("confirm_enabling", "enable_person", "confirm_new_password", "renew_password"),
}
# A GET that has an effect, and which: a link lets its browser in; a callback ends a flow.
EFFECTS = {"client.open_link", "oauth.callback"}
# What the anonymous are told about these is the same for all, real or not.
FOR_EVER = "public, max-age=31536000, immutable"
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


@pytest.fixture(scope="module")
def app(sqlite_template, tmp_path_factory) -> Iterator[Flask]:
    with on_sqlite(sqlite_template, tmp_path_factory.mktemp("routes"), load(None)) as app:
        yield app


@pytest.fixture(scope="module")
def built(app, tmp_path_factory) -> Scenery:
    return Scenery(app, app.config["GATEHOUSE"].instance_path / "shared.sqlite3")


@pytest.fixture
def scenery(built) -> Scenery:
    built.restore()
    return built


@dataclass(frozen=True)
class Route:
    """One method at one address; `path` fills its places."""

    rule: Rule
    method: str

    @property
    def endpoint(self) -> str:
        return self.rule.endpoint

    @property
    def surface(self) -> str:
        return self.rule.endpoint.partition(".")[0]

    def path(self, names: dict[str, str]) -> str:
        given = {place: names[place] for place in self.rule.arguments}  # a new place needs a name in the scenery
        _, path = self.rule.build(given)
        return path

    def __str__(self) -> str:
        return f"{self.method} {self.rule.rule}"


def routes(app: Flask, *methods: str) -> Iterator[Route]:
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            if not methods or method in methods:
                yield Route(rule, method)


def send(scenery, browser, route, path, **data):
    """Ask as the page itself would: a form with its token."""
    if route.method == "GET":
        return browser.get(path)
    return browser.open(path, method=route.method, data={"csrf_token": scenery.csrf(browser, path), **data})


def at_home(scenery, route):
    """A browser that may go there."""
    of = {"client": scenery.client, "portal": scenery.visitor_of}.get(route.surface, scenery.staff)
    return of(scenery.ours)


def is_refused(route, answer) -> bool:
    doors = {"panel": "/panel/sign-in", "portal": "/portal/login"}
    if route.surface in doors:
        return answer.status_code == 303 and doors[route.surface] in answer.headers["Location"]
    return answer.status_code == 404 and "This link can't be opened" in answer.text


# ── The anonymous ───────────────────────────────────────────────────────────


def test_the_anonymous_are_refused_everywhere_but_on_a_short_list(app, scenery, clock):
    before = scenery.rows(scenery.ours)
    let_in = []
    for route in routes(app):
        answer = send(scenery, scenery.nobody(), route, route.path(scenery.ours.names))
        assert answer.status_code < 500, route
        if route.endpoint in PUBLIC or not is_refused(route, answer):
            let_in.append(route.endpoint)

    assert set(let_in) == PUBLIC
    changed = {name for name, rows in scenery.rows(scenery.ours).items() if rows != before[name]}
    assert changed <= {"intake_session", "audit_event", "bundle"}, "opening a link lets a browser in, and no more"


def test_a_client_reaches_their_own_bundle_and_nothing_else(app, scenery, clock):
    browser = scenery.nobody()
    browser.set_cookie("gh_intake", scenery.ours.session_id)
    for route in routes(app):
        if route.surface not in ("panel", "client", "oauth") or route.endpoint in PUBLIC:
            continue
        names = scenery.ours.names if route.surface != "client" else scenery.theirs.names
        assert is_refused(route, send(scenery, browser, route, route.path(names))), route
    for route in routes(app, "GET"):
        if route.surface == "client" and route.endpoint not in PUBLIC:
            assert browser.get(route.path(scenery.ours.names)).status_code == 200, route


def test_a_visitor_of_the_portal_reaches_what_is_theirs_and_no_other_surface(app, scenery, clock):
    browser = scenery.visitor_of(scenery.ours)
    for name in ("gh_staff", "gh_intake"):
        browser.set_cookie(name, scenery.theirs.session_id[::-1])  # of the right form, and nobody's
    for route in routes(app):
        if route.endpoint in PUBLIC or route.surface not in ("panel", "client", "oauth", "portal"):
            continue
        path = route.path(scenery.ours.names)
        if route.surface != "portal":
            assert is_refused(route, send(scenery, browser, route, path)), route
        elif route.method == "GET":
            assert browser.get(path).status_code in (200, 303), route


def test_the_cookie_of_one_surface_is_no_key_to_another(app, scenery):
    """The intake session's id, put into every other cookie, opens nothing."""
    browser = app.test_client()
    for name in ("gh_staff", "gh_portal", "gh_flow"):
        browser.set_cookie(name, scenery.ours.session_id)

    assert is_refused(Route(next(app.url_map.iter_rules("panel.show_home")), "GET"), browser.get("/panel/"))
    path = f"/connect/{scenery.ours.names['bundle_id']}"
    assert browser.get(path).status_code == 404


# ── Changes ─────────────────────────────────────────────────────────────────


def test_no_get_changes_anything(app, scenery, clock):
    visitors = [
        scenery.staff(scenery.ours),
        scenery.client(scenery.ours),
        scenery.visitor_of(scenery.ours),
    ]
    wrote = {}
    with app.app_context():
        for route in routes(app, "GET"):
            for browser in visitors:
                with counted() as seen:
                    answer = browser.get(route.path(scenery.ours.names))
                assert answer.status_code < 500, route
                if seen.writes:
                    wrote[route.endpoint] = seen.writes

    assert set(wrote) <= EFFECTS, wrote


def test_a_head_is_answered_as_a_get_without_a_body(app, scenery, clock):
    owner = scenery.staff(scenery.ours)
    for route in routes(app, "GET"):
        if route.endpoint in EFFECTS:
            continue
        path = route.path(scenery.ours.names)
        assert owner.head(path).status_code == owner.get(path).status_code, route
        assert owner.head(path).data == b"", route


@pytest.mark.parametrize("token", ["none", "another browser's", "another surface's", "garbage"])
def test_every_change_needs_the_token_of_its_own_browser(app, scenery, clock, token):
    before = scenery.rows(scenery.ours)
    for route in routes(app, *UNSAFE):
        browser = at_home(scenery, route)
        path = route.path(scenery.ours.names)
        given = {
            "none": "",
            "another browser's": scenery.csrf(scenery.nobody(), path),
            "another surface's": scenery.csrf(
                browser, "/panel/" if route.surface in ("client", "portal") else "/connect/x"
            ),
            "garbage": "x" * 40,
        }[token]
        for headers in ({}, {"HX-Request": "true", "X-CSRFToken": given}):
            answer = browser.open(path, method=route.method, data={"csrf_token": given}, headers=headers)
            assert answer.status_code == 400, route

    assert scenery.rows(scenery.ours) == before


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_every_change_is_asked_for_by_a_page_of_ours(app, scenery, clock, site):
    before = scenery.rows(scenery.ours)
    for route in routes(app, *UNSAFE):
        browser = at_home(scenery, route)
        path = route.path(scenery.ours.names)
        data = {"csrf_token": scenery.csrf(browser, path)}
        answer = browser.open(path, method=route.method, data=data, headers={"Sec-Fetch-Site": site})
        assert answer.status_code == 403, route

    assert scenery.rows(scenery.ours) == before


def test_other_methods_are_refused(app, scenery, clock):
    browser = scenery.staff(scenery.ours)
    known = {str(rule): set() for rule in app.url_map.iter_rules()}
    for rule in app.url_map.iter_rules():
        known[str(rule)] |= rule.methods or set()
    for route in routes(app):
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - known[str(route.rule)]:
            path = route.path(scenery.ours.names)
            answer = browser.open(path, method=method, data={"csrf_token": scenery.csrf(browser, path)})
            assert answer.status_code in (404, 405), f"{method} {path}"


# ── What every answer carries ───────────────────────────────────────────────


@pytest.fixture(scope="module")
def answers(built, app):
    """Every answer that there is: of each kind of visitor, to what is there and what is not, with and without htmx."""
    built.restore()
    return list(asked_for(built, app))


def asked_for(scenery, app):
    clients = [scenery.client(scenery.ours), scenery.visitor_of(scenery.ours)]
    visitors = [scenery.staff(scenery.ours), *clients, scenery.nobody()]
    for route in routes(app):
        for names in (scenery.ours.names, {name: unknown(name) for name in scenery.ours.names}):
            for browser in visitors:
                for headers in ({}, {"HX-Request": "true"}):
                    path = route.path(names)
                    yield route, path, browser.open(path, method=route.method, headers=headers)


def test_every_answer_carries_the_security_headers_exactly(answers):
    for route, path, answer in answers:
        is_public = route.surface == "brand" and answer.status_code == 200
        expected = dict(HEADERS)
        if is_public:
            expected["Cache-Control"] = FOR_EVER
        if is_public and path.endswith(".png"):
            expected["Cross-Origin-Resource-Policy"] = "cross-origin"
        if route.endpoint == "panel.show_branding" and b"<iframe" in answer.data:
            expected["Content-Security-Policy"] = FRAMING_CSP
        if b"This link can't be opened" in answer.data or (answer.status_code == 303 and route.endpoint in EFFECTS):
            expected["Referrer-Policy"] = "no-referrer"
        for name, value in expected.items():
            assert answer.headers.getlist(name) == [value], f"{route}: {name}"
        assert "HX-Request" in answer.headers["Vary"], route
        assert "Server" not in answer.headers, route
        assert "unsafe" not in CSP


def test_no_page_holds_anything_that_its_policy_would_forbid(answers):
    for route, _path, answer in answers:
        if answer.mimetype != "text/html":
            continue
        text = answer.text
        assert "<script>" not in text, route
        assert " style=" not in text, route
        assert "hx-on" not in text, route
        assert "javascript:" not in text, route
        for address in ('src="http', "src='http", 'href="//', 'src="//', "@import"):
            assert address not in text, route


# ── Strangers: tests/security/test_row_46_tenants.py walks all addresses ────


def test_what_is_queued_is_unknown_to_its_client(app, scenery, clock):
    """A queued request is invisible, by its id too."""
    browser = scenery.client(scenery.ours)
    for act in ("start", "decline", "use"):
        path = f"/connect/{scenery.ours.names['bundle_id']}/requests/{{}}/{act}"
        answers = []
        for request_id in (scenery.ours.names["queued_id"], unknown("request_id")):
            at = path.format(request_id)
            answers.append(browser.post(at, data={"csrf_token": scenery.csrf(browser, at), "connection": "a" * 20}))
        assert answers[0].status_code == answers[1].status_code == 404
        assert answers[0].data == answers[1].data


# ── Teammates ───────────────────────────────────────────────────────────────


def test_the_table_of_what_managers_alone_may_do_names_views(app):
    assert {f"panel.{name}" for name in MANAGERS} <= set(app.view_functions)


def test_a_teammate_may_do_what_the_table_says(app, scenery, clock):
    names = {**scenery.ours.names, "app_key": "slack"}
    for route in routes(app):
        if route.surface != "panel" or route.endpoint in PUBLIC:
            continue
        scenery.restore()
        before = scenery.rows(scenery.ours)
        answer = send(scenery, scenery.staff(scenery.ours, "teammate"), route, route.path(names))
        is_for_managers = route.endpoint.removeprefix("panel.") in MANAGERS
        assert (answer.status_code == 403) is is_for_managers, route
        assert answer.status_code < 500, route
        if is_for_managers:
            assert scenery.rows(scenery.ours) == before, route


def test_an_owner_may_do_everything(app, scenery, clock):
    for route in routes(app):
        if route.surface != "panel" or route.endpoint in PUBLIC:
            continue
        scenery.restore()
        answer = send(scenery, scenery.staff(scenery.ours), route, route.path(scenery.ours.names))
        assert answer.status_code in (200, 204, 303, 409, 422), f"{route}: {answer.status_code}"

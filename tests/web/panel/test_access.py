import itertools
import re

import pytest

from app.web.panel import access
from tests import factories
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import HTMX, StaffBrowser

OPEN = {"panel.sign_in", "panel.submit_sign_in"}
NAMED = {"workspace_id": "abc", "app_key": "slack"}


def routes(app, *, prefix="panel."):
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith(prefix):
            for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
                yield rule, method


def address(rule, **ids):
    filled = NAMED | ids
    return re.sub(r"<(?:[^:>]+:)?([^>]+)>", lambda match: filled.get(match[1], "abc"), rule.rule)


def test_the_anonymous_get_in_nowhere(app, anybody):
    token = anybody.token()
    for rule, method in routes(app):
        if rule.endpoint in OPEN:
            continue
        answer = anybody.open(address(rule), method=method, headers={"X-CSRFToken": token})
        assert answer.status_code == 303, (rule, method, answer.status_code)
        assert answer.headers["Location"].startswith("/panel/sign-in"), rule
        assert answer.data.find(b"gh-panel") < 0


def test_the_anonymous_get_in_nowhere_by_htmx(app, anybody):
    token = anybody.token()
    for rule, method in routes(app):
        if rule.endpoint in OPEN:
            continue
        answer = anybody.open(address(rule), method=method, headers={"X-CSRFToken": token} | HTMX)
        assert (answer.status_code, answer.data) == (200, b""), (rule, method)
        assert answer.headers["HX-Redirect"].startswith("/panel/sign-in"), rule


def test_no_change_goes_without_a_token(app, maya):
    for rule, method in routes(app):
        if method != "GET":
            assert maya.open(address(rule), method=method).status_code == 400, rule


def test_no_change_is_asked_for_by_another_site(app, maya):
    token = maya.token()
    for rule, method in routes(app):
        if method != "GET":
            headers = {"X-CSRFToken": token, "Sec-Fetch-Site": "cross-site"}
            assert maya.open(address(rule), method=method, headers=headers).status_code == 403, rule


def test_a_strangers_workspace_is_as_unknown_as_one_that_is_not_there(app, agency, workspace, owner, sam):
    member = factories.make_member(workspace)
    token = sam.token()

    def answers(rule, method, ids):
        for headers in ({}, HTMX):
            answer = sam.open(address(rule, **ids), method=method, headers={"X-CSRFToken": token} | headers)
            yield answer.status_code, answer.data, sorted(answer.headers)

    seen = 0
    for rule, method in routes(app):
        if {"workspace_id"} <= rule.arguments <= {"workspace_id", "member_id"}:
            theirs = answers(rule, method, {"workspace_id": workspace.public_id, "member_id": member.public_id})
            nobodys = answers(rule, method, {"workspace_id": "x" * 20, "member_id": "y" * 20})
            for found, unknown in zip(theirs, nobodys, strict=True):
                assert found == unknown, (rule, method)
                assert found[0] == 404, (rule, method, found[0])
                seen += 1
    assert seen >= 20


def test_a_strangers_colleague_is_as_unknown_as_nobody(app, owner, sam):
    token = sam.token()
    for rule, method in routes(app):
        if "person_id" in rule.arguments:
            for person_id in (owner.public_id, "x" * 20):
                answer = sam.open(address(rule, person_id=person_id), method=method, headers={"X-CSRFToken": token})
                assert answer.status_code == 404, (rule, method)


MANAGED = re.compile(r"/panel/(people|branding)|/panel/apps/<app_key>/|POST /panel/apps")


def test_members_do_not_manage(app, tom):
    token = tom.token()
    refused = 0
    for rule, method in routes(app):
        if MANAGED.search(rule.rule) or MANAGED.match(f"{method} {rule.rule}"):
            answer = tom.open(address(rule), method=method, headers={"X-CSRFToken": token})
            assert answer.status_code == 403, (rule, method, answer.status_code)
            assert "Only owners and admins can do this" in answer.text
            refused += 1
    assert refused >= 15


@pytest.mark.parametrize("path", ["/panel/workspaces", "/panel/account", "/panel/apps", "/panel/apps/slack"])
def test_members_do_the_daily_work(tom, path):
    assert tom.get(path).status_code == 200


def test_the_menu_shows_what_one_may_do(maya, tom):
    def menu(browser):
        return re.findall(r'<li><a href="(/panel/[^"]*)"', browser.get("/panel/workspaces").text)

    assert {"/panel/workspaces", "/panel/apps", "/panel/branding", "/panel/people"} <= set(menu(maya))
    assert not {"/panel/branding", "/panel/people"} & set(menu(tom))


@pytest.mark.parametrize(
    "path", ["/panel/workspaces", "/panel/apps", "/panel/apps/slack", "/panel/branding", "/panel/people"]
)
def test_the_menu_marks_where_one_is(maya, path):
    current = re.findall(r'<a href="([^"]*)" aria-current="page"', maya.get(path).text)

    assert current == ["/".join(path.split("/")[:3])]


def test_a_session_ends_after_two_idle_hours(clock, maya):
    clock.forward(hours=1, minutes=59)
    assert maya.get("/panel/workspaces").status_code == 200
    clock.forward(hours=2)
    assert maya.get("/panel/workspaces").status_code == 303


def test_a_poll_keeps_no_session_awake(clock, maya):
    for _ in range(4):
        clock.forward(minutes=30)
        answer = maya.get("/panel/workspaces", htmx=True, **{"X-Poll": "1"})

    assert answer.headers["HX-Redirect"].startswith("/panel/sign-in")


def test_an_htmx_request_leads_back_to_its_page(anybody):
    url = "http://localhost/panel/people?after=x"
    answer = anybody.get("/panel/people/new", htmx=True, **{"HX-Current-URL": url})

    assert answer.headers["HX-Redirect"] == "/panel/sign-in?to=show_people"


@pytest.mark.parametrize("url", ["", "http://evil.example/nowhere", "javascript:alert(1)", "http://[", "☃"])
def test_an_htmx_request_from_nowhere_leads_nowhere(anybody, url):
    answer = anybody.get("/panel/people/new", htmx=True, **{"HX-Current-URL": url.encode().decode("latin-1")})

    assert answer.headers["HX-Redirect"] == "/panel/sign-in"


@pytest.mark.parametrize("name", ["%00", "%E2%98%83", "%0A", "a%27b"])
def test_odd_ids_are_unknown_ones(maya, name):
    assert maya.get(f"/panel/workspaces/{name}").status_code == 404
    assert maya.get(f"/panel/apps/{name}").status_code == 404


def test_every_page_says_that_it_is_not_to_be_kept(maya):
    headers = maya.get("/panel/workspaces").headers

    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_the_address_of_the_visitor_is_written_down(app, owner):
    from app.extensions import db
    from app.models import AuditEvent

    browser = StaffBrowser(app)
    browser.web.post(
        "/panel/sign-in",
        data={"csrf_token": browser.token(), "email": owner.email, "password": factories.PASSWORD},
        environ_overrides={"REMOTE_ADDR": "192.0.2.7"},
    )

    rows = list(itertools.chain(db.session.scalars(db.select(AuditEvent).where(AuditEvent.type == "staff.signed_in"))))
    assert [row.address for row in rows] == ["192.0.2.7"]


def test_open_is_short():
    assert OPEN == access.OPEN

import hashlib
import re

import pytest
from flask import request, session

from app.config import Config
from app.web.sessions import Surface, current_session, get_cookie, session_of, set_cookie, surface_of
from tests.web.tiny import HTTPS, browser, cookies_of, tiny_app


@pytest.fixture(scope="module")
def web():
    return tiny_app()


@pytest.fixture(scope="module")
def secure():
    return tiny_app(Config(base_url=HTTPS))


@pytest.mark.parametrize(
    ("path", "surface"),
    [
        ("/panel/workspaces", Surface.STAFF),
        ("/setup", Surface.STAFF),
        ("/oauth/callback", Surface.INTAKE),
        ("/", Surface.STAFF),
        ("/connect/abc", Surface.INTAKE),
        ("/l/abc", Surface.INTAKE),
        ("/portal/login", Surface.PORTAL),
        ("/portals", Surface.STAFF),
    ],
)
def test_surface_of_goes_by_the_first_part_of_the_path(path, surface):
    assert surface_of(path) is surface


@pytest.mark.parametrize(
    ("path", "name"), [("/panel/form", "gh_staff"), ("/connect/form", "gh_intake"), ("/portal/form", "gh_portal")]
)
def test_a_form_sets_the_cookie_of_its_surface(web, secure, path, name):
    (plain,) = cookies_of(browser(web).get(path))
    (strict,) = cookies_of(browser(secure, HTTPS).get(path))

    assert re.match(rf"{name}=[A-Za-z0-9_-]{{43}};", plain)
    assert re.match(rf"__Host-{name}=[A-Za-z0-9_-]{{43}};", strict)
    for cookie in (plain, strict):
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
        assert "Domain" not in cookie
    assert "Secure" in strict.split("; ")
    assert "Secure" not in plain.split("; ")


@pytest.mark.parametrize("path", ["/panel/quiet", "/nowhere", "/l/abc", "/healthz"])
def test_an_answer_without_a_form_sets_no_cookie(web, path):
    assert cookies_of(browser(web).get(path)) == []


def test_a_refused_change_sets_no_cookie(web):
    assert cookies_of(browser(web).post("/panel/form")) == []


def test_the_cookie_is_set_once(web):
    client = browser(web)
    client.get("/panel/form")

    assert cookies_of(client.get("/panel/form")) == []


@pytest.mark.parametrize("value", ["", "short", "x" * 44, "." * 43, "x" * 42 + "%"])
def test_a_malformed_cookie_is_replaced(web, value):
    client = browser(web)
    client.set_cookie("gh_staff", value, domain="localhost")

    (cookie,) = cookies_of(client.get("/panel/form"))

    assert f"gh_staff={value};" not in cookie


def test_a_cookie_without_the_prefix_counts_for_nothing_on_https(secure):
    client = browser(secure, HTTPS)
    client.set_cookie("gh_staff", "a" * 43, domain="access.northwind.example")

    assert cookies_of(client.get("/panel/form"))


def test_signing_in_rotates_the_id_and_out_deletes_it(web):
    client = browser(web)
    token = client.get("/panel/form").text
    before = client.get_cookie("gh_staff").value

    client.post("/panel/sign-in", data={"csrf_token": token})
    after = client.get_cookie("gh_staff").value
    client.post("/panel/sign-out", data={"csrf_token": client.get("/panel/form").text})

    assert before != after
    assert client.get_cookie("gh_staff") is None


def test_id_hash_is_the_sha256_of_the_id(web):
    with web.test_request_context("/panel", headers={"Cookie": f"gh_staff={'b' * 43}"}):
        assert current_session().id == "b" * 43
        assert current_session().id_hash == hashlib.sha256(b"b" * 43).digest()
        assert not current_session().is_new


def test_session_of_reads_another_surface_without_touching_it(web):
    with web.test_request_context("/panel", headers={"Cookie": f"gh_intake={'c' * 43}"}):
        assert session_of(Surface.INTAKE).id == "c" * 43
        assert current_session().id != "c" * 43
        assert session_of(Surface.PORTAL).is_new


def test_keep_sets_the_cookie_of_a_new_session_only():
    app = tiny_app(
        extend=lambda app: app.add_url_rule("/connect/keep", "keep", lambda: current_session().keep() or "ok")
    )
    client = browser(app)

    assert cookies_of(client.get("/connect/keep"))[0].startswith("gh_intake=")
    assert cookies_of(client.get("/connect/keep")) == []


def test_a_session_stores_nothing(web):
    with web.test_request_context("/panel"):
        with pytest.raises(TypeError):
            session["basket"] = "full"
        with pytest.raises(KeyError):
            session["basket"]
        assert list(session) == ["csrf_token"]


def test_other_cookies_keep_the_same_rules(secure):
    def give():
        response = app.make_response(get_cookie("gh_flow") or "none")
        set_cookie(response, "gh_flow", "value", max_age=900)
        return response

    app = tiny_app(Config(base_url=HTTPS), extend=lambda app: app.add_url_rule("/give", "give", give))
    client = browser(app, HTTPS)
    (cookie,) = cookies_of(client.get("/give"))

    assert cookie.startswith("__Host-gh_flow=value; ")
    assert {"Max-Age=900", "Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert client.get("/give").text == "value"


def test_request_stays_flasks_own(web):
    with web.test_request_context("/panel", headers={"HX-Request": "true"}):
        assert request.htmx

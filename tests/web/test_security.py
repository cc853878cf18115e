import pytest
import time_machine

from app.config import Config
from app.extensions import db
from tests.web.tiny import HTTP, HTTPS, browser, tiny_app

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin-allow-popups",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Vary": "HX-Request",
}


@pytest.fixture(scope="module")
def web():
    return tiny_app()


@pytest.fixture
def visitor(web):
    return browser(web)


@pytest.fixture(scope="module")
def secure():
    return tiny_app(Config(base_url=HTTPS))


def token_of(client, path="/panel/form", **kwargs):
    return client.get(path, **kwargs).text


@pytest.mark.parametrize("path", ["/panel/quiet", "/panel/page", "/nowhere", "/l/anything", "/healthz"])
@pytest.mark.parametrize(("name", "value"), HEADERS.items())
def test_every_answer_carries_the_security_headers(visitor, path, name, value):
    assert visitor.get(path).headers[name] == value or (path.startswith("/l/") and name == "Referrer-Policy")


def test_a_view_keeps_the_headers_it_sets_itself(visitor):
    headers = visitor.get("/panel/own-headers").headers

    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers.getlist("Cache-Control") == ["public, max-age=1"]
    assert headers.getlist("Vary") == ["Origin, HX-Request"]
    assert headers["Content-Security-Policy"] == CSP


def test_hsts_is_sent_on_https_alone(visitor, secure):
    assert "Strict-Transport-Security" not in visitor.get("/panel/quiet").headers
    answer = browser(secure, HTTPS).get("/panel/quiet")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize(
    ("base_url", "host", "status"),
    [
        (HTTP, "localhost:8000", 200),
        (HTTP, "LOCALHOST:8000", 200),
        (HTTP, "localhost", 400),
        (HTTP, "localhost:8001", 400),
        (HTTP, "evil.example", 400),
        (HTTP, "evil.example:8000", 400),
        (HTTP, "localhost:8000.evil.example", 400),
        (HTTP, "", 400),
        (HTTPS, "access.northwind.example", 200),
        (HTTPS, "access.northwind.example:443", 200),
        (HTTPS, "access.northwind.example:80", 400),
        (HTTPS, "northwind.example", 400),
    ],
)
def test_only_the_configured_host_is_answered(web, secure, base_url, host, status):
    app = web if base_url == HTTP else secure
    answer = app.test_client().get("/panel/quiet", headers={"Host": host})

    assert answer.status_code == status


def test_an_unknown_host_gets_no_static_file_and_the_headers(web):
    with web.test_request_context():
        address = web.jinja_env.globals["static_url"]("style.css")

    answer = web.test_client().get(address, headers={"Host": "evil.example"})

    assert answer.status_code == 400
    assert answer.headers["Content-Security-Policy"] == CSP


@pytest.mark.parametrize(
    ("path", "status"), [("/healthz", 200), ("/readyz", 200), ("/metrics", 200), ("/panel/quiet", 400)]
)
def test_probes_alone_come_by_any_name(web, path, status):
    assert web.test_client().get(path, headers={"Host": "10.0.0.7:9000"}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": HTTP}, 403),
        ({}, 200),
        ({"Origin": HTTP}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:8001"}, 403),
    ],
)
def test_a_change_is_asked_for_by_our_own_pages_only(visitor, headers, status):
    token = token_of(visitor)

    answer = visitor.post("/panel/form", data={"csrf_token": token}, headers=headers)

    assert answer.status_code == status


def test_reading_is_open_to_links_from_anywhere(visitor):
    assert visitor.get("/panel/page", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_every_unsafe_method_needs_a_csrf_token(method):
    app = tiny_app(extend=lambda app: app.add_url_rule("/panel/any", "any", lambda: "ok", methods=[method.upper()]))
    client = browser(app)
    token = token_of(client)

    assert getattr(client, method)("/panel/any").status_code == 400
    assert getattr(client, method)("/panel/any", headers={"X-CSRFToken": token}).status_code == 200


def test_a_csrf_token_is_of_one_browser_and_one_surface(web, visitor):
    token = token_of(visitor)
    other = browser(web)
    token_of(other)

    assert visitor.post("/panel/form", data={"csrf_token": token}).status_code == 200
    assert other.post("/panel/form", data={"csrf_token": token}).status_code == 400
    token_of(visitor, "/connect/form")
    assert visitor.post("/connect/form", data={"csrf_token": token}).status_code == 400


def test_a_csrf_token_lives_as_long_as_its_page_is_open(visitor):
    token = token_of(visitor)

    with time_machine.travel("2031-01-01", tick=False):
        assert visitor.post("/panel/form", data={"csrf_token": token}).status_code == 200


def test_a_csrf_token_dies_with_a_sign_in(visitor):
    token = token_of(visitor)
    visitor.post("/panel/sign-in", data={"csrf_token": token})

    assert visitor.post("/panel/form", data={"csrf_token": token}).status_code == 400
    assert visitor.post("/panel/form", data={"csrf_token": token_of(visitor)}).status_code == 200


@pytest.mark.parametrize("hops", [0, 1, 2])
def test_forwarded_headers_count_only_for_the_configured_hops(hops):
    client = browser(tiny_app(Config(base_url=HTTPS, proxy_hops=hops)), HTTPS)
    forwarded = {"X-Forwarded-For": "198.51.100.7, 203.0.113.9", "X-Forwarded-Proto": "https, http"}

    seen = client.get("/panel/quiet", headers=forwarded).get_json()

    assert seen["address"] == ["127.0.0.1", "203.0.113.9", "198.51.100.7"][hops]
    assert seen["scheme"] == ["https", "http", "https"][hops]


@pytest.mark.parametrize("path", ["/panel/where", "/connect/where", "/portal/where", "/oauth/where", "/where"])
def test_every_surface_tells_services_the_visitors_address(path):
    behind = tiny_app(
        Config(base_url=HTTPS, proxy_hops=1),
        extend=lambda app: app.add_url_rule(path, "where", lambda: str(db.session().info.get("address"))),
    )

    answer = browser(behind, HTTPS).get(path, headers={"X-Forwarded-For": "203.0.113.9"})

    assert answer.text == "203.0.113.9"


def test_a_forwarded_host_is_checked_like_any(secure):
    behind = tiny_app(Config(base_url=HTTPS, proxy_hops=1)).test_client()

    assert behind.get("/panel/quiet", headers={"X-Forwarded-Host": "access.northwind.example"}).status_code == 200
    assert behind.get("/panel/quiet", headers={"X-Forwarded-Host": "evil.example"}).status_code == 400
    direct = secure.test_client()
    assert direct.get("/panel/quiet", headers={"X-Forwarded-Host": "access.northwind.example"}).status_code == 400


def test_https_asks_for_a_referrer_of_our_own_on_changes(secure):
    client = browser(secure, HTTPS)
    token = token_of(client, headers={"Referer": f"{HTTPS}/panel"})

    ours = client.post("/panel/form", data={"csrf_token": token}, headers={"Referer": f"{HTTPS}/panel/form"})
    foreign = client.post("/panel/form", data={"csrf_token": token}, headers={"Referer": "https://evil.example/"})

    assert (ours.status_code, foreign.status_code) == (200, 400)

"""What is sent as given, and what is never remembered, shown or followed."""

import logging
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from authlib.integrations.httpx_client import OAuth2Client
from pytest_httpserver import HTTPServer
from werkzeug import Response

from app import egress as outside
from app.egress import EgressFailed, EgressRefused


def test_request_follows_no_redirect_and_keeps_no_cookie(httpserver: HTTPServer, egress):
    httpserver.expect_request("/").respond_with_data(
        "", status=302, headers={"Location": "/elsewhere", "Set-Cookie": "sid=1; Path=/"}
    )

    first = egress.request("GET", httpserver.url_for("/"))
    egress.request("GET", httpserver.url_for("/"))

    assert (first.status, first.ok, first.headers["location"]) == (302, False, "/elsewhere")
    assert "set-cookie" not in first.headers
    assert [asked.path for asked, _ in httpserver.log] == ["/", "/"]
    assert not httpserver.log[1][0].cookies


def test_request_sends_what_it_is_given(httpserver: HTTPServer, egress):
    httpserver.expect_request("/").respond_with_handler(lambda asked: Response(asked.get_data()))

    form = egress.request("POST", httpserver.url_for("/"), data={"a": "b c&d"}, auth=httpx2.BasicAuth("u", "p"))
    sent = egress.request("DELETE", httpserver.url_for("/?x=1"), json={"a": 1}, headers={"X-Extra": "yes"})

    assert form.body == b"a=b+c%26d"
    assert sent.json() == {"a": 1}
    first, second = (asked for asked, _ in httpserver.log)
    assert first.authorization.username == "u"
    assert first.headers["User-Agent"] == "Gatehouse"
    assert first.headers["Accept-Encoding"] == "gzip"
    assert (second.headers["X-Extra"], second.query_string) == ("yes", b"x=1")


def test_parameters_join_those_that_the_address_has(egress, httpserver):
    httpserver.expect_request("/x", query_string={"type": "1", "b": "2"}).respond_with_data("both")

    assert egress.request("GET", httpserver.url_for("/x?type=1"), params={"b": "2"}).body == b"both"


def test_request_shows_no_secret_in_errors_or_logs(httpserver: HTTPServer, egress, caplog):
    caplog.set_level(logging.DEBUG)
    httpserver.expect_request("/canary-path").respond_with_data("{}")

    egress.request("GET", httpserver.url_for("/canary-path"), headers={"Authorization": "Bearer canary-token"})
    with pytest.raises((EgressFailed, EgressRefused)) as failure:
        egress.request("GET", httpserver.url_for("/"), headers={"Authorization": "Bearer canary\r\ntoken"})

    assert "canary" not in "".join(record.getMessage() for record in caplog.records if record.name != "werkzeug")
    assert "canary" not in "".join(str(error) for error in (failure.value, failure.value.args))
    assert failure.value.__suppress_context__


def test_request_gives_each_of_many_threads_its_own_answer(httpserver: HTTPServer, egress):
    httpserver.expect_request("/").respond_with_handler(lambda asked: Response(asked.args["n"]))
    url = httpserver.url_for("/")

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: egress.request("GET", url, params={"n": str(n)}).body, range(80)))

    assert answers == [str(n).encode() for n in range(80)]


def test_transport_guards_an_authlib_client_too_and_survives_its_closing(httpserver: HTTPServer, egress):
    httpserver.expect_request("/token").respond_with_json({"access_token": "a", "token_type": "bearer"})
    for _ in range(2):
        with OAuth2Client("id", "secret", transport=egress.transport(), trust_env=False, leeway=0) as client:
            assert client.fetch_token(httpserver.url_for("/token"), code="c")["access_token"] == "a"
            with pytest.raises(EgressRefused):
                client.fetch_token("https://10.0.0.1/token", code="c")


def test_current_is_what_was_installed(egress, monkeypatch):
    monkeypatch.setattr(outside, "_installed", [])
    with pytest.raises(RuntimeError):
        outside.current()

    outside.install(egress)

    assert outside.current() is egress

import http.client
import json
import sys
import urllib.request

import flask
import pytest

from tests.support.processes import ProcessFailed, environment, free_port
from tests.support.servers import answers, serve_in_thread, serve_process
from tests.support.tls_proxy import tls_proxy

app = flask.Flask(__name__)


@app.route("/seen", methods=["GET", "POST"])
def seen() -> flask.Response:
    answer = flask.jsonify(
        headers=dict(flask.request.headers), body=flask.request.get_data(as_text=True), scheme=flask.request.scheme
    )
    answer.headers.extend([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return answer


@app.get("/stream")
def stream() -> flask.Response:
    return flask.Response(iter(["one ", "two"]), mimetype="text/plain")


@app.get("/nothing")
def nothing() -> tuple[str, int]:
    return "", 204


@pytest.fixture
def secure(authority):
    with serve_in_thread(app) as served, tls_proxy(authority, served.url) as proxy:
        connection = http.client.HTTPSConnection(proxy.url.removeprefix("https://"), context=authority.client_context())
        yield connection
        connection.close()


def test_serve_in_thread_knows_its_url_before_there_is_an_application():
    with serve_in_thread() as served:
        assert answers(served.url)
        served.app = app
        with urllib.request.urlopen(f"{served.url}/stream") as response:
            assert response.read() == b"one two"
    assert not answers(served.url)


def test_tls_proxy_says_who_came_and_how(secure):
    secure.request("POST", "/seen", body="x=1", headers={"X-Forwarded-Proto": "gopher", "X-Forwarded-For": "6.6.6.6"})
    response = secure.getresponse()
    said = json.load(response)

    assert said["body"] == "x=1"
    assert said["headers"]["X-Forwarded-Proto"] == "https"
    assert said["headers"]["X-Forwarded-For"] == "6.6.6.6, 127.0.0.1"
    assert said["headers"]["X-Forwarded-Host"] == said["headers"]["Host"] == f"localhost:{secure.port}"
    assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]


def test_tls_proxy_keeps_one_connection_for_many_answers(secure):
    for method, path, body in [
        ("GET", "/stream", b"one two"),
        ("HEAD", "/stream", b""),
        ("GET", "/nothing", b""),
        ("GET", "/stream", b"one two"),
    ]:
        secure.request(method, path)
        first = secure.sock
        assert secure.getresponse().read() == body
        assert secure.sock is first


def test_serve_process_waits_for_the_answer_and_ends_it():
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with serve_process([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)], url=url) as started:
        assert answers(url)
        assert "GET / HTTP" in started.output()
    assert started.process.returncode is not None
    assert not answers(url)


def test_serve_process_tells_why_it_did_not_start():
    with (
        pytest.raises(ProcessFailed, match="No module named nonesuch"),
        serve_process([sys.executable, "-m", "nonesuch"], url="http://127.0.0.1:1"),
    ):
        pass


def test_environment_leaves_settings_behind(monkeypatch):
    monkeypatch.setenv("GATEHOUSE_BASE_URL", "https://leak.example")
    assert "GATEHOUSE_BASE_URL" not in environment()
    assert environment(GATEHOUSE_BASE_URL="x")["GATEHOUSE_BASE_URL"] == "x"

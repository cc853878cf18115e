"""The way out: where it refuses to go, what it bounds, and what it never remembers."""

from __future__ import annotations

import gzip
import logging
import re
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from ipaddress import ip_network

import httpx2
import pytest
import trustme
from authlib.integrations.httpx_client import OAuth2Client
from pytest_httpserver import HTTPServer
from werkzeug import Response

from app import egress as outside
from app.egress import Egress, EgressFailed, EgressRefused, parse_json
from app.egress.addresses import is_public, parse

TLS = ssl.create_default_context()  # one for all tests: loading the trust store takes a while
LOOPBACK = (ip_network("127.0.0.0/8"),)

SPELLINGS = [
    "127.0.0.1",
    "127.0.0.2",
    "127.1",
    "127.0.1",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0x7f000001",
    "0x7F.0x0.0x0.0x1",
    "0x7f.1",
    "127.0.0.0x1",
    "0",
    "0.0.0.0",
    "00000127.0.0.1",
    "127.0.0.1.",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "1２7.0.0.1",
    "①②⑦.0.0.1",
    "127。0。0。1",
    "%31%32%37.0.0.1",
    "127.0.0.1%00.example",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[2002:7f00:1::]",
    "[2002:7f00:0001::1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2001:0:7f00:1::]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[::1%25lo]",
    "[2606:4700::5efe:7f00:1]",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[fec0::1]",
    "[ff02::1]",
    "10.0.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "192.168.1.1",
    "198.18.0.1",
    "192.88.99.1",
    "224.0.0.1",
    "255.255.255.255",
    "provider.example@127.0.0.1",
    "127.0.0.1\\@provider.example",
]
NUMBERS = [
    bare
    for bare in (spelling.strip("[]") for spelling in SPELLINGS)
    if re.fullmatch(r"(\d+\.){3}\d+|[0-9a-f.]*:[0-9a-f:.]+", bare)
]


@pytest.fixture(scope="session")
def httpserver_listen_address() -> tuple[str, int]:
    return ("127.0.0.1", 0)


@pytest.fixture
def egress() -> Iterator[Egress]:
    client = Egress(LOOPBACK, tls=TLS)
    yield client
    client.close()


class Listener:
    """A loopback server that plays a script to everyone who connects, and counts them."""

    def __init__(self, script: Callable[[socket.socket], None], address: str = "127.0.0.1") -> None:
        self.script, self.seen = script, 0
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.create_server((address, 0), family=family)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{address}:{self.port}/"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.seen += 1
            with closing(connection):
                connection.settimeout(5)
                with suppress(OSError):
                    self.script(connection)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


@contextmanager
def listening(script: Callable[[socket.socket], None], address: str = "127.0.0.1") -> Iterator[Listener]:
    listener = Listener(script, address)
    try:
        yield listener
    finally:
        listener.close()


def answering(answer: bytes) -> Callable[[socket.socket], None]:
    def script(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    return script


def trickling(first: bytes) -> Callable[[socket.socket], None]:
    def script(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(first)
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.05)

    return script


# Where it goes


def test_spellings_are_many():
    assert len(set(SPELLINGS)) >= 50
    assert len(set(NUMBERS)) >= 30


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_request_reaches_no_private_address_however_it_is_spelt(scheme):
    guarded = Egress(tls=TLS)
    with listening(answering(b"")) as four, listening(answering(b""), "::1") as six:
        for spelling in SPELLINGS:
            for port in (four.port, six.port):
                with pytest.raises(EgressRefused):
                    guarded.request("GET", f"{scheme}://{spelling}:{port}/")
        assert (four.seen, six.seen) == (0, 0)


@pytest.mark.parametrize("spelling", NUMBERS)
def test_request_refuses_a_name_that_resolves_to_a_private_address(spelling):
    guarded = Egress(tls=TLS, resolver=lambda _host, _port: [spelling])

    with pytest.raises(EgressRefused) as refusal:
        guarded.request("GET", "https://provider.example/")

    assert refusal.value.reason == "address"


def test_request_refuses_a_name_if_any_of_its_addresses_is_private():
    guarded = Egress(tls=TLS, resolver=lambda _host, _port: ["93.184.216.34", "10.0.0.8"])

    with pytest.raises(EgressRefused, match="address"):
        guarded.request("GET", "https://provider.example/")


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "2001:4860:4860::8888", "64:ff9b::808:808", "::ffff:8.8.8.8"],
)
def test_is_public_knows_the_public(address):
    assert is_public(parse(address))


def test_request_refuses_plain_http_to_a_public_address():
    guarded = Egress(LOOPBACK, tls=TLS, resolver=lambda _host, _port: ["93.184.216.34"])

    with pytest.raises(EgressRefused, match="scheme"):
        guarded.request("GET", "http://provider.example/")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://provider.example/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://provider.example/", "scheme"),
        ("//provider.example/", "scheme"),
        ("provider.example", "scheme"),
        ("", "scheme"),
        ("https://", "scheme"),
        ("https:///path", "scheme"),
        ("https://u:p@provider.example/", "userinfo"),
        ("https://u@provider.example/", "userinfo"),
        ("https://provider.example:22/", "port"),
        ("https://provider.example:25/", "port"),
        ("https://provider.example:80/", "port"),
        ("https://provider.example:0/", "port"),
        ("https://provider.example:65536/", "port"),
        ("https://provider.example:-1/", "port"),
        ("https://provider.example:x/", "url"),
        ("https://provider.example./", "host"),
        ("https://provider..example/", "host"),
        ("https://-provider.example/", "host"),
        ("https://pro vider.example/", "host"),
        ("https://provider.example\r\nHost: x/", "url"),
        ("https://provider.example/\r\nX: y", "url"),
        ("https://" + "a" * 64 + ".example/", "host"),
        ("https://" + "a." * 127 + "example/", "host"),
        ("https://[::1", "url"),
        ("https://1.2.3.4.5/", "host"),
        ("https://provider.0x7f/", "host"),
    ],
)
def test_request_refuses_an_address_that_is_not_plain(url, reason):
    guarded = Egress(tls=TLS, resolver=lambda _host, _port: pytest.fail("looked up"))

    with pytest.raises(EgressRefused) as refusal:
        guarded.request("GET", url)

    assert refusal.value.reason == reason


def test_request_uses_the_address_that_was_checked_and_looks_up_once(httpserver: HTTPServer, monkeypatch):
    httpserver.expect_request("/").respond_with_data("here", headers={"Connection": "close"})
    answers = iter([["127.0.0.1"], ["127.0.0.9"], ["10.0.0.1"]])
    asked: list[str] = []

    def rebinding(host: str, _port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    real, looked_up = socket.getaddrinfo, []

    def watched(host, *rest, **named):
        looked_up.append(host)
        return real(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", watched)
    guarded = Egress((ip_network("127.0.0.1/32"),), resolver=rebinding)
    url = f"http://rebinding.example:{httpserver.port}/"

    assert guarded.request("GET", url).body == b"here"
    assert asked == ["rebinding.example"]
    assert set(looked_up) <= {"127.0.0.1"}
    for _ in range(2):
        with pytest.raises(EgressRefused, match="address"):
            guarded.request("GET", url)
    assert len(httpserver.log) == 1


def test_request_tries_the_next_address_when_one_is_dead(httpserver: HTTPServer):
    httpserver.expect_request("/").respond_with_data("here")
    guarded = Egress(LOOPBACK, resolver=lambda _host, _port: ["127.0.0.77", "127.0.0.1"])

    assert guarded.request("GET", f"http://two.example:{httpserver.port}/").body == b"here"


def test_request_ignores_proxies_and_netrc_of_the_environment(httpserver: HTTPServer, egress, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login u password p\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    httpserver.expect_request("/").respond_with_data("direct")

    assert egress.request("GET", httpserver.url_for("/")).body == b"direct"
    assert "Authorization" not in httpserver.log[0][0].headers


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_server(authority) -> Iterator[Listener]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("provider.example").configure_cert(context)
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    def script(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(65536)
            secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    with listening(script) as listener:
        listener.names = names
        yield listener


def trusting(authority: trustme.CA) -> Egress:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return Egress(LOOPBACK, resolver=lambda _host, _port: ["127.0.0.1"], tls=context)


def test_request_verifies_the_certificate_for_the_name_asked(authority, tls_server):
    guarded = trusting(authority)

    assert guarded.request("GET", f"https://provider.example:{tls_server.port}/").body == b"ok"
    assert tls_server.names == ["provider.example"]


def test_request_fails_for_a_certificate_of_another_name(authority, tls_server):
    with pytest.raises(EgressFailed) as failure:
        trusting(authority).request("GET", f"https://other.example:{tls_server.port}/")

    assert failure.value.reason == "tls"


def test_request_fails_for_an_unknown_authority(tls_server):
    guarded = Egress(LOOPBACK, resolver=lambda _host, _port: ["127.0.0.1"])

    with pytest.raises(EgressFailed) as failure:
        guarded.request("GET", f"https://provider.example:{tls_server.port}/")

    assert failure.value.reason == "tls"


# How long and how much


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(trickling(b"HTTP/1.1 200 OK\r\nX-Slow: "), id="header"),
        pytest.param(trickling(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"), id="body"),
        pytest.param(trickling(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n"), id="chunks"),
        pytest.param(lambda _connection: time.sleep(0.8), id="silence"),
    ],
)
def test_request_ends_at_its_deadline_however_the_answer_trickles(egress, script):
    with listening(script) as slow:
        started = time.monotonic()
        with pytest.raises(EgressFailed, match="timeout"):
            egress.request("GET", slow.url, deadline=0.3)

        assert time.monotonic() - started < 0.6


def test_request_ends_at_its_deadline_in_the_handshake_and_in_the_look_up(authority):
    with listening(lambda _connection: time.sleep(0.8)) as mute:
        started = time.monotonic()
        with pytest.raises(EgressFailed, match="timeout"):
            trusting(authority).request("GET", f"https://provider.example:{mute.port}/", deadline=0.3)
        hanging = Egress(tls=TLS, resolver=lambda _host, _port: time.sleep(0.8) or [])
        with pytest.raises(EgressFailed, match="timeout"):
            hanging.request("GET", "https://provider.example/", deadline=0.3)

        assert time.monotonic() - started < 1.2


@pytest.mark.parametrize("deadline", [0, -1, 30.5])
def test_request_refuses_a_deadline_out_of_bounds(egress, deadline):
    with pytest.raises(EgressRefused, match="deadline"):
        egress.request("GET", "https://provider.example/", deadline=deadline)


def test_request_reads_a_mebibyte_and_not_a_byte_more(httpserver: HTTPServer, egress):
    httpserver.expect_request("/full").respond_with_data(b"x" * 1024 * 1024)
    httpserver.expect_request("/over").respond_with_data(b"x" * (1024 * 1024 + 1))

    assert len(egress.request("GET", httpserver.url_for("/full")).body) == 1024 * 1024
    with pytest.raises(EgressFailed, match="too_large"):
        egress.request("GET", httpserver.url_for("/over"))


def test_request_stops_an_endless_body_early(egress):
    sent = 0

    def endless(connection: socket.socket) -> None:
        nonlocal sent
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while sent < 200_000_000:
            connection.sendall(b"x" * 65536)
            sent += 65536

    with listening(endless) as listener, pytest.raises(EgressFailed, match="too_large"):
        egress.request("GET", listener.url)

    assert sent < 20_000_000


def test_request_stops_a_gzip_bomb_early(httpserver: HTTPServer, egress):
    bomb = gzip.compress(b"\0" * 100_000_000)
    httpserver.expect_request("/").respond_with_data(bomb, headers={"Content-Encoding": "gzip"})

    tracemalloc.start()
    with pytest.raises(EgressFailed, match="too_large"):
        egress.request("GET", httpserver.url_for("/"))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < 40_000_000


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("br", b"\x0b"),
        ("gzip, gzip", b""),
        ("zstd", b""),
        ("gzip", b"not gzip"),
        ("gzip", gzip.compress(b"cut short")[:-9]),
    ],
)
def test_request_fails_for_an_encoding_that_was_not_offered_or_is_broken(httpserver: HTTPServer, egress, coding, body):
    httpserver.expect_request("/").respond_with_data(body, headers={"Content-Encoding": coding})

    with pytest.raises(EgressFailed, match="encoding"):
        egress.request("GET", httpserver.url_for("/"))


def test_request_unzips(httpserver: HTTPServer, egress):
    httpserver.expect_request("/").respond_with_data(gzip.compress(b'{"a": 1}'), headers={"Content-Encoding": "gzip"})

    answer = egress.request("GET", httpserver.url_for("/"))

    assert answer.json() == {"a": 1}
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "protocol"),
        (b"SSH-2.0-OpenSSH\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000 + b"\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", "protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n\r\n", "too_large"),
    ],
)
def test_request_fails_for_what_is_no_answer(egress, answer, reason):
    with listening(answering(answer)) as odd, pytest.raises(EgressFailed) as failure:
        egress.request("GET", odd.url)

    assert failure.value.reason in {reason, "connection"}


def test_request_fails_where_nobody_listens_or_the_name_is_unknown(egress):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    def unknown(_host: str, _port: int) -> list[str]:
        raise socket.gaierror

    with pytest.raises(EgressFailed, match="connect"):
        egress.request("GET", f"http://127.0.0.1:{port}/")
    with pytest.raises(EgressFailed, match="resolve"):
        Egress(tls=TLS, resolver=unknown).request("GET", "https://nowhere.example/")


# What it does not do


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


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{",
        b'{"a": 1, "a": 2}',
        b'{"x": {"a": 1, "a": 1}}',
        b"\xff\xfe{}",
        b'{"a": "\xe9"}',
        b"[" * 100_000,
        b"{'a': 1}",
        b'{"a": 1} trailing',
    ],
)
def test_parse_json_fails_in_one_way(body):
    with pytest.raises(EgressFailed, match="not_json"):
        parse_json(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'\xef\xbb\xbf{"a": "\xc3\xa9"}', {"a": "é"}),
        (b'{"a": NaN, "b": -Infinity}', {"a": None, "b": None}),
        (b'{"a": ' + b"9" * 5000 + b"}", {"a": None}),
        (b'{"a": 12345678901234567890}', {"a": 12345678901234567890}),
    ],
)
def test_parse_json_reads_what_is_meant(body, value):
    assert parse_json(body) == value


def test_parameters_join_those_that_the_address_has(egress, httpserver):
    httpserver.expect_request("/x", query_string={"type": "1", "b": "2"}).respond_with_data("both")

    assert egress.request("GET", httpserver.url_for("/x?type=1"), params={"b": "2"}).body == b"both"

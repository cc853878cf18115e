"""How long an exchange may take, and how much it may bring."""

import gzip
import socket
import threading
import time
import tracemalloc

import pytest
from pytest_httpserver import HTTPServer

from app.egress import Egress, EgressFailed, EgressRefused
from tests.egress.conftest import TLS, trusting
from tests.support.listeners import answering, listening, trickling

SOON = 3.5  # seconds: no deadline here is so long, however busy the machine, and nobody gives up sooner by himself


def mute(connection: socket.socket) -> None:
    """Say nothing until the other end has gone."""
    while connection.recv(65536):
        pass


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(trickling(b"HTTP/1.1 200 OK\r\nX-Slow: "), id="header"),
        pytest.param(trickling(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"), id="body"),
        pytest.param(trickling(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n"), id="chunks"),
        pytest.param(mute, id="silence"),
    ],
)
def test_request_ends_at_its_deadline_however_the_answer_trickles(egress, script):
    with listening(script) as slow:
        started = time.monotonic()
        with pytest.raises(EgressFailed, match="timeout"):
            egress.request("GET", slow.url, deadline=0.3)

        assert time.monotonic() - started < SOON


def test_request_ends_at_its_deadline_in_the_handshake_and_in_the_look_up(authority):
    over = threading.Event()
    with listening(mute) as silent:
        started = time.monotonic()
        with pytest.raises(EgressFailed, match="timeout"):
            trusting(authority).request("GET", f"https://provider.example:{silent.port}/", deadline=0.3)
        hanging = Egress(tls=TLS, resolver=lambda _host, _port: over.wait(30) and [])
        with pytest.raises(EgressFailed, match="timeout"):
            hanging.request("GET", "https://provider.example/", deadline=0.3)
        over.set()

        assert time.monotonic() - started < SOON


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
        ("gzip", gzip.compress(b"cut short", mtime=0)[:-9]),
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

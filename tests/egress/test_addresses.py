"""Where the way out leads: never to a private address, and to the one that was checked."""

import socket
from ipaddress import ip_network

import pytest
from pytest_httpserver import HTTPServer

from app.egress import Egress, EgressFailed, EgressRefused
from app.egress.addresses import is_public, parse
from tests.egress.conftest import LOOPBACK, TLS
from tests.support.spellings import NUMBERS


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


def test_request_fails_where_nobody_listens_or_the_name_is_unknown(egress):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    def unknown(_host: str, _port: int) -> list[str]:
        raise socket.gaierror

    with pytest.raises(EgressFailed, match="connect"):
        egress.request("GET", f"http://127.0.0.1:{port}/")
    with pytest.raises(EgressFailed, match="resolve"):
        Egress(tls=TLS, resolver=unknown).request("GET", "https://nowhere.example/")

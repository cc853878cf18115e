"""Calls that a provider, a name or an address tries to lead inside: a listener there sees nothing."""

import http.client
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address, ip_network
from itertools import islice

import httpcore2
import httpx2
import pytest

from app import egress as outside
from app.egress import Egress, EgressError, EgressRefused, transport
from tests.support.listeners import Listener, answering, listening
from tests.support.spellings import NUMBERS, SPELLINGS, by_chance

TLS = ssl.create_default_context()
FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nin"
OUTSIDE, INSIDE = "127.0.0.1", "127.0.0.2"  # the first is on the allow-list and stands for any public address


@dataclass(frozen=True)
class Within:
    """Who must not be reached: a listener of each family."""

    four: Listener
    six: Listener

    @property
    def seen(self) -> int:
        return self.four.seen + self.six.seen

    @property
    def ports(self) -> tuple[int, int]:
        return self.four.port, self.six.port


@pytest.fixture
def within() -> Iterator[Within]:
    with listening(answering(FINE)) as four, listening(answering(FINE), "::1") as six:
        yield Within(four, six)


@pytest.fixture
def unguarded(monkeypatch) -> Callable[[], None]:
    """Take the two checks of an address out."""

    def take_out() -> None:
        monkeypatch.setattr(transport, "check_url", lambda _url: None)
        monkeypatch.setattr(transport, "checked", lambda found, *_, **__: [ip_address(text) for text in found])

    return take_out


def call(client: Egress, url: str) -> str:
    """What came of it: the reason why not, or that it was answered."""
    try:
        client.request("GET", url, deadline=5)
    except EgressError as error:
        return f"{type(error).__name__}: {error.reason}"
    return "answered"


def call_all(client: Egress, hosts: Sequence[str], ports: tuple[int, int]) -> dict[str, str]:
    """Every host at every port by both schemes; those that were not refused, and what came of them."""
    urls = [f"{scheme}://{host}:{port}/" for host in hosts for port in ports for scheme in ("http", "https")]
    came_to = {url: call(client, url) for url in urls}
    return {url: what for url, what in came_to.items() if not what.startswith("EgressRefused")}


def test_row_33_no_spelling_of_an_address_inside_reaches_a_listener_there(within, proof, unguarded, monkeypatch):
    """Every way that we know to write a private or loopback address, in an address or as what a name stands for, and thousands put together by chance: each is refused, and the listeners on 127.0.0.1 and ::1 see no connection; without the two checks they do."""
    chance = list(dict.fromkeys(islice(by_chance(proof.random), proof.size(check=40, prove=3000))))
    assert {socket.inet_aton(host.rstrip(".")) for host in chance} == {bytes((127, 0, 0, 1))}
    hosts = [*SPELLINGS, *chance]
    client = Egress(tls=TLS)

    let_out = call_all(client, hosts, within.ports)
    for number in NUMBERS:
        named = Egress(tls=TLS, resolver=lambda _host, _port, number=number: [number])
        let_out |= call_all(named, ["provider.example"], within.ports)

    assert let_out == {}
    assert within.seen == 0
    proof.title = "Egress: addresses inside, however they are spelt"
    proof.figure("spellings by hand", len(set(SPELLINGS)))
    proof.figure("spellings by chance", len(chance))
    proof.figure("addresses that a name stood for", len(set(NUMBERS)))
    proof.figure("connections that the listeners saw", within.seen)

    unguarded()
    monkeypatch.setattr(transport, "system_resolver", _only_here)
    reached = [host for host in SPELLINGS if _is_reached(Egress(tls=TLS, resolver=_only_here), host, within)]
    assert len(set(SPELLINGS)) >= 100
    assert len(reached) >= 20, reached
    proof.figure("of those by hand, spellings that reach one when nothing is checked", len(reached))


def _only_here(host: str, port: int) -> list[str]:
    """The system's look-up, for what it takes to be this machine: a test sends nothing elsewhere."""
    found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    return [text for text in found if ip_address(text).is_loopback or ip_address(text).is_unspecified]


def _is_reached(client: Egress, host: str, within: Within) -> bool:
    return any(call(client, f"http://{host}:{port}/") == "answered" for port in within.ports)


# ── Redirects ───────────────────────────────────────────────────────────────


def leading(status: int, where: str) -> bytes:
    name = http.client.responses[status]
    lines = (
        f"HTTP/1.1 {status} {name}",
        f"Location: {where}",
        f"Refresh: 0; url={where}",
        f"Content-Location: {where}",
    )
    return ("\r\n".join([*lines, "Content-Length: 0", "Connection: close", "", ""])).encode()


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_row_33_a_redirect_inside_is_not_followed(status, unguarded, monkeypatch):
    with listening(answering(FINE), INSIDE) as inside, listening(answering(leading(status, inside.url))) as public:
        client = Egress((ip_network(f"{OUTSIDE}/32"),), tls=TLS)

        answer = client.request("POST", public.url, json={"a": 1})

        assert (answer.status, answer.ok, answer.headers["location"]) == (status, False, inside.url)
        assert (public.seen, inside.seen) == (1, 0)

        monkeypatch.setattr(outside.httpx2, "Client", partial(httpx2.Client, follow_redirects=True))
        if status != 300:  # which names no single address to go to
            with pytest.raises(EgressRefused):
                client.request("GET", public.url)  # every hop is checked, even if it were followed
            assert inside.seen == 0
            unguarded()
            client.request("GET", public.url)
            assert inside.seen == 1


# ── Names that change ───────────────────────────────────────────────────────


def rebinding(*answers: str) -> Callable[[str, int], list[str]]:
    """A name that is public when it is looked at first, and inside from then on."""
    left = list(answers)
    return lambda _host, _port: [left.pop(0) if len(left) > 1 else left[0]]


@contextmanager
def at_one_port() -> Iterator[tuple[Listener, Listener]]:
    """A listener outside and one inside that are told apart by their address alone, as with a name that changes."""
    with listening(answering(FINE)) as public, listening(answering(FINE), INSIDE, port=public.port) as inside:
        yield public, inside


def test_row_33_a_name_that_changes_leads_to_what_was_checked(monkeypatch):
    with at_one_port() as (public, inside):
        url = f"http://rebinding.example:{public.port}/"
        client = Egress((ip_network(f"{OUTSIDE}/32"),), tls=TLS, resolver=rebinding(OUTSIDE, INSIDE))

        assert call(client, url) == "answered"
        assert [call(client, url) for _ in range(5)] == ["EgressRefused: address"] * 5
        assert (public.seen, inside.seen) == (1, 0)
        both = Egress((ip_network(f"{OUTSIDE}/32"),), tls=TLS, resolver=lambda _host, _port: [OUTSIDE, INSIDE])
        assert call(both, url) == "EgressRefused: address"
        assert (public.seen, inside.seen) == (1, 0)

        monkeypatch.setattr(transport, "_Backend", LooksUpTwice)
        hasty = Egress((ip_network(f"{OUTSIDE}/32"),), tls=TLS, resolver=rebinding(OUTSIDE, INSIDE))
        assert call(hasty, url) == "answered"
        assert (public.seen, inside.seen) == (1, 1)


class LooksUpTwice(transport._Backend):
    """As a client does that checks a name and then lets its library look it up anew."""

    def connect_tcp(self, host: str, port: int, *_: object, **__: object) -> httpcore2.NetworkStream:
        transport.checked(self._look_up(host, port), self._allow, plain=True)
        (then,) = self._look_up(host, port)
        return transport._Stream(self._sockets.connect_tcp(then, port, 5))


# ── Proxies of the environment ──────────────────────────────────────────────


def test_row_33_a_proxy_of_the_environment_sees_nothing(monkeypatch):
    with listening(answering(FINE), INSIDE) as proxy, listening(answering(FINE)) as public:
        for name in ("http_proxy", "HTTP_PROXY", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)

        assert call(Egress((ip_network(f"{OUTSIDE}/32"),), tls=TLS), public.url) == "answered"
        assert call(Egress(tls=TLS), f"https://10.0.0.1:{public.port}/") == "EgressRefused: address"
        assert (public.seen, proxy.seen) == (1, 0)

        with httpx2.Client() as trusting:
            trusting.get(f"http://provider.example:{public.port}/")
        assert proxy.seen == 1

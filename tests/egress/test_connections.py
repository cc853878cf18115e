"""Which connection an exchange goes over, and how long one is kept for the next."""

import socket
import time
from collections.abc import Iterator

import pytest

from app.egress import Egress, EgressFailed, connections
from tests.egress.conftest import LOOPBACK, TLS
from tests.support.listeners import Listener, listening

FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def patient(connection: socket.socket) -> None:
    """Answer as long as the other side asks; one that waits half a second for nothing hangs up."""
    connection.settimeout(0.5)
    while connection.recv(65536):
        connection.sendall(FINE)


@pytest.fixture
def kept() -> Iterator[Listener]:
    with listening(patient) as listener:
        yield listener


@pytest.fixture
def named() -> Iterator[tuple[Egress, list[str]]]:
    """A client to which every name is this machine, and the names that it looked up."""
    asked: list[str] = []
    client = Egress(LOOPBACK, tls=TLS, resolver=lambda host, _port: [asked.append(host), "127.0.0.1"][1:])
    yield client, asked
    client.close()


def test_exchanges_in_turn_share_a_connection_and_its_look_up(named, kept):
    client, looked_up = named

    for _ in range(4):
        assert client.request("POST", f"http://a.example:{kept.port}/", data={"a": "b"}).body == b"ok"

    assert (kept.seen, looked_up) == (1, ["a.example"])


def test_hosts_share_no_connection_even_at_one_address(named, kept):
    client, looked_up = named

    for host in ("a.example", "b.example"):
        client.request("GET", f"http://{host}:{kept.port}/")

    assert (kept.seen, looked_up) == (2, ["a.example", "b.example"])


def test_a_connection_that_the_other_side_closed_is_not_used_again(egress):
    def hang_up(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(FINE)

    with listening(hang_up) as listener:
        for _ in range(3):
            assert egress.request("GET", listener.url).body == b"ok"
            time.sleep(0.05)

        assert listener.seen == 3


def test_a_connection_is_kept_for_a_while_alone(egress, kept, monkeypatch):
    monkeypatch.setattr(connections, "IDLE", 0.05)

    egress.request("GET", kept.url)
    egress.request("GET", kept.url)
    assert kept.seen == 1
    time.sleep(0.1)
    egress.request("GET", kept.url)

    assert kept.seen == 2


def test_no_more_are_kept_than_there_is_room_for(egress, monkeypatch):
    monkeypatch.setattr(connections, "MOST_IDLE", 1)
    with listening(patient) as one, listening(patient) as other:
        for listener in (one, one, other, one):
            egress.request("GET", listener.url)

        assert (one.seen, other.seen) == (2, 1)


def test_a_connection_that_failed_is_not_kept(egress):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for _ in range(2):
        with pytest.raises(EgressFailed, match="connect"):
            egress.request("GET", f"http://127.0.0.1:{port}/")
    with listening(patient, port=port) as listener:
        egress.request("GET", listener.url)

        assert listener.seen == 1


def test_head_and_body_arrive_together(egress):
    first: list[bytes] = []

    def look(connection: socket.socket) -> None:
        first.append(connection.recv(65536))
        connection.sendall(FINE)

    with listening(look) as listener:
        egress.transport().post(listener.url, headers={"Content-Type": "text/plain"}, content=b"the body")

    assert first[0].endswith(b"\r\n\r\nthe body")


def test_a_long_body_arrives_whole(egress):
    got = bytearray()

    def read(connection: socket.socket) -> None:
        while not got.endswith(b"end"):
            got.extend(connection.recv(65536))
        connection.sendall(FINE)

    with listening(read) as listener:
        egress.request("PUT", listener.url, content=b"x" * 500_000 + b"end")

    assert got.partition(b"\r\n\r\n")[2] == b"x" * 500_000 + b"end"


def read_request(stream):
    """The path that is asked for and its body; None at the end."""
    first, length = stream.readline(), 0
    while first and (line := stream.readline()) != b"\r\n":
        if line.lower().startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return (first.split()[1].decode(), stream.read(length)) if first else None


def answering(served, *, after_first: bytes, head: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"):
    """A server that answers each request with the name of what is asked for, and says something more with its first answer."""

    def answer(connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            while asked := read_request(stream):
                served.append(asked[0])
                more = after_first if len(served) == 1 else b""
                connection.sendall((head if len(served) == 1 else head_of(asked[0])) + asked[0].encode() + more)

    return answer


def head_of(body: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()


@pytest.mark.parametrize(
    "after_first",
    [head_of("/stray") + b"/stray", b"x", b"\r\n", head_of("/stray")[:9]],
    ids=["another answer", "a byte too many", "an empty line", "the beginning of an answer"],
)
def test_nobody_is_given_what_came_before_it_asked(egress, after_first):
    served: list[str] = []
    with listening(answering(served, after_first=after_first)) as listener:
        came = [egress.request("GET", f"{listener.url}{name}").body for name in "abcd"]

        assert came == [b"/a", b"/b", b"/c", b"/d"]
        assert served == ["/a", "/b", "/c", "/d"]
        assert listener.seen == 2


def test_an_answer_that_is_there_before_the_request_is_refused(egress, monkeypatch):
    monkeypatch.setattr(connections, "_has_more", lambda _connection: False)
    served: list[str] = []
    with listening(answering(served, after_first=head_of("/stray") + b"/stray")) as listener:
        assert egress.request("GET", f"{listener.url}a").body == b"/a"
        with pytest.raises(EgressFailed, match="protocol"):
            egress.request("GET", f"{listener.url}b")

        assert [egress.request("GET", f"{listener.url}{name}").body for name in "cd"] == [b"/c", b"/d"]
        assert served == ["/a", "/c", "/d"]


def test_no_content_with_a_body_spoils_no_other_exchange(egress):
    served: list[str] = []
    nothing = b"HTTP/1.1 204 No Content\r\n\r\n"
    with listening(answering(served, after_first=b"", head=nothing)) as listener:
        assert egress.request("GET", f"{listener.url}a").body == b""
        assert egress.request("GET", f"{listener.url}b").body == b"/b"
        assert listener.seen == 2

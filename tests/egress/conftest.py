"""A client that may reach loopback, and a server with a certificate."""

import socket
import ssl
from collections.abc import Iterator
from ipaddress import ip_network

import pytest
import trustme

from app.egress import Egress
from tests.support.listeners import Listener, listening

TLS = ssl.create_default_context()  # one for all tests: loading the trust store takes a while
LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture(scope="session")
def httpserver_listen_address() -> tuple[str, int]:
    return ("127.0.0.1", 0)


@pytest.fixture
def egress() -> Iterator[Egress]:
    client = Egress(LOOPBACK, tls=TLS)
    yield client
    client.close()


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

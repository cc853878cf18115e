"""A provider on loopback, and the way to it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from pytest_httpserver import HTTPServer

from app import egress
from app.egress import Egress

TLS = ssl.create_default_context()  # one for all tests: loading the trust store takes a while


@pytest.fixture(scope="session")
def httpserver_listen_address() -> tuple[str, int]:
    return ("127.0.0.1", 0)


@pytest.fixture(autouse=True)
def way_out() -> Iterator[Egress]:
    """Install a client of this test's own, with nothing remembered."""
    client = Egress((ip_network("127.0.0.0/8"),), tls=TLS)
    egress.install(client)
    yield client
    client.close()


@pytest.fixture
def provider(httpserver: HTTPServer) -> HTTPServer:
    return httpserver

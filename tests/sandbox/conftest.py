"""The sandbox, served in a thread, and the product's own protocol code against it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from flask import Flask

from app import egress
from app.catalog import Catalog, load
from app.egress import Egress
from app.sandbox import Switches, create_sandbox, provider_of
from tests.sandbox.flow import PANEL, Connector
from tests.sandbox.person import PLAIN, Person
from tests.support.servers import serve_in_thread


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Flask]:
    """The sandbox for the whole catalog, at 127.0.0.1."""
    with serve_in_thread(name="127.0.0.1") as served:
        app = create_sandbox(load(), base_url=served.url, panel_url=PANEL, demo=True)
        served.app = app
        yield app


@pytest.fixture
def switches(sandbox: Flask) -> Iterator[Switches]:
    """All apps behave, before and after."""
    switches = provider_of(sandbox).switches
    switches.reset()
    yield switches
    switches.reset()


@pytest.fixture
def catalog(sandbox: Flask) -> Catalog:
    """The catalog as an installation beside the sandbox has it."""
    return provider_of(sandbox).catalog


@pytest.fixture(autouse=True)
def way_out() -> Iterator[Egress]:
    client = Egress((ip_network("127.0.0.0/8"),), tls=PLAIN)
    egress.install(client)
    yield client
    client.close()


@pytest.fixture
def person() -> Iterator[Person]:
    with Person() as person:
        yield person


@pytest.fixture
def connect(sandbox: Flask, switches: Switches) -> Connector:
    """Makes connectors: `connect("slack")`."""
    return Connector(provider_of(sandbox))

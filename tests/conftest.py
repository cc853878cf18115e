"""What most tests start from: an application on a fresh database, an agency, and the people around it."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.catalog import Catalog
from app.config import Config
from app.extensions import db
from app.models import Agency, Role, Staff, Workspace
from app.tenancy import enter_tenant
from tests import factories

pytest_plugins = [  # each after those that it imports: pytest rewrites their assertions only so
    "tests.support.once",
    "tests.support.noskip",
    "tests.support.proof",
    "tests.support.clock",
    "tests.support.browser",
    "tests.support.tls",
    "tests.support.smtp",
    "tests.support.provider",
    "tests.support.catalog_apps",
    "tests.support.postgres",
    "tests.support.databases",
]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "both_databases: runs on SQLite and on PostgreSQL")


def pytest_collection_finish() -> None:
    """Let the collector of garbage look no more at what stays to the end, thousands of tests and all modules; and seldom
    at the rest: it took a sixth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@pytest.fixture
def config(tmp_path: Path, database_url: str) -> Config:
    return factories.config(tmp_path, database_url)


@pytest.fixture
def app(config: Config, catalog: Catalog) -> Iterator[Flask]:
    app = create_app(config, catalog=catalog)
    app.testing = True
    yield app
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def app_context(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser that nobody is signed in with."""
    return app.test_client()


@pytest.fixture
def agency(app_context: None) -> Agency:
    """Northwind Studio, whose tenant the test acts in."""
    agency = factories.make_agency("Northwind Studio")
    enter_tenant(agency.id)
    return agency


@pytest.fixture
def owner(agency: Agency) -> Staff:
    return factories.make_staff(agency, "Maya Okafor", role=Role.OWNER)


@pytest.fixture
def teammate(agency: Agency) -> Staff:
    return factories.make_staff(agency, "Tom Achterberg", role=Role.MEMBER)


@pytest.fixture
def stranger(agency: Agency) -> Staff:
    """The owner of another agency."""
    other = factories.make_agency("Southpaw Labs")
    return factories.make_staff(other, "Sam Stranger", role=Role.OWNER)


@pytest.fixture
def workspace(agency: Agency) -> Workspace:
    return factories.make_workspace(agency, "Harbor Dental")

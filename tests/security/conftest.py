"""Two installations: one with everything in it, tried from outside, and one behind whose apps the independent provider stands."""

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import egress
from app.catalog import load
from app.config import Config
from tests import factories
from tests.support import shared_app
from tests.support.catalog_apps import CatalogApps, catalog_apps
from tests.support.databases import migrate
from tests.support.postgres import fresh_database
from tests.support.provider import Provider
from tests.support.scenery import Scenery
from tests.support.shared_app import running
from tests.web.client import conftest as at_provider

agency, _, config, stranger = shared_app.fixtures
person, workflow, asked = at_provider.person, at_provider.workflow, at_provider.asked


@pytest.fixture(scope="package")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    folder = tmp_path_factory.mktemp("installation")
    url = f"sqlite:///{folder / 'security.sqlite3'}"
    migrate(url, folder)
    with running(factories.config(folder, url), load(None)) as app:
        yield app


@pytest.fixture(scope="package")
def _scenery(installation: Flask) -> Scenery:
    return Scenery(installation, installation.config["GATEHOUSE"].instance_path / "security.sqlite3")


@pytest.fixture
def scenery(_scenery: Scenery) -> Iterator[Scenery]:
    """Northwind and Southpaw, as they were made; no test holds an application context while a browser asks."""
    _scenery.restore()
    return _scenery


@pytest.fixture(scope="package")
def _scenery_on_postgres(
    postgres_url: str, postgres_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scenery]:
    with fresh_database(postgres_url, postgres_template) as url:
        settings = factories.config(tmp_path_factory.mktemp("installation"), factories.driver(url))
        with running(settings, load(None)) as app:
            yield Scenery(app, None)


@pytest.fixture
def standing(database_kind: str, request: pytest.FixtureRequest) -> Scenery:
    """The same, on both databases, for tests that change nothing but counters."""
    found: Scenery = request.getfixturevalue("scenery" if database_kind == "sqlite" else "_scenery_on_postgres")
    return found


# ── With the provider ───────────────────────────────────────────────────────


@pytest.fixture(scope="package")
def provider_apps(_provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> CatalogApps:
    apps = catalog_apps(_provider, tmp_path_factory.mktemp("apps"))
    apps.register(lambda key: f"{factories.BASE_URL}/oauth/callback/shared-{key}")
    return apps


def _settings(folder: Path, url: str, apps: CatalogApps) -> Config:
    return factories.config(folder, url, apps_dir=apps.folder, oauth_clients=apps.oauth_clients)


@pytest.fixture(scope="package")
def provider_app_on_sqlite(
    sqlite_template: Path, provider_apps: CatalogApps, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flask]:
    folder = tmp_path_factory.mktemp("provided")
    shutil.copy(sqlite_template, folder / "provided.sqlite3")
    with running(_settings(folder, f"sqlite:///{folder / 'provided.sqlite3'}", provider_apps)) as app:
        yield app


@pytest.fixture(scope="package")
def provider_app_on_postgres(
    postgres_url: str, postgres_template: str, provider_apps: CatalogApps, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flask]:
    with fresh_database(postgres_url, postgres_template) as url:
        settings = _settings(tmp_path_factory.mktemp("provided"), factories.driver(url), provider_apps)
        with running(settings) as app:
            yield app


@pytest.fixture
def app(database_kind: str, request: pytest.FixtureRequest) -> Flask:
    app: Flask = request.getfixturevalue(f"provider_app_on_{database_kind}")
    egress.install(app.extensions["gatehouse"].egress)  # one a process: another test's application may have been last
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser from a network of its own, as openings are counted by network."""
    browser = app.test_client()
    browser.environ_base["REMOTE_ADDR"] = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"
    return browser


@pytest.fixture
def visitor(client: FlaskClient, provider: Provider) -> at_provider.Visitor:
    return at_provider.Visitor(client)

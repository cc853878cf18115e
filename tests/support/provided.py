"""An installation behind whose apps the independent provider stands, for many tests at once or for one.

The conftest of a folder whose tests have agencies of their own (`tests.support.shared_app`) says
`app, client, provided_apps, provided_on_postgres, provided_on_sqlite, visitor = provided.shared`; a module that wants a
database to itself says `catalog, config, visitor = provided.own`. Both may take `asked, person, workflow = provided.fixtures`.
"""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import egress
from app.config import Config
from app.models import ConnectionRequest, Staff, Workflow, Workspace
from tests import factories
from tests.support.catalog_apps import CatalogApps, catalog_apps
from tests.support.provider import Person, Provider
from tests.support.shared_app import on_postgres, on_sqlite
from tests.support.visitor import Visitor

STEPS = (("northdesk", "find_ticket"), ("postwave", "send_campaign"))


def _settings(apps: CatalogApps) -> dict[str, Any]:
    return {"apps_dir": apps.folder, "oauth_clients": apps.oauth_clients}


def _register(apps: CatalogApps) -> None:
    apps.register(lambda key: f"{factories.BASE_URL}/oauth/callback/shared-{key}")


# ── For many tests ──────────────────────────────────────────────────────────


@pytest.fixture(scope="package")
def provided_apps(_provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> CatalogApps:
    apps = catalog_apps(_provider, tmp_path_factory.mktemp("apps"))
    _register(apps)
    return apps


@pytest.fixture(scope="package")
def provided_on_sqlite(
    sqlite_template: Path, provided_apps: CatalogApps, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flask]:
    with on_sqlite(sqlite_template, tmp_path_factory.mktemp("provided"), None, **_settings(provided_apps)) as app:
        yield app


@pytest.fixture(scope="package")
def provided_on_postgres(
    postgres_url: str, postgres_template: str, provided_apps: CatalogApps, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flask]:
    folder = tmp_path_factory.mktemp("provided")
    with on_postgres(postgres_url, postgres_template, folder, None, **_settings(provided_apps)) as app:
        yield app


@pytest.fixture
def app(database_kind: str, request: pytest.FixtureRequest) -> Flask:
    app: Flask = request.getfixturevalue(f"provided_on_{database_kind}")
    egress.install(app.extensions["gatehouse"].egress)  # one a process: another test's application may have been last
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser from a network of its own, as openings are counted by network."""
    browser = app.test_client()
    browser.environ_base["REMOTE_ADDR"] = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"
    return browser


@pytest.fixture
def visitor(client: FlaskClient, provider: Provider) -> Visitor:
    return Visitor(client)


shared = (app, client, provided_apps, provided_on_postgres, provided_on_sqlite, visitor)

# ── For one ─────────────────────────────────────────────────────────────────


@pytest.fixture
def config(tmp_path: Path, database_url: str, apps: CatalogApps) -> Config:
    return factories.config(tmp_path, database_url, **_settings(apps))


@pytest.fixture
def catalog() -> None:
    """The installation reads its own apps."""


@pytest.fixture(name="visitor")
def own_visitor(client: FlaskClient, apps: CatalogApps) -> Visitor:
    _register(apps)
    return Visitor(client)


own = (catalog, config, own_visitor)

# ── For both ────────────────────────────────────────────────────────────────


@pytest.fixture
def person(provider: Provider) -> Person:
    return provider.people["ann"]


@pytest.fixture
def workflow(workspace: Workspace, owner: Staff) -> Workflow:
    return factories.make_workflow(workspace, owner, *STEPS)


@pytest.fixture
def asked(workflow: Workflow, owner: Staff) -> list[ConnectionRequest]:
    """Northdesk and Postwave, sent to Priya."""
    return factories.make_sent(workflow, owner)


fixtures = (asked, person, workflow)

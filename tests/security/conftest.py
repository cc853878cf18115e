"""Two installations: one with everything in it, tried from outside, and one behind whose apps the independent provider stands."""

from collections.abc import Iterator

import pytest
from flask import Flask

from app.catalog import load
from tests import factories
from tests.support import provided, shared_app
from tests.support.databases import migrate
from tests.support.postgres import fresh_database
from tests.support.scenery import Scenery
from tests.support.shared_app import running

agency, _, config, stranger = shared_app.fixtures
app, client, provided_apps, provided_on_postgres, provided_on_sqlite, visitor = provided.shared
asked, person, workflow = provided.fixtures


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

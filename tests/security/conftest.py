"""Two installations: one with everything in it, tried from outside, and one behind whose apps the independent provider stands."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from app.catalog import load
from tests.support import provided, shared_app
from tests.support.scenery import Scenery
from tests.support.shared_app import on_postgres, on_sqlite

agency, _, config, stranger = shared_app.fixtures
app, client, provided_apps, provided_on_postgres, provided_on_sqlite, visitor = provided.shared
asked, person, workflow = provided.fixtures


@pytest.fixture(scope="package")
def installation(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    with on_sqlite(sqlite_template, tmp_path_factory.mktemp("installation"), load(None)) as app:
        yield app


@pytest.fixture(scope="package")
def _scenery(installation: Flask) -> Scenery:
    return Scenery(installation, installation.config["GATEHOUSE"].instance_path / "shared.sqlite3")


@pytest.fixture
def scenery(_scenery: Scenery) -> Iterator[Scenery]:
    """Northwind and Southpaw, as they were made; no test holds an application context while a browser asks."""
    _scenery.restore()
    return _scenery


@pytest.fixture(scope="package")
def _scenery_on_postgres(
    postgres_url: str, postgres_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scenery]:
    with on_postgres(postgres_url, postgres_template, tmp_path_factory.mktemp("installation"), load(None)) as app:
        yield Scenery(app, None)


@pytest.fixture
def standing(database_kind: str, request: pytest.FixtureRequest) -> Scenery:
    """The same, on both databases, for tests that change nothing but counters."""
    found: Scenery = request.getfixturevalue("scenery" if database_kind == "sqlite" else "_scenery_on_postgres")
    return found

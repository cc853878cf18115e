"""An installation with two agencies, tried from outside: no test holds an application context while a browser asks."""

from collections.abc import Iterator

import pytest
from flask import Flask

from app import create_app
from app.catalog import load
from tests import factories
from tests.support.databases import migrate
from tests.support.scenery import Scenery


@pytest.fixture(scope="package")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    folder = tmp_path_factory.mktemp("installation")
    url = f"sqlite:///{folder / 'security.sqlite3'}"
    migrate(url, folder)
    return create_app(factories.config(folder, url), catalog=load(None))


@pytest.fixture(scope="package")
def _scenery(installation: Flask) -> Scenery:
    return Scenery(installation, installation.config["GATEHOUSE"].instance_path / "security.sqlite3")


@pytest.fixture
def scenery(_scenery: Scenery) -> Iterator[Scenery]:
    """Northwind and Southpaw, as they were made."""
    _scenery.restore()
    return _scenery

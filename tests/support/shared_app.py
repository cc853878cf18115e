"""One application and database for many tests, each with agencies of its own: tenants part them, and it saves much time.

A module opts in with `agency, app, config, stranger = shared_app.fixtures`, which take the place of conftest's; it or the
conftest of its folder says `app_on_postgres, app_on_sqlite = shared_app.apps`.
"""

import contextlib
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app import create_app
from app.catalog import Catalog
from app.config import Config
from app.extensions import db
from app.models import Agency, Role, Staff, Workspace
from app.tenancy import across_tenants, enter_tenant
from tests import factories
from tests.support.postgres import fresh_database

_numbers = itertools.count(1)


@contextlib.contextmanager
def running(config: Config, catalog: Catalog | None = None) -> Iterator[Flask]:
    """An application whose connections are closed in the end."""
    app = create_app(config, catalog=catalog)
    yield app
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


@contextlib.contextmanager
def on_sqlite(template: Path, folder: Path, catalog: Catalog | None, **settings: Any) -> Iterator[Flask]:
    """An application on a copy of a migrated file, which is `shared.sqlite3` in the folder."""
    shutil.copy(template, folder / "shared.sqlite3")
    with running(factories.config(folder, f"sqlite:///{folder / 'shared.sqlite3'}", **settings), catalog) as app:
        yield app


@contextlib.contextmanager
def on_postgres(server: str, template: str, folder: Path, catalog: Catalog | None, **settings: Any) -> Iterator[Flask]:
    """An application on a copy of a migrated database of a server."""
    with (
        fresh_database(server, template) as url,
        running(factories.config(folder, factories.driver(url), **settings), catalog) as app,
    ):
        yield app


@pytest.fixture(scope="package")
def app_on_sqlite(sqlite_template: Path, catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    with on_sqlite(sqlite_template, tmp_path_factory.mktemp("shared"), catalog) as app:
        yield app


@pytest.fixture(scope="package")
def app_on_postgres(
    postgres_url: str, postgres_template: str, catalog: Catalog, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flask]:
    with on_postgres(postgres_url, postgres_template, tmp_path_factory.mktemp("shared"), catalog) as app:
        yield app


@pytest.fixture
def app(database_kind: str, request: pytest.FixtureRequest) -> Flask:
    return request.getfixturevalue(f"app_on_{database_kind}")


@pytest.fixture
def config(app: Flask) -> Config:
    return app.config["GATEHOUSE"]


@pytest.fixture
def agency(app_context: None) -> Agency:
    """An agency that no other test knows, whose tenant the test acts in."""
    agency = factories.make_agency(f"Northwind Studio {next(_numbers)}")
    enter_tenant(agency.id)
    return agency


@pytest.fixture
def stranger(agency: Agency) -> Staff:
    """The owner of another agency, as far as it can be known here: detached, since it can't be read in this tenant."""
    other = factories.make_agency(f"Southpaw Labs {next(_numbers)}")
    staff = factories.make_staff(other, "Sam Stranger", role=Role.OWNER)
    with across_tenants("a test's setting"):
        db.session.refresh(staff)
        assert staff.agency.slug
    db.session.expunge(staff)
    db.session.expunge(other)
    return staff


def foreign_workspace(stranger: Staff, name: str = "Foreign") -> Workspace:
    """A workspace of the stranger's agency, detached like them."""
    with across_tenants("a test's setting"):
        workspace = factories.make_workspace(stranger.agency, name)
        db.session.refresh(workspace)
    db.session.expunge(workspace)
    return workspace


fixtures = (agency, app, config, stranger)
apps = (app_on_postgres, app_on_sqlite)

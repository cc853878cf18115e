"""An application on a fresh database of either kind, as an installation has it, for a bench to fill and to ask."""

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask

from app.catalog import load
from app.config import SmtpServer
from app.extensions import db
from app.models import Agency, Staff, Workspace
from app.tenancy import across_tenants
from tests import factories
from tests.support.databases import migrate
from tests.support.postgres import cluster, fresh_database
from tests.support.shared_app import running

DATABASES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
SENDER = "requests@northwind.example"


@dataclass(frozen=True)
class Installed:
    """The application, and where another process finds its database and keys."""

    app: Flask
    folder: Path
    database_url: str


@contextlib.contextmanager
def installed(kind: str, *, smtp: SmtpServer | None = None, **more: Any) -> Iterator[Installed]:
    """An application on SQLite or PostgreSQL, with a folder and, where `more` settings say so, apps of its own."""
    with contextlib.ExitStack() as life:
        folder = Path(life.enter_context(tempfile.TemporaryDirectory(prefix="gatehouse-bench-")))
        url = f"sqlite:///{folder / 'gatehouse.sqlite3'}"
        if kind == "postgres":
            url = factories.driver(life.enter_context(fresh_database(life.enter_context(cluster()))))
        migrate(url, folder)
        settings = factories.config(folder, url, smtp=smtp, mail_from=SENDER if smtp else None, **more)
        apps = load(settings.apps_dir, loopback_http=True) if settings.apps_dir else load(None)
        app = life.enter_context(running(settings, apps))
        logging.getLogger("app").setLevel(logging.WARNING)
        yield Installed(app, folder, url)


@dataclass(frozen=True)
class Client:
    """A workspace of an agency of its own, and who works there."""

    agency: Agency
    workspace: Workspace
    staff: Staff


@contextlib.contextmanager
def client(app: Flask, name: str) -> Iterator[Client]:
    """A fresh agency's first client, within an application context that may touch every tenant."""
    with app.app_context(), across_tenants("a bench looks at everybody"):
        agency = factories.read(factories.make_agency(name))
        staff = factories.read(factories.make_staff(agency))
        workspace = factories.make_workspace(agency)
        try:
            yield Client(agency, workspace, staff)
        finally:
            db.session.remove()

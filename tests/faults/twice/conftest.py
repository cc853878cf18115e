"""An installation that two processes serve, with a mail server and a provider; these tests share one a database."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app import egress
from app.catalog import load
from app.config import Config
from app.extensions import db
from tests import factories
from tests.support.crowd import Company, company
from tests.support.postgres import fresh_database
from tests.support.shared_app import running
from tests.support.smtp import Server, smtp_server
from tests.support.token_endpoint import CLIENT, KEY, TokenEndpoint, token_endpoint


@dataclass
class Place:
    """The installation as the test's own process sees it; `company` are the two others, started with the first need."""

    app: Flask
    smtp: Server
    provider: TokenEndpoint
    _life: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @cached_property
    def company(self) -> Company:
        return self._life.enter_context(company(self.app.config["GATEHOUSE"]))


@contextlib.contextmanager
def installed(folder: Path, url: str) -> Iterator[Place]:
    with smtp_server() as smtp, token_endpoint() as provider:
        settings = _settings(folder, url, smtp, provider)
        with contextlib.ExitStack() as life, running(settings, load(settings.apps_dir, loopback_http=True)) as app:
            app.testing = True
            yield Place(app, smtp, provider, life)


def _settings(folder: Path, url: str, smtp: Server, provider: TokenEndpoint) -> Config:
    mail = Config.from_environ({"GATEHOUSE_SMTP_URL": smtp.url, "GATEHOUSE_MAIL_FROM": "requests@gate.example"})
    changes: dict[str, Any] = {"smtp": mail.smtp, "mail_from": mail.mail_from}
    changes |= {"apps_dir": provider.write_app(folder / "apps"), "oauth_clients": factories.CLIENTS | {KEY: CLIENT}}
    return factories.config(folder, url, **changes)


@pytest.fixture(scope="package")
def place_on_sqlite(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    shutil.copy(sqlite_template, folder / "place.sqlite3")
    with installed(folder, f"sqlite:///{folder / 'place.sqlite3'}") as made:
        yield made


@pytest.fixture(scope="package")
def place_on_postgres(
    postgres_url: str, postgres_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    with (
        fresh_database(postgres_url, postgres_template) as url,
        installed(tmp_path_factory.mktemp("place"), factories.driver(url)) as made,
    ):
        yield made


@pytest.fixture
def place(database_kind: str, request: pytest.FixtureRequest) -> Iterator[Place]:
    """The installation on the database at hand, within an application context of the test's own process."""
    made: Place = request.getfixturevalue(f"place_on_{database_kind}")
    egress.install(made.app.extensions["gatehouse"].egress)  # another test's application may have been last
    with made.app.app_context():
        yield made
        db.session.remove()

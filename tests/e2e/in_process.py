"""An installation in threads of the test's own process, where the clock can be moved; its mail goes to a folder.

A module opts in with `config, home, house, office, served = in_process.fixtures`; the first takes the place of conftest's.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext

from app.config import Config
from app.database import transaction
from app.extensions import db
from app.mailer import transports
from app.mailer.transports import FolderTransport
from app.models import Agency, ConnectionRequest, Staff, Workflow, Workspace
from app.services import link_tokens
from app.worker import Worker
from tests import factories
from tests.support.browser import visitor
from tests.support.catalog_apps import CatalogApps
from tests.support.servers import Served, serve_in_thread

PRIYA, DANA = "priya.nair@harbordental.example", "dana.reyes@harbordental.example"


@dataclass
class House:
    """A served installation with an agency, its owner and a client's workspace."""

    app: Flask
    url: str
    agency: Agency
    owner: Staff
    workspace: Workspace
    mailbox: FolderTransport

    def deliver(self) -> list[EmailMessage]:
        """Have the worker do all that is due; returns every mail so far, the newest first."""
        Worker(self.app).run_once()
        db.session.rollback()
        return self.mails()

    def mails(self) -> list[EmailMessage]:
        return [message for _name, message in self.mailbox.messages()]

    def workflow(self, *steps: tuple[str, str], name: str = "New patient intake") -> Workflow:
        return factories.make_workflow(self.workspace, self.owner, *steps, name=name)

    def page_of(self, workflow: Workflow) -> str:
        """The address of a workflow's page."""
        return f"{self.url}/panel/workspaces/{workflow.workspace.public_id}/workflows/{workflow.public_id}"

    def link_of(self, asked: ConnectionRequest) -> str:
        """The link that its recipient's last mail carries."""
        db.session.rollback()
        db.session.refresh(asked)
        assert asked.bundle is not None
        return f"{self.url}/l/{link_tokens.of(asked.bundle)}"

    def admit(self, context: BrowserContext, person: Staff | None = None) -> None:
        """Sign somebody in with this browser, the owner unless another is named."""
        cookie = factories.signed_in(self.app, person or self.owner).get_cookie("gh_staff")
        assert cookie is not None
        context.add_cookies([{"name": "gh_staff", "value": cookie.value, "url": self.url}])


def link_in(message: EmailMessage) -> str:
    """The link that stands alone on its line in the text part."""
    part = message.get_body(("plain",))
    assert part is not None
    lines = [line.strip() for line in part.get_content().splitlines()]
    (link,) = [line for line in lines if re.fullmatch(r"https?://\S+/l/[A-Za-z0-9_.-]+", line)]
    return link


@pytest.fixture
def served() -> Iterator[Served]:
    with serve_in_thread() as served:
        yield served


@pytest.fixture
def config(tmp_path: Path, database_url: str, served: Served) -> Config:
    return factories.config(tmp_path, database_url, base_url=served.url)


@pytest.fixture
def house(
    app: Flask, served: Served, agency: Agency, owner: Staff, workspace: Workspace, tmp_path: Path
) -> Iterator[House]:
    """The installation, reachable at `url`, its agency in Berlin's time."""
    mailbox = FolderTransport(tmp_path / "mail")
    transports.install(app, mailbox)
    with transaction():
        agency.timezone = "Europe/Berlin"
    served.app = app
    yield House(app, served.url, agency, owner, workspace, mailbox)
    served.app = None


@pytest.fixture
def office(browser: Browser, house: House) -> Iterator[BrowserContext]:
    """The owner's browser, signed in."""
    with visitor(browser) as context:
        house.admit(context)
        yield context


@pytest.fixture
def home(browser: Browser) -> Iterator[BrowserContext]:
    """The client's browser."""
    with visitor(browser) as context:
        yield context


@pytest.fixture(name="config")
def with_apps(tmp_path: Path, database_url: str, served: Served, apps: CatalogApps) -> Config:
    """Of an installation that has the apps of the independent provider."""
    apps.register(lambda key: f"{served.url}/oauth/callback/shared-{key}")
    settings = {"apps_dir": apps.folder, "oauth_clients": apps.oauth_clients}
    return factories.config(tmp_path, database_url, base_url=served.url, **settings)


@pytest.fixture
def catalog() -> None:
    """The installation reads its own apps."""


fixtures = (config, home, house, office, served)
with_own_apps = (with_apps, catalog)

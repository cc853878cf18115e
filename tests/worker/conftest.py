"""An installation with a mail server, and requests that wait to be mailed."""

import pytest
from sqlalchemy import select

from app.config import Config
from app.extensions import db
from app.models import OutboxItem
from app.tenancy import across_tenants
from app.worker import Worker
from tests import factories

PRIYA = "priya.nair@harbordental.example"


def mail_settings(server):
    settings = Config.from_environ({"GATEHOUSE_SMTP_URL": server.url, "GATEHOUSE_MAIL_FROM": "requests@gate.example"})
    return {"smtp": settings.smtp, "mail_from": settings.mail_from}


@pytest.fixture
def config(tmp_path, database_url, smtp):
    return factories.config(tmp_path, database_url, **mail_settings(smtp))


@pytest.fixture
def workflow(workspace, owner):
    return factories.make_workflow(workspace, owner, ("slack", "send_channel_message"))


@pytest.fixture
def send(workflow, owner):
    """Send a request to an address; returns its bundle."""

    def send(recipient=PRIYA):
        workflow_of_theirs = factories.make_workflow(
            workflow.workspace, owner, ("slack", "send_channel_message"), name=f"For {recipient}"
        )
        (asked,) = factories.make_sent(workflow_of_theirs, owner, recipient=recipient)
        return asked.bundle

    return send


@pytest.fixture
def work(app):
    """Do all that is due; returns how it ended."""

    def work(**options):
        worker = Worker(app, **options)
        worker.run_once()
        db.session.rollback()
        return dict(worker.tally)

    return work


@pytest.fixture
def item():
    """The outbox's row of a bundle's present link."""

    def item(bundle, epoch=None):
        db.session.rollback()
        with across_tenants("the worker's side"):
            key = f"{bundle.public_id}:{epoch or bundle.epoch}"
            return db.session.scalar(select(OutboxItem).where(OutboxItem.key == key))

    return item

"""A connection that a workflow uses, as the panel shows it."""

import pytest
from sqlalchemy import select

from app import clock as app_clock
from app.extensions import db
from app.models import AuditEvent, ConnectionRequest, Health, Kind
from app.oauth.faults import Fault
from app.services import slots
from tests import factories
from tests.support.staff_browser import page
from tests.web.panel.requests_screen import PRIYA, change, words

FULL = ["chat:write", "channels:read"]


@pytest.fixture
def held(workspace, workflow, owner):
    """Priya's Slack, used by the workflow."""
    held = factories.make_connection(
        workspace, name="Front desk", scopes=FULL, owner_email=PRIYA, account="desk@slack.example"
    )
    slots.use_connection(workflow.slots[0], held.public_id, by=owner)
    return held


@pytest.fixture
def broken(held):
    change(held, health=Health.ERROR, health_reason=Fault.GRANT_ENDED, broken_at=app_clock.now())
    return held


def at(connection, act=""):
    return f"/panel/connections/{connection.public_id}{act}"


def names(answer):
    return [words(each) for each in page(answer).select("tbody th a")]


def asked_to_mend(connection):
    found = select(ConnectionRequest).where(
        ConnectionRequest.kind == Kind.REAUTHORIZE, ConnectionRequest.connection_id == connection.id
    )
    return db.session.scalars(found.order_by(ConnectionRequest.id)).all()


def acts(connection):
    found = select(AuditEvent.type).where(AuditEvent.subject == connection.public_id).order_by(AuditEvent.id)
    return db.session.scalars(found).all()


fixtures = (held, broken)

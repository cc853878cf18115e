"""A connection that broke and that requests ask its owner to mend, and where such requests show."""

import pytest
from sqlalchemy import select

from app import clock as app_clock
from app.extensions import db
from app.models import Health, OutboxItem
from app.oauth.faults import Fault
from app.services import board, mending_requests, nodes, workflows
from tests import factories
from tests.services.settling import change

PRIYA, DANA = "priya.nair@harbordental.example", "dana.reyes@harbordental.example"
FULL = ["chat:write", "channels:read"]


@pytest.fixture
def held(workspace, workflow):
    """Priya's Slack, which the workflow uses, and which broke."""
    held = factories.make_connection(workspace, scopes=FULL, owner_email=PRIYA, account="priya@slack.example")
    change(workflow.slots[0], connection_id=held.id)
    change(held, health=Health.ERROR, health_reason=Fault.GRANT_ENDED)
    return held


@pytest.fixture
def other(workspace, owner, held):
    """Another workflow that uses it too."""
    other = factories.make_workflow(workspace, owner, ("slack", "find_user"), name="Another")
    change(other.slots[0], connection_id=held.id)
    return other


def ask(held, owner, **given):
    return mending_requests.queue(held, by=owner, **given)


def asked_of_many(workspace, owner, count):
    """A workflow in which so many of Priya's connections are to be mended."""
    workflow = workflows.create(workspace, f"With {count}", by=owner)
    for number in range(count):
        nodes.add(workflow, app_key="slack", action_key="find_user", separate=True, by=owner)
        held = factories.make_connection(workspace, name=f"{count}.{number}", owner_email=PRIYA)
        change(workflow.slots[number], connection_id=held.id)
        ask(held, owner, workflow=workflow)
    return workflows.get(workspace, workflow.public_id)


def at(workflow, **page):
    return board.view(workflow, at=app_clock.now(), **page)


def cards(workflow):
    return {card.asked.public_id: card for group in at(workflow).groups for card in group.cards}


def mails():
    return db.session.scalars(select(OutboxItem).where(OutboxItem.kind == "bundle.sent")).all()


fixtures = (held, other)

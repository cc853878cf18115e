"""Handing Slack over, and what tests of it look at: mails, the audit trail and what the card says."""

import pytest
from sqlalchemy import select

from app.extensions import db
from app.models import AuditEvent, OutboxItem
from app.services import handovers, intake

PRIYA, ANA = "priya.nair@harbordental.example", "ana.reyes@harbordental.example"
SAM = "sam@cobalt-it.example"


@pytest.fixture
def slack(sent):
    return sent[0]


def hand_over(asked, to=ANA):
    return handovers.ask(asked.bundle, asked.public_id, to)


def mails():
    return db.session.scalars(select(OutboxItem).where(OutboxItem.kind == "bundle.sent").order_by(OutboxItem.id)).all()


def acts(asked):
    mine = select(AuditEvent).where(AuditEvent.subject == asked.public_id).order_by(AuditEvent.id)
    return [(each.type, each.actor_kind) for each in db.session.scalars(mine) if "hand" in each.type]


def refused(asked):
    """Whom the client's card says that staff did not want asked."""
    return [each.asked.hand_over_refused for each in intake.cards(asked.bundle) if each.asked.id == asked.id]


fixtures = (slack,)

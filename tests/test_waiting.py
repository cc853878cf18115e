"""Nothing waits for the network while a transaction is open, and no read stays open over such a wait."""

import pytest
from sqlalchemy import select

from app.database import in_transaction
from app.egress.transport import GuardedTransport
from app.extensions import db
from app.models import Flow, OutboxItem, Status
from app.services import connection_requests, grants
from tests import factories
from tests.support import provided

pytestmark = pytest.mark.both_databases
catalog, config, visitor = provided.own
_, person, _ = provided.fixtures


@pytest.fixture
def exchanges(monkeypatch):
    """What went out, each seen to go while nothing was open in the database."""
    real, seen = GuardedTransport.exchange, []

    def exchange(self, asked, deadline):
        assert not in_transaction(), f"{asked.url} was called within a transaction"
        assert not db.session().in_transaction(), f"{asked.url} was called with a read open"
        seen.append(asked.url.path)
        return real(self, asked, deadline)

    monkeypatch.setattr(GuardedTransport, "exchange", exchange)
    return seen


def ask(workspace, owner, *step):
    workflow = factories.make_workflow(workspace, owner, step, name=f"For {step[0]}")
    return factories.make_sent(workflow, owner)[0]


def test_a_connection_is_made_without_waiting_in_a_transaction(workspace, owner, visitor, person, exchanges):
    """With discovery, an id_token and its keys: as many calls as there can be."""
    asked = ask(workspace, owner, "ledgerly", "find_invoice")
    page = visitor.open(asked)
    visitor.get(page)
    visitor.approve(visitor.start(page, asked), person)

    db.session.rollback()
    db.session.refresh(asked)
    assert asked.status is Status.FULFILLED
    assert any("openid-configuration" in path for path in exchanges)
    assert "/o/token/" in exchanges


def test_a_grant_is_given_back_without_waiting_in_a_transaction(
    agency, workspace, owner, visitor, person, exchanges, provider
):
    asked = ask(workspace, owner, "northdesk", "find_ticket")
    page = visitor.open(asked)
    visitor.get(page)
    started = visitor.start(page, asked)
    connection_requests.cancel(agency, asked.public_id, by=owner)
    visitor.approve(started, person)
    db.session.rollback()
    item = db.session.scalars(select(OutboxItem).where(OutboxItem.kind == grants.KIND)).one()

    grants.discard(item.payload["flow"], agency_id=agency.id)

    assert exchanges[-1] == "/o/revoke_token/"
    db.session.rollback()
    assert db.session.scalars(select(Flow)).one().grant is None

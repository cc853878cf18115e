"""A link that was forwarded: the account that was connected is compared with the one that was expected."""

import json

import pytest
from sqlalchemy import select

from app.extensions import db
from app.models import AuditEvent, Status
from app.services import connection_requests, sending
from tests import factories
from tests.security.connecting import leave, status


@pytest.fixture
def expecting(workspace, owner):
    """A request for an account of one's own domain."""
    workflow = factories.make_workflow(workspace, owner, ("northdesk", "find_ticket"), name="Tickets")
    whom = {"recipient": "priya.nair@harbordental.example", "expected_account": "harbordental.example"}
    asked = connection_requests.queue(workflow.slots[0], by=owner, **whom)
    sending.send(workflow, by=owner)
    return asked


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("account", "is_other"), [("priya@harbordental.example", False), ("mallory@evil.example", True), ("", False)]
)
def test_row_10_another_account_than_expected_waits_for_a_word_and_is_flagged_and_audited(
    visitor, expecting, person, provider, account, is_other
):
    body = json.dumps({"id": "77", "email": account} if account else {"id": "77", "email": "no address"})
    provider.misbehave("api", status=200, body=body, content_type="application/json", times=1)
    away = leave(visitor, expecting, person)

    assert visitor.ask("GET", away.path, query_string=away.back).status_code == 303
    if is_other:
        assert status(expecting) is Status.PENDING
        page = visitor.open(expecting)
        visitor.get(page)
        assert visitor.post(f"{page}/requests/{expecting.public_id}/keep").status_code == 303

    assert (status(expecting), expecting.other_account) == (Status.FULFILLED, is_other)
    events = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "request.other_account")).all()
    assert [event.data["account"] for event in events] == ([account] if is_other else [])

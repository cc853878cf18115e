"""A request to reconnect: the owner approves anew by the link of the mail, with the same account, and the same connection lives on."""

import pytest
from sqlalchemy import select

from app.database import transaction
from app.extensions import db
from app.models import AuditEvent, Connection, Flow, Health, Status
from app.oauth.faults import Fault
from app.services import mending_requests, secrets, sending

pytestmark = pytest.mark.both_databases


def fresh(row):
    db.session.rollback()
    db.session.refresh(row)
    return row


@pytest.fixture
def held(visitor, asked, person):
    """What Ann connected, and what broke then."""
    page = visitor.open(asked[0])
    visitor.get(page)
    visitor.approve(visitor.start(page, asked[0]), person)
    held = fresh(asked[0]).connection
    with transaction():
        held.health, held.health_reason = Health.ERROR, Fault.GRANT_ENDED
    return held


@pytest.fixture
def mending(held, workflow, owner):
    queued = mending_requests.queue(held, by=owner, note="Your admin took it away.")
    sending.send(queued.workflow, by=owner)
    return fresh(queued)


@pytest.fixture
def page(visitor, mending):
    page = visitor.open(mending)
    visitor.get(page)
    return page


def test_the_card_asks_to_reconnect(visitor, held, mending, page):
    html = visitor.get(page)

    assert "Reconnect Northdesk" in html
    assert "Your admin took it away." in html
    assert "For the account ann@client.example, which was connected before." in html.replace("<wbr>", "")


def test_the_same_account_mends_the_same_connection(visitor, asked, person, provider, held, mending, page):
    before = held.secret_id

    visitor.approve(visitor.start(page, mending), person)

    assert fresh(mending).status is Status.FULFILLED
    assert fresh(held).health is Health.ACTIVE
    assert (held.health_reason, held.broken_at) == (None, None)
    assert held.secret_id != before or provider.call_api(secrets.reveal(held)["access_token"].reveal())[0] == 200
    assert [each.id for each in db.session.scalars(select(Connection))] == [held.id]
    assert fresh(asked[0]).slot.connection_id == held.id
    event = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "request.fulfilled")).all()[-1]
    assert event.data["kind"] == "reauthorize"


def test_another_account_is_never_accepted_for_it(visitor, agency, asked, provider, held, mending, page):
    visitor.approve(visitor.start(page, mending), provider.people["ben"])

    html = visitor.get(page).replace("<wbr>", "")
    assert f"You connected ben@client.example. {agency.name} expected ann@client.example." in html
    assert "Use this account anyway" not in html
    refused = visitor.post(f"{page}/requests/{mending.public_id}/keep")
    assert refused.status_code == 422
    assert fresh(mending).status is Status.PENDING
    assert fresh(held).health is Health.ERROR
    assert [each.account for each in db.session.scalars(select(Connection))] == ["ann@client.example"]


def test_it_asks_for_what_was_frozen_at_sending(visitor, held, mending, page):
    visitor.start(page, mending)

    flow = db.session.scalars(select(Flow).order_by(Flow.id.desc())).first()
    assert set(flow.scopes) == set(mending.sent_scopes) | set(held.scopes)


def test_it_can_be_declined_and_then_accepted_all_the_same(visitor, person, held, mending, page):
    visitor.post(f"{page}/requests/{mending.public_id}/decline", reason="Not now.")
    assert fresh(mending).status is Status.DECLINED
    assert fresh(held).health is Health.ERROR

    visitor.get(page)
    visitor.approve(visitor.start(page, mending), person)

    assert fresh(mending).status is Status.FULFILLED
    assert fresh(held).health is Health.ACTIVE

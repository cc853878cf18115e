"""Right account: another one than staff expected is connected only once the client says so."""

from datetime import timedelta

import pytest
from bs4 import BeautifulSoup
from sqlalchemy import select

from app import clock as app_clock
from app.database import transaction
from app.extensions import db
from app.models import AuditEvent, Connection, Flow, FlowStatus, Notice, Status
from app.services import connection_requests, giving_back, grants, secrets, sending
from tests import factories
from tests.support.visitor import Visitor

pytestmark = pytest.mark.both_databases


def fresh(row):
    db.session.rollback()
    db.session.refresh(row)
    return row


def the_flow():
    db.session.rollback()
    return db.session.scalars(select(Flow).order_by(Flow.id.desc())).first()


def connections():
    return db.session.scalars(select(Connection)).all()


@pytest.fixture
def northdesk(asked):
    with transaction():
        asked[0].expected_account = "ben@client.example"
    return asked[0]


@pytest.fixture
def other(visitor, northdesk, person):
    """Ann has approved where Bob was expected; the address of the page."""
    page = visitor.open(northdesk)
    visitor.get(page)
    visitor.approve(visitor.start(page, northdesk), person)
    return page


@pytest.mark.parametrize("expected", ["", "client.example", "ann@client.example"])
def test_the_account_that_was_expected_is_connected_at_once(visitor, asked, person, expected):
    with transaction():
        asked[0].expected_account = expected
    page = visitor.open(asked[0])
    visitor.get(page)

    visitor.approve(visitor.start(page, asked[0]), person)

    assert fresh(asked[0]).status is Status.FULFILLED
    assert not asked[0].other_account


@pytest.mark.parametrize("expected", ["harbordental.example", "ben@client.example"])
def test_another_account_waits_sealed_for_the_clients_word(visitor, agency, asked, person, expected):
    with transaction():
        asked[0].expected_account = expected
    page = visitor.open(asked[0])
    visitor.get(page)

    visitor.approve(visitor.start(page, asked[0]), person)

    assert fresh(asked[0]).status is Status.PENDING
    assert connections() == []
    flow = the_flow()
    assert (flow.status, flow.outcome) == (FlowStatus.HELD, Notice.OTHER_ACCOUNT)
    assert flow.grant is not None
    html = visitor.get(page)
    assert f"You connected ann@client.example. {agency.name} expected {expected}." in html.replace("<wbr>", "")
    assert "Use this account anyway" in html
    assert "Choose another account" in html
    assert "0 of 2 connected" in html


def test_the_expected_account_is_said_before_one_signs_in(visitor, agency, northdesk):
    html = visitor.get(visitor.open(northdesk)).replace("<wbr>", "")

    assert html.count(f"{agency.name} expects ben@client.example.") == 1


def test_both_ways_on_stand_together_beneath_the_note_the_expected_one_first(visitor, other):
    ways = BeautifulSoup(visitor.get(other), "html.parser").select_one(".gh-note.is-wait + .gh-ways")

    first, second = ways.select("button")
    assert first.text.startswith("Choose another account")
    assert "btn-primary" in first["class"]
    assert second.text.startswith("Use this account anyway")


def test_another_account_of_the_same_name_is_called_that(visitor, northdesk, other):
    with transaction():
        northdesk.expected_account = "Ann@client.example"

    said = visitor.get(other).replace("<wbr>", "")

    assert "You connected another account of the same name, ann@client.example." in said
    assert "expected Ann@client.example" not in said


def test_use_this_account_anyway_connects_it_and_staff_see_a_flag(visitor, northdesk, other, provider):
    answer = visitor.post(f"{other}/requests/{northdesk.public_id}/keep")

    assert answer.status_code == 303
    assert fresh(northdesk).status is Status.FULFILLED
    assert northdesk.other_account
    assert the_flow().grant is None
    token = secrets.reveal(northdesk.connection)["access_token"].reveal()
    assert provider.call_api(token)[0] == 200
    events = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "request.other_account")).all()
    assert [event.data["account"] for event in events] == ["ann@client.example"]


def test_what_was_used_is_not_given_back_when_its_time_comes(visitor, agency, northdesk, other, provider):
    flow = the_flow()
    visitor.post(f"{other}/requests/{northdesk.public_id}/keep")
    before = len(provider.calls("revoke"))

    grants.discard(flow.id, agency_id=agency.id)

    assert len(provider.calls("revoke")) == before
    token = secrets.reveal(fresh(northdesk).connection)["access_token"].reveal()
    assert provider.call_api(token)[0] == 200


def test_used_twice_it_is_one_connection(visitor, northdesk, other):
    visitor.post(f"{other}/requests/{northdesk.public_id}/keep")
    again = visitor.post(f"{other}/requests/{northdesk.public_id}/keep")

    assert again.status_code == 422
    assert len(connections()) == 1


def test_choose_another_account_connects_that_and_gives_the_first_back(visitor, agency, northdesk, other, provider):
    first = the_flow()

    visitor.approve(visitor.start(other, northdesk), provider.people["ben"])

    assert fresh(northdesk).status is Status.FULFILLED
    assert not northdesk.other_account
    assert northdesk.connection.account == "ben@client.example"
    assert fresh(first).status is FlowStatus.FAILED
    grants.discard(first.id, agency_id=agency.id)
    assert fresh(first).grant is None
    assert len(connections()) == 1


def test_a_first_account_that_was_replaced_can_not_be_used_any_more(visitor, northdesk, other, provider):
    """The later of two that wait counts."""
    visitor.approve(visitor.start(other, northdesk), provider.people["cleo"])

    visitor.post(f"{other}/requests/{northdesk.public_id}/keep")

    assert [each.account for each in connections()] == ["cleo@client.example"]


def test_another_browser_with_the_same_link_can_not_use_it(app, visitor, agency, northdesk, other):
    stranger = Visitor(app.test_client())
    page = stranger.open(northdesk)
    html = stranger.get(page).replace("<wbr>", "")
    assert f"You connected ann@client.example. {agency.name} expected ben@client.example." in html
    assert "Use this account anyway" not in html

    answer = stranger.post(f"{page}/requests/{northdesk.public_id}/keep")

    assert answer.status_code == 422
    assert "This sign-in can&#39;t be used any more. Connect the account again." in answer.text
    assert fresh(northdesk).status is Status.PENDING


def test_after_fifteen_minutes_it_is_given_back_and_can_not_be_used(clock, visitor, agency, northdesk, other, provider):
    clock.forward(minutes=15)
    assert visitor.post(f"{other}/requests/{northdesk.public_id}/keep").status_code == 422
    before = len(provider.calls("revoke"))

    grants.discard(the_flow().id, agency_id=agency.id)

    assert len(provider.calls("revoke")) == before + 1
    assert the_flow().grant is None
    html = visitor.get(other).replace("<wbr>", "")
    assert f"You signed in with another account. {agency.name} expected ben@client.example." in html
    assert "Use this account anyway" not in html


def test_what_is_being_given_back_can_not_be_used_meanwhile(visitor, agency, northdesk, other, monkeypatch):
    """The worker's clock may run ahead: whoever comes first has it."""
    flow, pressed = the_flow(), []

    def give_back(*_: object, **__: object) -> str:
        pressed.append(visitor.post(f"{other}/requests/{northdesk.public_id}/keep").status_code)
        return "confirmed"

    monkeypatch.setattr(giving_back, "ask", give_back)

    grants.discard(flow.id, agency_id=agency.id)

    assert pressed == [422]
    assert fresh(northdesk).status is Status.PENDING
    assert connections() == []


@pytest.mark.parametrize("meanwhile", ["cancelled", "moved"])
def test_what_is_no_longer_asked_can_not_be_used(visitor, agency, owner, northdesk, other, meanwhile):
    if meanwhile == "cancelled":
        connection_requests.cancel(agency, northdesk.public_id, by=owner)
    else:
        sending.change_recipient(agency, northdesk.public_id, recipient="someone@harbordental.example", by=owner)

    visitor.post(f"{other}/requests/{northdesk.public_id}/keep")

    assert fresh(northdesk).status is not Status.FULFILLED
    assert connections() == []


def test_a_grant_that_waits_keeps_its_lifetime(visitor, northdesk, other):
    expires_at = the_flow().created_at + timedelta(hours=1)

    visitor.post(f"{other}/requests/{northdesk.public_id}/keep")

    connection = fresh(northdesk).connection
    assert connection.expires_at is None or abs(connection.expires_at - expires_at) < timedelta(minutes=2)
    assert connection.refreshable
    assert app_clock.now() >= connection.granted_at


def test_staff_who_bring_what_a_client_connected_are_told_so_and_change_nothing(
    app, visitor, asked, workspace, owner, person, provider
):
    page = visitor.open(asked[0])
    visitor.get(page)
    visitor.approve(visitor.start(page, asked[0]), person)
    held = fresh(asked[0]).connection
    before = secrets.reveal(held)["access_token"].reveal()
    other = factories.make_workflow(workspace, owner, ("northdesk", "find_ticket"), name="Ours")
    (mine,) = factories.make_sent(other, owner, recipient=owner.email)
    maya = Visitor(app.test_client())
    page = maya.open(mine)
    maya.get(page)

    maya.approve(maya.start(page, mine), person)

    assert "Somebody of the client connected this Northdesk account, and it is theirs" in maya.get(page)
    assert (fresh(mine).status, fresh(held).owner_email) == (Status.PENDING, asked[0].recipient)
    assert secrets.reveal(held)["access_token"].reveal() == before
    maya.approve(maya.start(page, mine), provider.people["ben"])
    assert fresh(mine).status is Status.FULFILLED

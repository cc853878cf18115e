"""A link that was forwarded: the account that was connected is compared with the one that was expected."""

import json

import pytest
from sqlalchemy import select

from app.errors import Conflict
from app.extensions import db
from app.models import AuditEvent, Status
from app.oauth.identify import Identity
from app.services import callbacks, connection_requests, intake, right_account, sending
from tests import factories
from tests.security.connecting import connected, leave, status
from tests.support.browsing import Browser, StubbedProvider


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
    ("account", "is_other"), [("priya@harbordental.example", False), ("mallory@evil.example", True), ("", True)]
)
def test_row_10_another_account_than_expected_waits_for_a_word_and_is_flagged_and_audited(
    agency, visitor, expecting, person, provider, account, is_other
):
    body = json.dumps({"id": "77", "email": account or "no address"})
    provider.misbehave("api", status=200, body=body, content_type="application/json", times=1)
    away = leave(visitor, expecting, person)

    assert visitor.ask("GET", away.path, query_string=away.back).status_code == 303
    if is_other:
        assert status(expecting) is Status.PENDING
        page = visitor.open(expecting)
        told = f"You connected {account or 'no address'}. {agency.name} expected"
        assert f"{told} harbordental.example." in visitor.get(page).replace("<wbr>", "")
        assert visitor.post(f"{page}/requests/{expecting.public_id}/keep").status_code == 303

    assert (status(expecting), expecting.other_account) == (Status.FULFILLED, is_other)
    events = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "request.other_account")).all()
    assert [event.data["account"] for event in events] == ([account or "no address"] if is_other else [])


@pytest.mark.both_databases
@pytest.mark.parametrize("expected", ["harbordental.example", "priya@harbordental.example"])
@pytest.mark.parametrize(
    ("called", "email"),
    [
        ("priya@harbordental.example", ""),  # a team may be called whatever who made it likes
        ("priya@harbordental.example", "mallory@evil.example"),
        ("Harbor Dental", ""),
        ("Harbor Dental", "mallory@evil.example, priya@harbordental.example"),
        ("Harbor Dental", "priya@harbordental.example.evil.example"),
        ("Harbor Dental", "mallory@evil-harbordental.example"),
    ],
)
def test_row_10_what_an_account_calls_itself_does_not_make_it_the_one_that_was_expected(
    workspace, owner, monkeypatch, expected, called, email
):
    someone = Identity(issuer="https://provider.example", id="T-EVIL", label=called, email=email)
    asked, browser = expecting_of(workspace, owner, expected)

    assert connect(browser, asked, someone, monkeypatch) == "other_account"
    assert (status(asked), connected()) == (Status.PENDING, 0)
    right_account.use(browser.enter(asked.bundle), asked.public_id, session_hash=browser.id_hash)

    assert (status(asked), asked.other_account) == (Status.FULFILLED, True)


@pytest.mark.both_databases
def test_row_10_an_account_that_was_connected_before_is_compared_too(workspace, owner, monkeypatch):
    """It is not used in the place of the one that was expected, though its own name says so."""
    private = Identity(issuer="https://provider.example", id="T-OWN", label="priya@harbordental.example")
    first, browser = expecting_of(workspace, owner, "")
    assert connect(browser, first, private, monkeypatch) == "connected"
    asked, _browser = expecting_of(workspace, owner, "harbordental.example", name="Second")

    (card,) = (each for each in intake.cards(asked.bundle) if each.asked.id == asked.id)
    assert card.offer is None
    with pytest.raises(Conflict):
        intake.use_offer(asked.bundle, asked.public_id, first.connection.public_id)
    assert status(asked) is Status.PENDING


def expecting_of(workspace, owner, account, *, name="First"):
    """A request, and the browser in which its link was opened."""
    workflow = factories.make_workflow(workspace, owner, ("northdesk", "find_ticket"), name=name)
    whom = {"recipient": "priya@harbordental.example", "expected_account": account}
    asked = connection_requests.queue(workflow.slots[0], by=owner, **whom)
    sending.send(workflow, by=owner)
    browser = Browser()
    browser.open(asked.bundle)
    return asked, browser


def connect(browser, asked, someone, monkeypatch):
    stub = StubbedProvider()
    monkeypatch.setattr(callbacks, "exchange", stub.exchange)
    monkeypatch.setattr(callbacks, "identify", lambda *_, **__: someone)
    return browser.finish(browser.start(asked)).outcome

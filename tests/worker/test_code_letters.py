"""Codes by mail: who gets one, when none goes any more, and how much of all mail they may be."""

import re
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select, update

from app.database import transaction
from app.extensions import db
from app.models import Agency, AuditEvent, Counter, PortalCode
from app.services import known_browsers, letters, portal_codes
from app.tenancy import across_tenants
from tests import factories
from tests.web.portal.conftest import Client
from tests.worker import clients
from tests.worker.clients import DANA, NOBODY

pytestmark = pytest.mark.both_databases
connection, member = clients.fixtures


def ask(email, agency, clock, *, browser=b"b" * 32, mark=None):
    agency_id = agency.id if agency else None
    portal_codes.ask(email, agency_id=agency_id, browser_hash=browser, at=clock.now, mark=mark)
    with across_tenants("the test looks at it"):
        return db.session.scalars(select(PortalCode).where(PortalCode.browser_hash == browser)).one()


def test_a_member_is_mailed_the_code_and_the_button(agency, member, clock, work, smtp):
    asked = ask(DANA, agency, clock)

    assert work() == {"done": 1}
    (mail,) = smtp.inbox.all()
    assert mail.message["To"] == DANA
    assert mail.message["Subject"] == "Your code to sign in at Northwind Studio"
    for body in (mail.text, mail.html):
        assert portal_codes.code_of(asked) in body
        assert f"http://localhost/portal/enter/{portal_codes.button_of(asked)}" in body


def test_the_button_leads_to_the_page_that_was_asked_for(app, agency, member, clock, work, smtp):
    """From the door on, in the browser that asked."""
    dana = Client(app, app.test_client())
    door = dana.get(f"/portal/connections/workflows/{'a' * 20}").headers["Location"]
    dana.get(door)
    dana.post(door, email=DANA)
    assert work() == {"done": 1}
    (mail,) = smtp.inbox.all()
    (url,) = re.findall(r"^http://localhost(/portal/enter/\S+)$", mail.text, re.MULTILINE)

    assert url in mail.html
    assert urlsplit(url).query == f"to=show_workflow.{'a' * 20}"
    (form,) = re.findall(r'<form[^>]*action="(/portal/enter/[^"]*)"', dana.get(url).text)
    assert dana.post(form).headers["Location"] == f"/portal/connections/workflows/{'a' * 20}"


@pytest.mark.parametrize("to", ["https://evil.example", "show_home", "show_workflow.A", ""])
def test_the_button_carries_no_key_that_is_none(app, agency, member, clock, work, smtp, to):
    dana = Client(app, app.test_client())
    dana.get("/portal/login")
    dana.post(f"/portal/login?to={to}", email=DANA)
    assert work() == {"done": 1}
    (mail,) = smtp.inbox.all()

    assert "to=" not in mail.text


def test_an_owner_of_a_connection_is_mailed_too(agency, connection, clock, work, smtp):
    ask(DANA, agency, clock)

    assert work() == {"done": 1}
    assert len(smtp.inbox) == 1


def test_an_address_without_a_place_gets_nothing(agency, member, clock, work, smtp):
    ask(NOBODY, agency, clock)

    assert work() == {"superseded": 1}
    assert len(smtp.inbox) == 0


def test_a_code_asked_for_at_another_agency_is_not_mailed(agency, member, stranger, clock, work, smtp):
    with across_tenants("the test's setting"):
        ask(DANA, stranger.agency, clock)

    assert work() == {"superseded": 1}
    assert len(smtp.inbox) == 0


def test_where_no_agency_is_named_the_code_comes_from_one_that_knows_the_address(agency, stranger, clock, work, smtp):
    theirs = factories.make_workspace(stranger.agency, "Elsewhere")
    factories.make_member(theirs, DANA)
    ask(DANA, None, clock)

    assert work() == {"done": 1}
    assert smtp.inbox.all()[0].message["From"].startswith("Southpaw Labs")


def test_a_code_that_is_over_is_not_mailed_any_more(agency, member, clock, work, smtp):
    ask(DANA, agency, clock)
    clock.forward(minutes=10)

    assert work() == {"superseded": 1}
    assert len(smtp.inbox) == 0


def test_asking_again_in_one_browser_replaces_what_was_not_mailed_yet(agency, member, clock, work, smtp):
    ask(DANA, agency, clock)
    second = ask(DANA, agency, clock)

    assert work() == {"superseded": 1, "done": 1}
    assert [portal_codes.code_of(second) in mail.text for mail in smtp.inbox.all()] == [True]


def cap(**caps):
    with transaction() as session:
        session.execute(update(Agency).values(**caps))


def ask_often(agency, clock, times, *, mark=None):
    """From as many networks and browsers."""
    for number in range(times):
        db.session().info["address"] = f"198.51.100.{number}"
        ask(DANA, agency, clock, browser=f"{clock.now:%H%M}{number:028}".encode(), mark=mark)
    db.session().info.pop("address", None)


def invite(member, clock, times=1):
    with transaction():
        for _ in range(times):
            letters.invite(member, at=clock.now)


@pytest.mark.parametrize("caps", [{"mails_per_recipient_day": 6}, {"mails_per_hour": 6}], ids=["recipient", "agency"])
def test_codes_count_as_mail_and_leave_half_of_it_to_the_rest(agency, member, clock, work, smtp, caps):
    clock.to(clock.now.replace(hour=3, minute=0, second=0))
    cap(**caps)
    ask_often(agency, clock, 5)
    assert work() == {"done": 3, "superseded": 2}, "what would leave when it is over is given up"

    invite(member, clock, 5)
    assert work() == {"done": 3, "postponed": 2}


@pytest.mark.parametrize("caps", [{"mails_per_recipient_day": 2}, {"mails_per_hour": 2}], ids=["recipient", "agency"])
def test_no_other_mail_keeps_a_client_from_signing_in(agency, member, clock, work, smtp, caps):
    clock.to(clock.now.replace(hour=3, minute=0, second=0))
    cap(**caps)
    invite(member, clock, 3)
    assert work() == {"done": 2, "postponed": 1}

    ask_often(agency, clock, 1)
    assert work() == {"done": 1}


@pytest.mark.parametrize("caps", [{"mails_per_recipient_day": 1}, {"mails_per_hour": 1}], ids=["recipient", "agency"])
def test_where_one_mail_may_leave_a_code_does_not_take_its_place(agency, member, clock, work, smtp, caps):
    clock.to(clock.now.replace(hour=3, minute=0, second=0))
    cap(**caps)
    ask_often(agency, clock, 2)
    invite(member, clock)

    assert work() == {"done": 2, "superseded": 1}


def test_what_a_known_browser_asks_for_is_mailed_whatever_strangers_asked_for(agency, member, clock, work, smtp):
    cap(mails_per_recipient_day=2, mails_per_hour=2)
    ask_often(agency, clock, 12)
    assert work()["done"] == 1
    clock.forward(minutes=1)

    ask_often(agency, clock, 3, mark=known_browsers.mark_of(DANA))
    invite(member, clock)
    assert work() == {"done": 4}


def test_a_code_counts_at_the_agency_whose_mail_it_is(agency, stranger, clock, work, smtp):
    """Asked for at the common door, which the outbox of the first agency keeps."""
    theirs = stranger.agency_id
    factories.make_member(factories.make_workspace(stranger.agency, "Elsewhere"), DANA)
    with across_tenants("the test's setting"):
        cap(mails_per_hour=2)
    ask(DANA, None, clock, browser=b"1" * 32)
    ask(DANA, None, clock, browser=b"2" * 32)
    assert work()["done"] == 1

    counted = db.session.scalars(select(Counter.key).where(Counter.key.contains("mail of agency"))).all()
    assert {key.rpartition(" ")[2] for key in counted} == {str(theirs)}


def test_nobody_reads_in_the_audit_trail_that_somebody_asked_for_a_code(agency, member, clock, work):
    ask(DANA, agency, clock)
    work()

    assert db.session.scalars(select(AuditEvent.type)).all() == []

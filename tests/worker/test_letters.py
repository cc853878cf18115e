"""Letters beside the one that asks for apps: who gets which, when none goes any more, and that each goes as carefully."""

import re
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select, update

from app import clock as app_clock
from app.database import transaction
from app.extensions import db
from app.models import Agency, AuditEvent, Connection, Counter, Health, OutboxItem, PortalCode
from app.services import known_browsers, letters, members, ownership, portal_codes, rotation, scopes
from app.tenancy import across_tenants
from tests import factories
from tests.web.portal.conftest import Client

DANA, NOBODY = "dana.reyes@harbordental.example", "nobody@elsewhere.example"
pytestmark = pytest.mark.both_databases


@pytest.fixture
def member(workspace):
    return factories.make_member(workspace, DANA)


@pytest.fixture
def connection(workspace, clock):
    return factories.make_connection(
        workspace, owner_email=DANA, health=Health.ERROR, health_reason="grant_ended", broken_at=clock.now
    )


def ask(email, agency, clock, *, browser=b"b" * 32, mark=None):
    agency_id = agency.id if agency else None
    portal_codes.ask(email, agency_id=agency_id, browser_hash=browser, at=clock.now, mark=mark)
    with across_tenants("the test looks at it"):
        return db.session.scalars(select(PortalCode).where(PortalCode.browser_hash == browser)).one()


def row(kind):
    db.session.rollback()
    return db.session.scalars(select(OutboxItem).where(OutboxItem.kind == kind)).one()


def tell(connection, clock):
    with transaction():
        letters.tell_broken(connection, at=clock.now)


# ── Codes ───────────────────────────────────────────────────────────────────


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


# ── Invitations ─────────────────────────────────────────────────────────────


def test_who_is_added_is_invited_with_the_way_to_the_portal_and_nothing_secret(
    agency, workspace, owner, clock, work, smtp
):
    members.add(workspace, name="Dana Reyes", email=DANA, by=owner)

    assert work() == {"done": 1}
    (mail,) = smtp.inbox.all()
    assert mail.message["Subject"] == "Northwind Studio invites you to its client portal"
    assert "http://localhost/portal/login/northwind-studio\n" in mail.text
    assert "Harbor Dental" in mail.text
    sent = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "mail.sent")).one()
    assert (sent.subject_kind, sent.data) == ("member", {"recipient": DANA, "letter": "member.invited"})


def test_who_was_removed_meanwhile_is_not_invited(agency, workspace, owner, clock, work, smtp):
    added = members.add(workspace, name="Dana Reyes", email=DANA, by=owner)
    members.remove(workspace, added.public_id, by=owner)

    assert work() == {"superseded": 1}
    assert len(smtp.inbox) == 0


def test_an_invitation_waits_where_the_recipient_has_had_enough_mail(agency, member, clock, work, smtp):
    with transaction() as session:
        session.execute(update(Agency).values(mails_per_recipient_day=1))
        letters.invite(member, at=clock.now)
        letters.invite(member, at=clock.now)

    assert work() == {"done": 1, "postponed": 1}
    assert len(smtp.inbox) == 1


# ── Broken connections ──────────────────────────────────────────────────────


def test_the_owner_is_told_what_broke_and_what_waits_for_it(agency, connection, owner, workspace, clock, work, smtp):
    workflow = factories.make_workflow(workspace, owner, ("slack", "send_channel_message"), name="Recall reminders")
    with transaction() as session:
        session.get_one(Connection, connection.id)
        workflow.slots[0].connection_id, workflow.version = connection.id, 1
    tell(connection, clock)

    assert work() == {"done": 1}
    (mail,) = smtp.inbox.all()
    assert mail.message["To"] == DANA
    assert mail.message["Subject"] == "Northwind Studio: Slack needs to be connected again"
    assert "Access was removed or ran out in Slack." in mail.text
    assert "Paused until then: Recall reminders." in mail.text
    assert "http://localhost/portal/login/northwind-studio\n" in mail.text


def test_it_is_told_once_however_often_it_is_found_broken(connection, clock, work, smtp):
    tell(connection, clock)
    tell(connection, clock)

    assert work() == {"done": 1}


def test_a_connection_that_works_again_is_not_told_of(connection, clock, work, smtp):
    tell(connection, clock)
    with transaction() as session:
        session.execute(update(Connection).values(health=Health.ACTIVE, broken_at=None))

    assert work() == {"superseded": 1}
    assert len(smtp.inbox) == 0


def test_one_that_broke_again_is_told_of_by_its_own_letter(connection, clock, work, smtp):
    tell(connection, clock)
    clock.forward(hours=1)
    with transaction() as session:
        session.execute(update(Connection).values(broken_at=clock.now))
    tell(connection, clock)

    assert work() == {"superseded": 1, "done": 1}


def test_the_agencys_owners_are_told_of_its_own_connection(agency, owner, teammate, workspace, clock, work, smtp):
    own = factories.make_connection(workspace, health=Health.ERROR, broken_at=clock.now)
    tell(own, clock)

    assert work() == {"done": 1}
    (mail,) = smtp.inbox.all()
    assert mail.message["To"] == owner.email
    assert "http://localhost/panel/\n" in mail.text


def test_the_members_are_told_once_the_owner_has_left(connection, workspace, clock, work, smtp):
    names = ("one@harbordental.example", "two@harbordental.example")
    for name in names:
        factories.make_member(workspace, name)
    with transaction() as session:
        session.execute(update(Connection).values(owner_left_at=clock.now))
    tell(connection, clock)

    assert work() == {"done": 2}
    assert {mail.message["To"] for mail in smtp.inbox.all()} == set(names)


# ── Another owner ───────────────────────────────────────────────────────────


def passes(connection, to, clock, *, version=2):
    """As when somebody else connects the same account."""
    with transaction():
        before = ownership.of(connection)
        connection.owner_email = to
        ownership.pass_on(connection, before, version=version, at=clock.now)


def test_who_had_a_connection_is_told_that_another_has_it_and_not_who(connection, clock, work, smtp):
    passes(connection, NOBODY, clock)

    assert work() == {"done": 1}
    (mail,) = smtp.inbox.all()
    assert mail.message["To"] == DANA
    assert mail.message["Subject"] == "Northwind Studio: Slack was connected by somebody else"
    told = "You had connected Slack as someone@slack.example for Harbor Dental. Another person has connected the same account."
    for body in (mail.text, mail.html):
        assert told in body
        assert "Write to Northwind Studio at once" in body
        assert NOBODY not in body
    sent = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "mail.sent")).one()
    assert (sent.subject, sent.data) == (
        connection.public_id,
        {"recipient": DANA, "letter": "connection.owner_changed"},
    )


def test_the_letter_leads_to_the_portal_only_whoever_may_still_enter_it(connection, workspace, clock, work, smtp):
    passes(connection, NOBODY, clock)
    work()
    factories.make_member(workspace, DANA)
    passes(connection, DANA, clock, version=3)
    passes(connection, NOBODY, clock, version=4)
    work()

    first, second = (each for each in smtp.inbox.all() if each.message["To"] == DANA)
    assert "/portal/" not in first.text
    assert "Open your Slack settings:" in first.text
    assert "http://localhost/portal/login/northwind-studio\n" in second.text


def test_an_app_without_such_a_page_has_no_button_in_the_letter(workspace, clock, work, smtp, monkeypatch):
    bare = factories.make_connection(workspace, owner_email=DANA)
    app = replace(scopes.app_of(bare), revoke_help="")
    monkeypatch.setattr(scopes, "app_of", lambda _row: app)
    passes(bare, NOBODY, clock)

    assert work() == {"done": 1}
    (mail,) = smtp.inbox.all()
    assert 'class="button"' not in mail.html
    assert "If the button" not in mail.html
    assert "any more.\n\nIs that not right?" in mail.text


def test_who_has_it_again_meanwhile_is_not_told(connection, clock, work, smtp):
    passes(connection, NOBODY, clock)
    passes(connection, DANA, clock, version=3)

    assert work() == {"superseded": 1, "done": 1}
    assert [mail.message["To"] for mail in smtp.inbox.all()] == [NOBODY]


def test_of_what_was_deleted_meanwhile_nobody_is_told(connection, clock, work, smtp):
    passes(connection, NOBODY, clock)
    with transaction() as session:
        session.execute(update(Connection).values(deleted_at=clock.now))

    assert work() == {"superseded": 1}


# ── As careful as the other ─────────────────────────────────────────────────


def test_a_letter_that_may_have_arrived_is_repeated_byte_for_byte(agency, member, clock, work, smtp):
    with transaction():
        letters.invite(member, at=clock.now)
    smtp.fault("BODY", "drop", times=1, keeps=True)

    assert work() == {"retry": 1}
    clock.forward(minutes=2)
    assert work() == {"done": 1}
    first, second = (each.raw for each in smtp.inbox.all())
    assert first == second
    assert row("member.invited").message is None


def test_a_letter_can_be_put_once_for_a_cause(agency, member, clock):
    with transaction():
        given = {"agency_id": agency.id, "at": clock.now, "member": member.id}
        assert letters.put(letters.INVITED, "one", **given)
        assert not letters.put(letters.INVITED, "one", **given)
        with pytest.raises(ValueError, match="no letter"):
            letters.put("bundle.sent", "two", **given)
        with pytest.raises(ValueError, match="no letter"):
            letters.put(letters.INVITED, "two", **given, bundle=1)


def test_invitations_are_numbered(agency, member, clock):
    with transaction():
        assert [letters.invite(member, at=clock.now) for _ in range(3)] == [1, 2, 3]


def test_the_vault_looks_after_a_letter_that_waits(app, agency, member, work, smtp):
    """It opens at the place that rotation and the doctor work out for it."""
    with transaction():
        letters.invite(member, at=app_clock.now())
    smtp.fault("BODY", "drop", times=1, keeps=True)
    work()
    keyring = app.extensions["gatehouse"].keyring

    count, broken = rotation.examine(db.engine, keyring)

    assert (count, broken) == (1, [])

"""Letters about connections: to whom it is told that one broke or is another's now, and when no longer."""

from dataclasses import replace

import pytest
from sqlalchemy import select, update

from app.database import transaction
from app.extensions import db
from app.models import AuditEvent, Connection, Health
from app.services import letters, ownership, scopes
from tests import factories
from tests.worker import clients
from tests.worker.clients import DANA, NOBODY

pytestmark = pytest.mark.both_databases
connection, member = clients.fixtures


def tell(connection, clock):
    with transaction():
        letters.tell_broken(connection, at=clock.now)


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

"""Letters beside the one that asks for apps: whom invitations reach, and that each goes as carefully."""

import pytest
from sqlalchemy import select, update

from app import clock as app_clock
from app.database import transaction
from app.extensions import db
from app.models import Agency, AuditEvent, OutboxItem
from app.services import letters, members, rotation
from tests.worker import clients
from tests.worker.clients import DANA

pytestmark = pytest.mark.both_databases
connection, member = clients.fixtures


def row(kind):
    db.session.rollback()
    return db.session.scalars(select(OutboxItem).where(OutboxItem.kind == kind)).one()


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

"""From the outbox to the mail server: one mail for each cause, the same one if it must be tried again."""

import re
import threading
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import select

from app import links
from app.database import in_transaction, transaction
from app.extensions import db
from app.mailer.smtp import Connection
from app.models import AuditEvent, Channel, OutboxState, Staff
from app.services import bundle_mail, connection_requests, deliveries, link_tokens, sending
from app.services.deliveries import DeliveryState
from app.tenancy import enter_tenant
from tests import factories
from tests.worker.conftest import PRIYA

ANN, BEN = "ann@client.example", "ben@client.example"


def later(clock, **by):
    """Move the clock on so far that what waits is due."""
    clock.forward(**(by or {"minutes": 5}))


def acts():
    return list(
        db.session.scalars(select(AuditEvent.type).where(AuditEvent.type.like("mail.%")).order_by(AuditEvent.id))
    )


@pytest.mark.both_databases
def test_a_mail_is_sent_once_and_its_copy_is_shredded(send, work, item, smtp, clock):
    bundle = send()

    assert work() == {"done": 1}
    assert work() == {}

    (received,) = smtp.inbox.wait_for(1, quiet=0.1)
    assert (received.mail_from, received.rcpt_tos) == ("requests@gate.example", (PRIYA,))
    assert received.links == [links.intake_url(link_tokens.of(bundle))]
    done = item(bundle)
    assert (done.state, done.message, done.attempts) == (OutboxState.DONE, None, 0)
    assert done.message_id == received.message["Message-ID"]
    assert acts() == ["mail.sent"]


@pytest.mark.parametrize(("member", "lifetime"), [(False, timedelta(days=7)), (True, timedelta(hours=4))])
def test_the_clock_starts_when_the_mail_is_handed_over(workspace, send, work, smtp, clock, member, lifetime):
    if member:
        factories.make_member(workspace, PRIYA)
    bundle = send()
    assert bundle.clock_started_at is None
    handed_over = clock.forward(hours=30)

    work()

    assert bundle.clock_started_at == handed_over
    assert bundle.expires_at == handed_over + lifetime
    assert bundle.channel is (Channel.PORTAL if member else Channel.LINK)
    (received,) = smtp.inbox.wait_for(1)
    assert f"{bundle.expires_at:%H:%M} UTC" in received.text
    assert str(bundle.expires_at.day) in received.text
    assert received.message["Date"].datetime == handed_over


@pytest.mark.parametrize(
    ("at", "do", "keeps"),
    [("BODY", "451 4.3.0 Later", False), ("BODY", "drop", False), ("BODY", "drop", True), ("DATA", "drop", False)],
)
def test_another_try_after_the_mail_was_begun_is_the_same_to_the_byte(send, work, item, smtp, clock, at, do, keeps):
    bundle = send()
    smtp.fault(at, do, times=1, keeps=keeps)
    assert work() == {"retry": 1}
    begun = item(bundle)
    assert begun.state is OutboxState.RETRY
    expires_at, message_id = bundle.expires_at, begun.message_id
    later(clock)

    assert work() == {"done": 1}

    received = smtp.inbox.wait_for(2 if keeps else 1, quiet=0.1)
    assert len({each.raw for each in received}) == 1
    assert received[-1].message["Message-ID"] == message_id
    assert bundle.expires_at == expires_at, "another try never moves the clock"


def test_another_try_before_anything_left_is_written_anew(send, work, item, smtp, clock):
    bundle = send()
    smtp.fault("RCPT", "450 4.2.0 Greylisted", times=1)

    assert work() == {"retry": 1}

    waiting = item(bundle)
    assert (waiting.message, waiting.message_id, bundle.clock_started_at) == (None, None, None)
    later(clock)
    assert work() == {"done": 1}
    assert bundle.clock_started_at == clock.now


def test_what_was_begun_is_sealed_in_its_place(app, send, work, item, smtp, clock):
    first, second = send(ANN), send(BEN)
    smtp.fault("BODY", "451 Later", times=2)
    work()

    sealed = item(first).message
    token = link_tokens.of(first).encode()
    assert token not in sealed
    assert b"Subject" not in sealed
    with transaction():
        item(second).message = sealed
    later(clock)
    assert work() == {"done": 1, "retry": 1}
    assert item(second).error == "internal"


@pytest.mark.parametrize("change", ["resend", "cancel"])
def test_a_mail_whose_cause_has_moved_on_is_not_sent(agency, owner, send, work, item, smtp, clock, change):
    bundle = send()
    (asked,) = factories.outstanding(bundle)
    later(clock, minutes=6)
    if change == "resend":
        sending.resend(agency, asked.public_id, by=owner)
    else:
        connection_requests.cancel(agency, asked.public_id, by=owner)

    outcome = work()

    assert outcome == ({"superseded": 1, "done": 1} if change == "resend" else {"superseded": 1})
    assert (item(bundle, 1).state, item(bundle, 1).error) == (OutboxState.DONE, "superseded")
    assert len(smtp.inbox) == (1 if change == "resend" else 0)


def test_a_mail_that_was_begun_is_not_sent_again_once_its_link_is_dead(agency, owner, send, work, item, smtp, clock):
    bundle = send()
    smtp.fault("BODY", "451 Later", times=1)
    work()
    later(clock, minutes=6)
    (asked,) = factories.outstanding(bundle)
    sending.resend(agency, asked.public_id, by=owner)

    assert work() == {"superseded": 1, "done": 1}

    (received,) = smtp.inbox.wait_for(1, quiet=0.1)
    assert received.links == [links.intake_url(link_tokens.of(bundle))]
    assert item(bundle, 1).message is None


@pytest.mark.both_databases
def test_a_resend_at_the_very_moment_that_a_mail_begins_leaves_one_working_link(
    app, agency, owner, send, work, smtp, clock, monkeypatch
):
    """Resent after the bundle was read for the mail: it waits for the mail."""
    bundle = send()
    clock.forward(minutes=6)
    public_id, ids = factories.outstanding(bundle)[0].public_id, (agency.id, owner.id)
    original, resending = bundle_mail._current, []

    def resend():
        with app.app_context():
            enter_tenant(ids[0])
            staff = db.session.get_one(Staff, ids[1])
            sending.resend(staff.agency, public_id, by=staff)

    def current(item, *, at):
        found = original(item, at=at)
        if in_transaction() and not resending:
            resending.append(threading.Thread(target=resend))
            resending[0].start()
            resending[0].join(0.5)
        return found

    monkeypatch.setattr(bundle_mail, "_current", current)

    outcome = work()
    resending[0].join(20)
    outcome = Counter(outcome) + Counter(work())

    assert outcome == {"done": 2}
    db.session.rollback()
    assert (bundle.epoch, smtp.inbox.all()[-1].links) == (2, [links.intake_url(link_tokens.of(bundle))])


def test_a_mail_whose_link_ran_out_between_tries_ends_undelivered(send, work, item, smtp, clock):
    bundle = send()
    smtp.fault("BODY", "451 Later")
    work()
    later(clock, days=8)

    assert work() == {"dead": 1}
    assert item(bundle).error == "expired"
    assert len(smtp.inbox) == 0


def test_a_refused_recipient_ends_it_at_once_and_try_again_sends_it(owner, send, work, item, smtp, clock):
    bundle = send()
    smtp.fault("RCPT", "550 5.1.1 No such person", times=1)

    assert work() == {"dead": 1}

    assert (item(bundle).error, item(bundle).error_detail) == ("refused", "550 5.1.1")
    assert bundle.clock_started_at is None
    assert deliveries.of_bundles([bundle.id])[bundle.id].state is DeliveryState.UNDELIVERED
    deliveries.try_again(bundle, by=owner)
    assert work() == {"done": 1}
    assert acts() == ["mail.undelivered", "mail.retried", "mail.sent"]


def test_a_bad_row_does_not_stop_the_rest(agency, send, work, item, smtp):
    bad, *good = send(ANN), send(BEN), send(PRIYA)
    with transaction():
        bad.recipient = "ann@client.example\r\nRCPT TO:<eve@evil.example>"

    assert work() == {"dead": 1, "done": 2}

    assert item(bad).error == "address"
    assert [item(bundle).state for bundle in good] == [OutboxState.DONE] * 2
    assert sorted(received.rcpt_tos for received in smtp.inbox.all()) == [(BEN,), (PRIYA,)]


def test_an_error_of_ours_is_tried_again_and_seen(send, work, item, smtp, clock, monkeypatch):
    bundle = send()
    monkeypatch.delattr("app.mailer.bundle_sent.colours.palette")

    assert work() == {"retry": 1}
    assert item(bundle).error == "internal"
    assert (item(bundle).message, bundle.clock_started_at) == (None, None)


def test_a_mail_that_is_out_is_not_sent_again_because_others_could_not_be_hurried(send, work, item, smtp, monkeypatch):
    bundle = send()
    monkeypatch.delattr("app.worker.mail.outbox.hurry")

    assert work() == {"done": 1}

    assert item(bundle).state is OutboxState.DONE
    smtp.inbox.wait_for(1, quiet=0.1)


# ── The network and the database ─────────────────────────────────────────────


def test_no_transaction_is_open_while_the_network_is_waited_for(send, work, monkeypatch, smtp):
    open_ones = []
    for name in ("configure_host", "_begun"):
        original = getattr(Connection, name)

        def watched(self, *given, original=original):
            open_ones.append(in_transaction() or db.session().in_transaction())
            return original(self, *given)

        monkeypatch.setattr(Connection, name, watched)
    hand_over = Connection.deliver

    def deliver(self, sender, recipient, content, **options):
        def after():
            message = content()
            open_ones.append(in_transaction() or db.session().in_transaction())
            return message

        hand_over(self, sender, recipient, after, **options)

    monkeypatch.setattr(Connection, "deliver", deliver)
    send(ANN)
    send(BEN)

    assert work() == {"done": 2}
    assert open_ones == [False] * 5


def test_logs_hold_no_link_and_no_words_of_the_server(send, work, smtp, capfd, caplog, clock):
    bundle = send()
    smtp.fault("RCPT", f"450 4.2.0 see http://evil.example/{link_tokens.of(bundle)}", times=1)
    work()
    later(clock)
    work()

    said = "".join(capfd.readouterr()) + caplog.text
    assert link_tokens.of(bundle) not in said
    assert "evil.example" not in said
    assert re.search(r"work settled", said)

"""Handing mail to a server that may do anything."""

import tracemalloc

import flask_mail
import pytest

from app.mailer.transports import SmtpTransport
from app.services.claims import Failed
from tests.mailer.handing import ANN, BEN, MAIL, SENDER, connection, deliver, failure, scripted, server_of


def test_deliver_hands_over_the_very_bytes(smtp):
    with connection(smtp) as carrier:
        deliver(carrier)

    (received,) = smtp.inbox.wait_for(1)
    assert (received.mail_from, received.rcpt_tos, received.raw) == (SENDER, (ANN,), MAIL)


def test_deliver_keeps_the_connection_for_the_next(smtp):
    with connection(smtp) as carrier:
        for _ in range(3):
            deliver(carrier)

    smtp.inbox.wait_for(3)
    assert smtp.connections == 1


def test_send_takes_a_message_of_flask_mails(smtp, app_context):
    message = flask_mail.Message("Hello", [ANN], body="Go", sender=SENDER)

    with connection(smtp) as carrier:
        message.send(carrier)

    assert smtp.inbox.wait_for(1)[0].rcpt_tos == (ANN,)


@pytest.mark.parametrize(
    ("at", "do"), [("MAIL", "drop"), ("MAIL", "421 4.3.2 Enough for today"), ("RSET", "drop"), ("ACCEPTED", "drop")]
)
def test_deliver_opens_the_connection_again_when_the_server_leaves_a_kept_one(smtp, at, do):
    with connection(smtp) as carrier:
        deliver(carrier)
        smtp.fault(at, do, times=1)
        if at == "RSET":
            smtp.fault("RCPT", "550 5.1.1 No such person", times=1)
            with pytest.raises(Failed):
                deliver(carrier)
        for _ in range(2):
            deliver(carrier)

    smtp.inbox.wait_for(3)
    assert smtp.connections == 2


def test_deliver_asks_for_the_content_only_once_the_recipient_is_agreed(smtp):
    smtp.fault("RCPT", "550 5.1.1 No such person", to=ANN)
    asked = []

    def content():
        asked.append(1)
        return MAIL

    failed = failure(smtp, content=content)

    assert (failed.error, failed.detail, failed.permanent, failed.down) == ("refused", "550 5.1.1", True, False)
    assert asked == []


def test_deliver_goes_on_after_a_refusal_and_after_content_that_is_withheld(smtp):
    smtp.fault("RCPT", "550 No", to=ANN)

    def withheld():
        raise KeyError("withheld")

    with connection(smtp) as carrier:
        with pytest.raises(Failed):
            deliver(carrier)
        with pytest.raises(KeyError):
            deliver(carrier, BEN, withheld)
        deliver(carrier, BEN)

    (received,) = smtp.inbox.wait_for(1)
    assert received.rcpt_tos == (BEN,)
    assert smtp.connections == 1


@pytest.mark.parametrize(
    ("at", "do", "error", "detail", "permanent", "ambiguous", "down"),
    [
        ("CONNECT", "421 4.3.2 Not now", "unreachable", "421 4.3.2", False, False, True),
        ("CONNECT", "554 5.7.1 Go away", "unreachable", "554 5.7.1", False, False, True),
        ("CONNECT", "drop", "unreachable", None, False, False, True),
        ("CONNECT", "gibberish", "unreachable", "-1", False, False, True),
        ("MAIL", "450 4.7.1 Slow down", "busy", "450 4.7.1", False, False, False),
        ("MAIL", "553 5.7.1 Not your address", "sender", "553 5.7.1", False, False, False),
        ("RCPT", "450 4.2.0 Greylisted", "busy", "450 4.2.0", False, False, False),
        ("RCPT", "421 Bye", "busy", "421", False, False, False),
        ("RCPT", "drop", "dropped", None, False, False, False),
        ("RCPT", "299 5.9.9999 what", "dropped", "299", False, False, False),
        ("DATA", "451 4.3.0 Disk full", "busy", "451 4.3.0", False, False, False),
        ("DATA", "554 5.6.0 No", "rejected", "554 5.6.0", True, False, False),
        ("DATA", "drop", "dropped", None, False, False, False),
        ("BODY", "452 4.3.1 Full", "busy", "452 4.3.1", False, True, False),
        ("BODY", "550 5.7.1 Spam <script>", "rejected", "550 5.7.1", True, False, False),
        ("BODY", "drop", "dropped", None, False, True, False),
        ("BODY", "gibberish", "dropped", "-1", False, True, False),
        ("BODY", "354 Go on", "dropped", "354", False, True, False),
    ],
)
def test_deliver_says_what_failed(smtp, at, do, error, detail, permanent, ambiguous, down):
    smtp.fault(at, do)

    failed = failure(smtp)

    assert (failed.error, failed.detail, failed.permanent) == (error, detail, permanent)
    assert failed.down is down
    assert failed.ambiguous is (ambiguous and do[:1] not in "45"), "a yes or a no leaves no doubt"
    assert len(smtp.inbox) == 0


@pytest.mark.parametrize(("recipient", "message"), [(b"251 Forwarded", b"250 Taken"), (b"250 Fine", b"220 Taken")])
def test_deliver_takes_every_yes_for_one(recipient, message):
    script = (b"250 Hello", b"250 Fine", recipient, b"354 Go on", message, b"221 Bye")
    with scripted(*script) as asked, SmtpTransport(asked, name="gate.example").open() as carrier:
        deliver(carrier)


@pytest.mark.parametrize("at", ["CONNECT", "MAIL", "BODY"])
def test_deliver_reads_no_reply_without_end(smtp, at):
    smtp.fault(at, "flood")

    tracemalloc.start()
    failed = failure(smtp)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert failed.error == ("unreachable" if at == "CONNECT" else "dropped")
    assert most < 2_000_000


@pytest.mark.parametrize("do", ["drop", "500 What?"])
def test_deliver_succeeds_although_the_goodbye_fails(smtp, do):
    smtp.fault("QUIT", do)

    with connection(smtp) as carrier:
        deliver(carrier)

    smtp.inbox.wait_for(1)


def test_deliver_fails_at_once_where_nobody_listens(smtp):
    with smtp.refusing():
        failed = failure(smtp)

    assert (failed.error, failed.down) == ("unreachable", True)


def test_deliver_fails_where_the_name_is_unknown():
    server = server_of("smtp://mail.invalid:2525")

    with SmtpTransport(server, name="gate.example").open() as carrier, pytest.raises(Failed, match="unreachable"):
        deliver(carrier)

import contextlib
import gc
import smtplib
import socket
import ssl
import threading
from email.message import EmailMessage

import pytest

from tests.support.smtp import HANG, Server, smtp_server
from tests.support.tls import Authority

TO = "ann@client.example"


def letter(subject: str = "Hello") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "desk@agency.example", TO, subject
    message.set_content("Go to https://gate.example/l/abc and\nbe happy — née\n")
    message.add_alternative("<p>Go</p>", subtype="html")
    return message


def send(server: Server, *to: str, timeout: float = 5) -> dict:
    with smtplib.SMTP("localhost", server.port, timeout=timeout) as client:
        return client.send_message(letter(), to_addrs=to or [TO])


def test_smtp_takes_a_message(smtp):
    send(smtp)

    (received,) = smtp.inbox.wait_for(1, quiet=0.1)
    assert (received.mail_from, received.rcpt_tos) == ("desk@agency.example", (TO,))
    assert received.links == ["https://gate.example/l/abc"]
    assert "née" in received.text
    assert received.html == "<p>Go</p>\n"
    assert not received.encrypted
    assert smtp.inbox.to(TO) == [received]
    assert smtp.connections == 1


def test_wait_for_fails_on_too_few_and_too_many(smtp):
    with pytest.raises(AssertionError, match="0 messages instead of 1"):
        smtp.inbox.wait_for(1, timeout=0.05)
    send(smtp)
    send(smtp)
    with pytest.raises(AssertionError, match="2 messages instead of 1"):
        smtp.inbox.wait_for(1)


def test_starttls_wants_encryption_and_login(smtp_starttls):
    with smtplib.SMTP("localhost", smtp_starttls.port) as client:
        client.starttls(context=ssl.create_default_context())
        with pytest.raises(smtplib.SMTPSenderRefused):
            client.send_message(letter())
        client.login("mailer", "secret")
        client.send_message(letter())

    (received,) = smtp_starttls.inbox.wait_for()
    assert received.encrypted
    assert received.login == "mailer"
    assert smtp_starttls.url == f"smtp://mailer:secret@localhost:{smtp_starttls.port}"
    assert smtp_starttls.connections == 1


def test_implicit_tls_serves_those_who_trust_it(smtp_implicit, authority):
    with smtplib.SMTP_SSL("localhost", smtp_implicit.port, context=authority.client_context()) as client:
        client.login("mailer", "secret")
        client.send_message(letter())
    with (
        pytest.raises(smtplib.SMTPAuthenticationError),
        smtplib.SMTP_SSL("localhost", smtp_implicit.port, context=authority.client_context()) as client,
    ):
        client.login("mailer", "wrong")

    assert smtp_implicit.inbox.wait_for()[0].encrypted


def test_certificate_is_refused_by_those_who_do_not(authority):
    with smtp_server(tls="implicit", authority=authority) as server, pytest.raises(ssl.SSLCertVerificationError):
        smtplib.SMTP_SSL("localhost", server.port, context=ssl.create_default_context())


@pytest.mark.parametrize(
    ("at", "do", "error"),
    [
        ("CONNECT", "421 4.3.2 Busy", smtplib.SMTPConnectError),
        ("CONNECT", "drop", smtplib.SMTPServerDisconnected),
        ("CONNECT", HANG, smtplib.SMTPServerDisconnected),
        ("MAIL", "550 5.1.8 No", smtplib.SMTPSenderRefused),
        ("RCPT", "450 4.2.0 Later", smtplib.SMTPRecipientsRefused),
        ("RCPT", HANG, smtplib.SMTPServerDisconnected),
        ("RCPT", "drop", smtplib.SMTPServerDisconnected),
        ("DATA", "554 5.7.1 Spam", smtplib.SMTPDataError),
        ("BODY", "451 4.3.0 Disk full", smtplib.SMTPDataError),
        ("BODY", HANG, smtplib.SMTPServerDisconnected),
        ("BODY", "drop", smtplib.SMTPServerDisconnected),
    ],
)
def test_fault_happens_once_and_the_message_is_not_kept(smtp, at, do, error):
    smtp.fault(at, do, times=1)

    with pytest.raises(error):
        send(smtp, timeout=0.3)
    assert len(smtp.inbox) == 0
    send(smtp)
    smtp.inbox.wait_for(1)


def test_fault_can_break_the_connection_after_taking_the_message(smtp):
    smtp.fault("BODY", "drop", keeps=True, times=1)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(smtp)
    smtp.inbox.wait_for(1)

    smtp.fault("ACCEPTED", "drop")
    with smtplib.SMTP("localhost", smtp.port) as client:
        client.send_message(letter())
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.noop()
    smtp.inbox.wait_for(2)
    smtp.behave()
    send(smtp)
    smtp.inbox.wait_for(3)


def test_fault_for_one_recipient_leaves_the_others(smtp):
    smtp.fault("RCPT", "550 5.1.1 Unknown", to="gone@client.example")

    assert list(send(smtp, TO, "gone@client.example")) == ["gone@client.example"]
    assert smtp.inbox.wait_for(1)[0].rcpt_tos == (TO,)


def test_refusing_lets_nobody_in_and_keeps_the_port(smtp):
    with smtp.refusing(), pytest.raises(ConnectionRefusedError):
        send(smtp)
    send(smtp)
    smtp.inbox.wait_for(1)


def test_stop_ends_sessions_that_are_open(authority: Authority):
    with smtp_server(tls="starttls", authority=authority) as server:
        client = smtplib.SMTP("localhost", server.port)
        client.starttls(context=authority.client_context())
        idle = smtplib.SMTP("localhost", server.port)
    for each in (client, idle):
        with pytest.raises(smtplib.SMTPServerDisconnected):
            each.noop()


def test_heard_says_what_came_in_the_open(smtp_starttls):
    with smtplib.SMTP("localhost", smtp_starttls.port) as client:
        client.starttls(context=ssl.create_default_context())
        client.ehlo()

    assert smtp_starttls.heard == [("EHLO", False), ("STARTTLS", False), ("EHLO", True), ("QUIT", True)]


@pytest.mark.parametrize("do", ["trickle", "flood"])
def test_fault_may_be_a_reply_without_end(smtp, do):
    smtp.fault("MAIL", do, times=1)
    with socket.create_connection(("localhost", smtp.port), timeout=5) as talk, talk.makefile("rb") as heard:
        talk.sendall(b"EHLO me.example\r\n")
        while not heard.readline().startswith(b"250 "):
            pass
        talk.sendall(b"MAIL FROM:<desk@agency.example>\r\n")
        said = heard.read(3)

    assert said == {"trickle": b"222", "flood": b"250"}[do]
    send(smtp)
    smtp.inbox.wait_for(1)


def test_fault_may_come_after_the_yes_to_starttls(smtp_starttls):
    smtp_starttls.fault("HANDSHAKE", "This is no TLS.", times=1)

    with smtplib.SMTP("localhost", smtp_starttls.port) as client, pytest.raises(ssl.SSLError):
        client.starttls(context=ssl.create_default_context())


def test_nobody_is_left_behind_who_connects_at_the_moment_that_it_closes():
    over, unraised = threading.Event(), []

    def knock(port: int) -> None:
        while not over.is_set():
            with contextlib.suppress(OSError), socket.create_connection(("localhost", port), timeout=2) as talk:
                talk.settimeout(0.05)
                talk.recv(1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.unraisablehook", lambda found: unraised.append(str(found.exc_value)))
        with smtp_server() as server:
            visitors = [threading.Thread(target=knock, args=(server.port,)) for _ in range(4)]
            for visitor in visitors:
                visitor.start()
            for _ in range(100):
                with server.refusing():
                    pass
        over.set()
        for visitor in visitors:
            visitor.join()
        gc.collect()

    assert unraised == []

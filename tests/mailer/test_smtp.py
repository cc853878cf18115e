"""Handing mail to a server that may do anything."""

import socket
import threading
import time
from contextlib import contextmanager

import flask_mail
import pytest

from app.config import Config
from app.mailer.transports import FolderTransport, SmtpTransport
from app.services.claims import Failed
from tests.support.smtp import HANG, smtp_server

ANN, BEN = "ann@client.example", "ben@client.example"
SENDER = "requests@northwind.example"
MAIL = b"Subject: Hello\r\n\r\n.A line with a dot\r\n..two\r\nend\r\n"


def server_of(url):
    return Config.from_environ({"GATEHOUSE_SMTP_URL": url, "GATEHOUSE_MAIL_FROM": SENDER}).smtp


@contextmanager
def connection(server, **options):
    with SmtpTransport(server_of(server.url), name="gate.example", **options).open() as carrier:
        yield carrier


def deliver(carrier, recipient=ANN, content=lambda: MAIL):
    carrier.deliver(SENDER, recipient, content)


def failure(server, recipient=ANN, content=lambda: MAIL, **options):
    with connection(server, **options) as carrier, pytest.raises(Failed) as raised:
        deliver(carrier, recipient, content)
    return raised.value


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


@pytest.mark.parametrize("at", ["RSET", "ACCEPTED"])
def test_deliver_opens_the_connection_again_when_it_was_dropped_meanwhile(smtp, at):
    with connection(smtp) as carrier:
        smtp.fault(at, "drop", times=1)
        for _ in range(3):
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
    ],
)
def test_deliver_says_what_failed(smtp, at, do, error, detail, permanent, ambiguous, down):
    smtp.fault(at, do)

    failed = failure(smtp)

    assert (failed.error, failed.detail, failed.permanent) == (error, detail, permanent)
    assert failed.down is down
    assert failed.ambiguous is (ambiguous and do == "drop"), "an answer leaves no doubt"
    assert len(smtp.inbox) == 0


def test_deliver_succeeds_although_the_server_hangs_at_the_goodbye(smtp):
    smtp.fault("QUIT", HANG)
    begun = time.monotonic()

    with connection(smtp) as carrier:
        deliver(carrier)

    smtp.inbox.wait_for(1)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("do", ["drop", "500 What?"])
def test_deliver_succeeds_although_the_goodbye_fails(smtp, do):
    smtp.fault("QUIT", do)

    with connection(smtp) as carrier:
        deliver(carrier)

    smtp.inbox.wait_for(1)


@pytest.mark.parametrize(
    ("at", "error", "ambiguous", "down"),
    [
        ("CONNECT", "unreachable", False, True),
        ("EHLO", "unreachable", False, True),
        ("MAIL", "timeout", False, False),
        ("RCPT", "timeout", False, False),
        ("DATA", "timeout", False, False),
        ("BODY", "timeout", True, False),
    ],
)
def test_deliver_does_not_wait_for_a_server_that_hangs(smtp, at, error, ambiguous, down):
    smtp.fault(at, HANG)
    begun = time.monotonic()

    failed = failure(smtp, patience=0.3)

    assert (failed.error, failed.ambiguous, failed.down) == (error, ambiguous, down)
    assert time.monotonic() - begun < 2


def test_deliver_to_others_goes_on_when_one_hangs(smtp):
    smtp.fault("RCPT", HANG, to=ANN)

    with connection(smtp, patience=0.3) as carrier:
        with pytest.raises(Failed):
            deliver(carrier, ANN)
        deliver(carrier, BEN)

    assert smtp.inbox.wait_for(1)[0].rcpt_tos == (BEN,)


class Trickler:
    """A server that sends one byte at a time, for ever, each soon enough."""

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"smtp://localhost:{self._listener.getsockname()[1]}?tls=none"
        threading.Thread(target=self._trickle, daemon=True).start()
        return self

    def __exit__(self, *_error):
        self._listener.close()

    def _trickle(self):
        talk, _address = self._listener.accept()
        with talk:
            try:
                while True:
                    talk.sendall(b"2")
                    time.sleep(0.05)
            except OSError:
                return


def test_deliver_ends_in_time_although_the_server_trickles():
    with Trickler() as server:
        begun = time.monotonic()

        failed = failure(server, patience=0.5, limit=1)

    assert failed.error == "unreachable"
    assert 0.9 < time.monotonic() - begun < 2


def test_deliver_fails_at_once_where_nobody_listens(smtp):
    with smtp.refusing():
        failed = failure(smtp)

    assert (failed.error, failed.down) == ("unreachable", True)


def test_deliver_fails_where_the_name_is_unknown():
    server = server_of("smtp://mail.invalid:2525")

    with SmtpTransport(server, name="gate.example").open() as carrier, pytest.raises(Failed, match="unreachable"):
        deliver(carrier)


# ── Encryption and sign-in ───────────────────────────────────────────────────


@pytest.mark.parametrize("fixture", ["smtp_starttls", "smtp_implicit"])
def test_deliver_encrypts_and_signs_in(request, fixture):
    server = request.getfixturevalue(fixture)

    with connection(server) as carrier:
        deliver(carrier)
        deliver(carrier)

    for received in server.inbox.wait_for(2):
        assert (received.encrypted, received.login) == (True, "mailer")
    assert server.connections == 1


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_deliver_trusts_only_verified_certificates(authority, tls):
    with smtp_server(tls=tls, authority=authority) as server:
        failed = failure(server)
        with connection(server, cafile=str(authority.path)) as carrier:
            deliver(carrier)

    assert (failed.error, failed.permanent, failed.down) == ("tls", False, True)
    assert len(server.inbox) == 1


def test_deliver_wants_the_certificate_to_name_the_server(authority):
    with smtp_server(tls="starttls", authority=authority) as server:
        asked = server_of(server.url.replace("localhost", "127.1"))  # the same server, by a name not in its certificate
        transport = SmtpTransport(asked, name="gate.example", cafile=str(authority.path))
        with transport.open() as carrier, pytest.raises(Failed, match="tls"):
            deliver(carrier)

    assert (server.connections, len(server.inbox)) == (1, 0)


@pytest.mark.parametrize("credentials", [None, ("mailer", "secret")])
def test_deliver_never_goes_on_without_starttls(credentials):
    with smtp_server(credentials=credentials) as server:
        login = "mailer:secret@" if credentials else ""
        asked = server_of(f"smtp://{login}localhost:{server.port}")
        with SmtpTransport(asked, name="gate.example").open() as carrier, pytest.raises(Failed) as raised:
            deliver(carrier)

    assert (raised.value.error, raised.value.down) == ("tls", True)
    assert len(server.inbox) == 0


def test_deliver_never_goes_on_when_starttls_is_refused(smtp_starttls):
    smtp_starttls.fault("STARTTLS", "454 4.7.0 Not now")

    assert failure(smtp_starttls).error == "tls"
    assert len(smtp_starttls.inbox) == 0


def test_deliver_says_when_the_password_is_wrong(smtp_starttls):
    wrong = server_of(smtp_starttls.url.replace("secret", "wrong"))

    with SmtpTransport(wrong, name="gate.example").open() as carrier, pytest.raises(Failed) as raised:
        deliver(carrier)

    assert (raised.value.error, raised.value.detail, raised.value.down) == ("auth", "535 5.7.8", True)
    assert "wrong" not in repr(wrong)


# ── A folder ─────────────────────────────────────────────────────────────────


def test_folder_keeps_each_mail_as_a_file_and_the_same_mail_once(tmp_path):
    folder = FolderTransport(tmp_path / "mail")
    other = MAIL.replace(b"Hello", b"Again")

    with folder.open() as carrier:
        for content in (MAIL, MAIL, other):
            carrier.deliver(SENDER, ANN, lambda content=content: content)

    assert [message["Subject"] for _name, message in folder.messages()] == ["Again", "Hello"]
    assert sorted(path.read_bytes() for path in folder.path.iterdir()) == sorted([MAIL, other])
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_folder_writes_nothing_when_the_content_is_withheld(tmp_path):
    folder = FolderTransport(tmp_path / "mail")

    def withheld():
        raise KeyError

    with folder.open() as carrier, pytest.raises(KeyError):
        carrier.deliver(SENDER, ANN, withheld)

    assert list(folder.path.iterdir()) == []

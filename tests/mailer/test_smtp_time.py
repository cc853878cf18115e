"""Handing mail to a server that hangs, trickles or reads nothing: it ends in time."""

import socket
import threading
import time

import pytest

from app.mailer.transports import SmtpTransport
from app.services.claims import Failed
from tests.mailer.handing import ANN, BEN, connection, deliver, failure, scripted, server_of
from tests.support.listeners import listening
from tests.support.smtp import HANG


def test_deliver_succeeds_although_the_server_hangs_at_the_goodbye(smtp):
    smtp.fault("QUIT", HANG)
    begun = time.monotonic()

    with connection(smtp) as carrier:
        deliver(carrier)

    smtp.inbox.wait_for(1)
    assert time.monotonic() - begun < 5


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
    assert time.monotonic() - begun < 8


def test_deliver_has_its_time_in_all_although_the_kept_connection_hangs_first(smtp):
    with connection(smtp, patience=1, limit=2) as carrier:
        deliver(carrier)
        smtp.fault("MAIL", HANG, times=1)
        smtp.fault("MAIL", "trickle")
        begun = time.monotonic()
        with pytest.raises(Failed, match="timeout"):
            deliver(carrier)

    assert time.monotonic() - begun < 3
    assert smtp.connections == 2


def test_deliver_ends_in_time_although_the_name_is_looked_up_for_ever(smtp, monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(30) and [])
    begun = time.monotonic()

    failed = failure(smtp, patience=0.3)
    over.set()

    assert (failed.error, failed.down) == ("unreachable", True)
    assert time.monotonic() - begun < 8


def test_deliver_ends_in_time_although_the_server_reads_nothing(smtp):
    begun = time.monotonic()
    script = (b"250 Hello", b"250 Fine", b"250 Fine", b"354 Go on")
    with scripted(*script) as asked:
        transport = SmtpTransport(asked, name="gate.example", patience=0.5, limit=30)
        with transport.open() as carrier, pytest.raises(Failed) as raised:
            deliver(carrier, ANN, lambda: b"x" * 8_000_000)

        assert (raised.value.error, raised.value.ambiguous) == ("timeout", True)
        assert time.monotonic() - begun < 8


def test_deliver_to_others_goes_on_when_one_hangs(smtp):
    smtp.fault("RCPT", HANG, to=ANN)

    with connection(smtp, patience=0.3) as carrier:
        with pytest.raises(Failed):
            deliver(carrier, ANN)
        deliver(carrier, BEN)

    assert smtp.inbox.wait_for(1)[0].rcpt_tos == (BEN,)


def test_deliver_ends_in_time_although_the_server_trickles():
    def trickle(talk):
        while True:
            talk.sendall(b"2")
            time.sleep(0.05)

    with listening(trickle) as server:
        begun = time.monotonic()
        transport = SmtpTransport(
            server_of(f"smtp://localhost:{server.port}?tls=none"), name="gate.example", patience=0.5, limit=1
        )
        with transport.open() as carrier, pytest.raises(Failed, match="unreachable"):
            deliver(carrier)

    assert 0.9 < time.monotonic() - begun < 8

"""Handing mail to a server, as the tests of that do."""

import socket
import threading
from contextlib import contextmanager

import pytest

from app.config import Config
from app.mailer.transports import SmtpTransport
from app.services.claims import Failed

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


@contextmanager
def scripted(*answers):
    """A server that gives these answers, one to each command, and reads no more after the last."""
    over = threading.Event()

    def talk():
        heard, _address = listener.accept()
        with heard:
            heard.sendall(b"220 Hello\r\n")
            for answer in answers:
                heard.recv(1000)
                heard.sendall(answer + b"\r\n")
            over.wait(30)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        try:
            yield server_of(f"smtp://localhost:{listener.getsockname()[1]}?tls=none")
        finally:
            over.set()
            thread.join(5)

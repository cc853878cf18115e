"""Encryption and sign-in at the mail server."""

import pytest

from app.mailer.transports import SmtpTransport
from app.services.claims import Failed
from tests.mailer.handing import connection, deliver, failure, server_of
from tests.support.smtp import HANG, smtp_server


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


@pytest.mark.parametrize(
    ("at", "do", "error"),
    [
        ("STARTTLS", HANG, "unreachable"),
        ("STARTTLS", "drop", "unreachable"),
        ("HANDSHAKE", HANG, "unreachable"),
        ("HANDSHAKE", "This is no TLS.", "tls"),
        ("AUTH", HANG, "unreachable"),
        ("AUTH", "drop", "unreachable"),
        ("AUTH", "454 4.7.0 Try later", "unreachable"),
        ("AUTH", "535 5.7.8 No", "auth"),
        ("AUTH", "334 not-base64", "auth"),
    ],
)
def test_deliver_blames_neither_certificate_nor_password_for_a_server_that_gives_no_answer(
    smtp_starttls, at, do, error
):
    smtp_starttls.fault(at, do)

    failed = failure(smtp_starttls, patience=0.3 if do == HANG else 5)

    assert (failed.error, failed.permanent, failed.down) == (error, False, True)
    assert ("AUTH", False) not in smtp_starttls.heard

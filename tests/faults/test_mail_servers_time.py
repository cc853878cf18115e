"""Thirty seconds for a step and sixty for all of a mail: as long as a mail server can hold up the mail behind it."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.mailer.smtp import LIMIT, PATIENCE
from app.mailer.transports import SmtpTransport
from app.services.claims import Failed
from tests.faults.mail_servers import ROWS, setting
from tests.support.smtp import HANG, smtp_server

SCALED = (0.5, 1.0)  # in the short version
LATE = 1.5  # seconds that a busy machine may be late by
SLOW = [
    row
    for row in ROWS
    if row.do in (HANG, "trickle") and row.at not in ("RSET", "QUIT") and row.error != "tls" and not row.keeps
]


def held_up(row, authority, patience, limit):
    """How many seconds a mail is held up, and what it was called."""
    with smtp_server(tls=row.tls, authority=authority, credentials=("mailer", "secret")) as server:
        server.fault(row.at, row.do)
        transport = SmtpTransport(
            setting(server), name="gate.example", cafile=str(authority.path), patience=patience, limit=limit
        )
        begun = time.monotonic()
        with transport.open() as carrier, pytest.raises(Failed) as raised:
            carrier.deliver("requests@gate.example", "ann@client.example", lambda: b"Subject: Hello\r\n\r\nGo\r\n")
        return row, time.monotonic() - begun, raised.value.error


def amiss(row, took, error, patience, limit):
    """What is not as promised with one of them, if anything."""
    longest = patience if row.do == HANG else limit
    well = error == row.error and longest - 0.05 <= took <= longest + LATE
    return "" if well else f"{row}: {error} after {took:.1f} s"


@pytest.mark.alone
def test_a_mail_server_has_thirty_seconds_a_step_and_sixty_in_all(proof, authority):
    """At every command a mail server hangs, or answers a byte now and then without end, and the true times are waited for:
    30 seconds for a step that hears nothing, 60 for a mail however it is spun out.
    """
    times = (PATIENCE, LIMIT) if proof.full else SCALED
    rows = proof.random.sample(SLOW, proof.size(check=6, prove=len(SLOW)))
    with ThreadPoolExecutor(len(rows)) as pool:
        found = list(pool.map(lambda row: held_up(row, authority, *times), rows))

    assert [wrong for each in found if (wrong := amiss(*each, *times))] == []
    proof.title = "Mail servers: how long one can hold up a mail"
    proof.figure(
        "servers that hang, and that trickle",
        f"{sum(r.do == HANG for r in rows)} and {sum(r.do != HANG for r in rows)}",
    )
    for name, do in (("hangs", HANG), ("trickles", "trickle")):
        proof.figure(
            f"longest at one that {name}", f"{max((took for row, took, _ in found if row.do == do), default=0):.2f} s"
        )


def test_the_same_eyes_notice_more_patience_than_was_promised(authority):
    row = next(row for row in SLOW if str(row) == "MAIL: hangs")

    assert amiss(*held_up(row, authority, 2 * sum(SCALED), 60), *SCALED).startswith("MAIL: hangs: timeout after 3.")

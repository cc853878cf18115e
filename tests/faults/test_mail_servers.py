"""A mail server that refuses, hangs, trickles, floods, drops, lies or can't be trusted: each ends as the table says."""

import pytest

from app.config import SmtpServer
from app.mailer import smtp as hardened
from app.mailer.wire import Wire
from tests import factories
from tests.faults.mail_servers import ROWS, Office, Row
from tests.support.smtp import HANG
from tests.support.staff_browser import StaffBrowser

PATIENCE, LIMIT = 1.5, 3.0  # seconds, in place of 30 and 60
QUICK = 4.0  # seconds that the rest of a run may take on a busy machine


@pytest.fixture
def config(tmp_path, database_url):
    anywhere = SmtpServer("localhost", 25, "starttls")
    return factories.config(tmp_path, database_url, smtp=anywhere, mail_from="requests@gate.example")


@pytest.fixture
def office(app, owner, workspace, clock, authority):
    return Office(app, owner, workspace, clock, StaffBrowser(app, owner), authority)


def sample(proof, many):
    """Some rows, of every stage one before of any stage two."""
    shuffled = proof.random.sample(ROWS, len(ROWS))
    turns = {row: sum(other.at == row.at for other in shuffled[:place]) for place, row in enumerate(shuffled)}
    return sorted(shuffled, key=lambda row: turns[row])[:many]


def test_every_fault_of_a_mail_server_ends_as_the_table_says(office, proof):
    """A mail server does what it should not at each stage of a delivery, once, with a second mail waiting behind the first.
    The mail waits or ends as the table says, staff read why, the other mail goes on, nothing but the greeting was ever in
    clear text, and once the server is well each mail is there: once, or byte for byte the same where nobody could know.

    In a sample here; with the times that a server is given scaled down.
    """
    played = [
        office.play(row, patience=PATIENCE, limit=LIMIT) for row in sample(proof, proof.size(check=14, prove=len(ROWS)))
    ]

    short = [fault for each in played for fault in each.faults(limit=LIMIT + QUICK)]
    assert not short, "\n".join(short)
    proof.title = "Mail servers: each fault"
    proof.figure("faults tried", len(played))
    proof.figure(
        "of which the server as a whole, and one mail alone",
        f"{sum(e.row.is_down for e in played)} and {sum(not e.row.is_down for e in played)}",
    )
    proof.figure(
        "commands overheard in clear text beyond the greeting",
        sum(len(e.in_clear) for e in played),
    )
    proof.figure("mails that were delivered in the end", sum(bool(e.copies) + e.other_copies for e in played))
    proof.figure("second copies, all identical, after a yes that was lost", sum(len(e.copies) - 1 for e in played))


# What the same eyes see without the defence.


def test_without_timeouts_it_is_noticed_that_a_server_hangs(office):
    played = office.play(Row("MAIL", 3 * LIMIT, "timeout", tls="none"), patience=HANG, limit=HANG)

    assert "took" in str(played.faults(limit=2 * LIMIT))


def test_without_starttls_being_insisted_on_clear_text_is_noticed(office, monkeypatch):
    monkeypatch.setattr(Wire, "encrypt", Wire.ehlo_or_helo_if_needed)

    played = office.play(Row("NO STARTTLS", "", "tls", tls="none"), patience=5, limit=5)

    assert "in clear text" in str(played.faults(limit=QUICK))


@pytest.mark.parametrize("at", ["UNTRUSTED", "OTHER NAME"])
def test_without_verified_certificates_it_is_noticed_who_got_the_mail(office, monkeypatch, at):
    monkeypatch.setattr(hardened.ssl, "create_default_context", lambda **_: hardened.ssl._create_unverified_context())

    played = office.play(Row(at, "", "tls"), patience=5, limit=5)

    assert "done for ''" in str(played.faults(limit=QUICK))

"""Where many mails are due a few are under way at once, each over a connection of its own; what may go wrong stays its own."""

import threading
import time
from collections import Counter as Tally
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select, update

from app.database import transaction
from app.extensions import db
from app.mailer import transports
from app.mailer.transports import SmtpTransport
from app.models import AuditEvent, Bundle, Counter, OutboxState
from app.worker import mail
from tests import factories
from tests.support.smtp import HANG
from tests.support.statements import counted

ANN = "n3@client.example"
MANY = 13
pytestmark = pytest.mark.both_databases


@pytest.fixture
def send_many(workspace, owner):
    """Send to many at once, or to these; returns their bundles by recipient."""

    def send_many(addresses=tuple(f"n{number}@client.example" for number in range(MANY))):
        bundles = {}
        for number, address in enumerate(addresses):
            workflow = factories.make_workflow(workspace, owner, ("slack", "find_user"), name=f"W {number}")
            (asked,) = factories.make_sent(workflow, owner, recipient=address)
            bundles[address] = asked.bundle
        return bundles

    return send_many


@pytest.fixture
def several(monkeypatch):
    """How many mails were begun together, each time."""
    sizes, begin_all = [], mail.begin_all

    def begin(items):
        contents = begin_all(items)
        sizes.append(len(items))
        return contents

    monkeypatch.setattr(mail, "begin_all", begin)
    return sizes


def received(smtp):
    return Tally(to for each in smtp.inbox.all() for to in each.rcpt_tos)


def test_many_mails_go_a_few_at_once_and_each_once(send_many, work, item, smtp, several):
    bundles = send_many()

    assert work() == {"done": MANY}

    assert received(smtp) == dict.fromkeys(bundles, 1)
    assert smtp.connections == mail.LANES == max(several)
    assert sum(several) == MANY - 1, "all but the first, which shows that the server is there"
    done = [item(bundle) for bundle in bundles.values()]
    assert {(each.state, each.message, each.attempts) for each in done} == {(OutboxState.DONE, None, 0)}
    assert {each.rcpt_tos[0]: each.message["Message-ID"] for each in smtp.inbox.all()} == {
        to: item(bundle).message_id for to, bundle in bundles.items()
    }
    told = db.session.execute(select(AuditEvent.subject, AuditEvent.data).where(AuditEvent.type == "mail.sent")).all()
    assert sorted((subject, data["recipient"]) for subject, data in told) == sorted(
        (bundle.public_id, to) for to, bundle in bundles.items()
    )
    assert all(bundle.expires_at == bundle.clock_started_at + bundle.channel.lifetime for bundle in bundles.values())
    spent = select(func.sum(Counter.count)).where(Counter.key.like("mail of agency %"))
    assert db.session.scalar(spent) == MANY


def test_several_at_once_ask_the_database_less(send_many, work):
    send_many()

    with counted() as statements:
        work()

    written = [each for each in statements if each.split()[0] in ("UPDATE", "INSERT")]
    assert len(written) < 3 * MANY, "where one after the other takes five"


def test_a_few_mails_go_over_one_connection(send_many, work, smtp, several):
    send_many([f"n{number}@client.example" for number in range(mail.MANY - 1)])

    work()

    assert (smtp.connections, several) == (1, [])


@pytest.mark.parametrize(
    ("at", "do", "state", "error"),
    [
        ("RCPT", "550 5.1.1 Nobody", OutboxState.DEAD, "refused"),
        ("RCPT", "450 4.2.0 Greylisted", OutboxState.RETRY, "busy"),
        ("RCPT", "drop", OutboxState.RETRY, "dropped"),
        ("RCPT", HANG, OutboxState.RETRY, "timeout"),
        ("BODY", "550 5.7.1 Spam", OutboxState.DEAD, "rejected"),
        ("BODY", "451 4.3.0 Later", OutboxState.RETRY, "busy"),
        ("BODY", "drop", OutboxState.RETRY, "dropped"),
        ("BODY", HANG, OutboxState.RETRY, "timeout"),
        ("BODY", "trickle", OutboxState.RETRY, "timeout"),
    ],
)
def test_what_goes_wrong_with_one_does_so_with_no_other(
    app, send_many, work, item, smtp, config, monkeypatch, at, do, state, error
):
    transports.install(app, SmtpTransport(config.smtp, name="gate.example", patience=2, limit=3))
    monkeypatch.setattr(mail, "_hurry", lambda: smtp.fault(at, do, times=1))
    bundles = send_many()

    assert work() == {"done": MANY - 1, state.value: 1}

    (theirs,) = [bundle for bundle in bundles.values() if item(bundle).state is state]
    assert received(smtp) == dict.fromkeys(bundles.keys() - {theirs.recipient}, 1)
    assert item(theirs).error == error
    assert (theirs.clock_started_at is not None) is (at == "BODY")


def test_what_may_have_gone_is_the_same_to_the_byte_when_it_goes_again(send_many, work, smtp, clock, monkeypatch):
    monkeypatch.setattr(mail, "_hurry", lambda: smtp.fault("BODY", "drop", times=1, keeps=True))
    send_many()
    assert work() == {"done": MANY - 1, "retry": 1}
    clock.forward(minutes=5)

    assert work() == {"done": 1}

    copies = received(smtp)
    assert sorted(copies.values()) == [1] * (MANY - 1) + [2]
    (twice,) = [to for to, count in copies.items() if count == 2]
    assert len({each.raw for each in smtp.inbox.to(twice)}) == 1


@pytest.mark.parametrize("at", ["CONNECT", "EHLO"])
def test_a_server_that_grants_no_more_than_one_connection_gets_all_over_that(
    send_many, work, item, smtp, monkeypatch, at
):
    monkeypatch.setattr(mail, "_hurry", lambda: smtp.fault(at, "421 4.7.0 Too many connections from you"))
    bundles = send_many()

    assert work() == {"done": MANY}

    assert received(smtp) == dict.fromkeys(bundles, 1)
    assert {item(bundle).attempts for bundle in bundles.values()} == {0}


def test_a_server_that_goes_away_meanwhile_fails_the_rest(send_many, work, item, smtp, monkeypatch):
    def leave():
        smtp.hang_up()
        smtp.fault("CONNECT", "421 4.3.2 Not now")

    monkeypatch.setattr(mail, "_hurry", leave)
    bundles = send_many()

    assert work() == {"done": 1, "retry": MANY - 1}

    assert sum(item(bundle).error == "unreachable" for bundle in bundles.values()) == MANY - 1
    assert sum(bundle.clock_started_at is not None for bundle in bundles.values()) == 1


def test_a_limit_that_is_reached_among_several_holds_back_the_rest(agency, send_many, work, smtp, clock):
    with transaction():
        agency.mails_per_hour = 7
    clock.to(clock.now.replace(minute=10))
    send_many()

    assert work() == {"done": 7, "postponed": MANY - 7}

    assert len(smtp.inbox) == 7


def test_an_error_of_ours_with_one_hinders_no_other(send_many, work, item, smtp, several):
    bundles = send_many()
    with transaction():
        bundles[ANN].recipient = "n3@client.example\r\nRCPT TO:<eve@evil.example>"

    assert work() == {"dead": 1, "done": MANY - 1}

    assert item(bundles[ANN]).error == "address"
    assert max(several) == mail.LANES


def test_what_can_not_be_begun_together_is_begun_one_by_one(send_many, work, smtp, monkeypatch):
    monkeypatch.delattr("app.services.bundle_mail.transmit_all")
    bundles = send_many()

    assert work() == {"done": MANY}

    assert received(smtp) == dict.fromkeys(bundles, 1)


def test_who_holds_what_several_need_and_wants_what_they_hold_gets_it(send_many, work, smtp, monkeypatch):
    """Somebody changes two bundles, the later first, while a worker begins both: the worker lets go, and nobody fails."""
    bundles = send_many()
    first, last = bundles["n2@client.example"].id, bundles["n4@client.example"].id
    engine, holds = db.engine, threading.Event()

    def change_both():
        with engine.connect().execution_options(gatehouse_write=True) as theirs:
            for bundle_id in (last, first):
                theirs.execute(update(Bundle).where(Bundle.id == bundle_id).values(opened_at=None))
                holds.set()
                time.sleep(0.05)
            theirs.commit()

    with ThreadPoolExecutor(1) as pool:
        futures = []

        def hold():
            futures.append(pool.submit(change_both))
            assert holds.wait(10)

        monkeypatch.setattr(mail, "_hurry", hold)
        assert work() == {"done": MANY}
        futures[0].result(10)

    assert received(smtp) == dict.fromkeys(bundles, 1)

"""Mail that has to wait: for the limits, or for a server that is away."""

from datetime import timedelta

import pytest

from app import create_app
from app.database import transaction
from app.mailer import transports
from app.models import OutboxState
from app.services import deliveries, sending
from app.services.deliveries import DeliveryState
from app.worker import Worker
from tests import factories
from tests.worker.conftest import mail_settings

ANN, BEN, PRIYA = "ann@client.example", "ben@client.example", "priya.nair@harbordental.example"


# ── Limits ───────────────────────────────────────────────────────────────────


@pytest.mark.both_databases
def test_a_recipient_gets_as_many_a_day_as_the_settings_say(agency, owner, send, work, item, smtp, clock):
    with transaction():
        agency.mails_per_recipient_day = 2
    clock.to(clock.now.replace(hour=1, minute=0))
    other = send(BEN)
    bundle = send(ANN)
    for _ in range(2):
        work()
        clock.forward(minutes=6)
        sending.resend(agency, factories.outstanding(bundle)[0].public_id, by=owner)

    assert work() == {"postponed": 1}
    assert work() == {}

    waiting = item(bundle)
    midnight = (clock.now + timedelta(days=1)).replace(hour=0, minute=0, second=0)
    assert (waiting.state, waiting.error, waiting.due_at) == (OutboxState.QUEUED, "cap_recipient", midnight)
    assert (len(smtp.inbox.to(ANN)), len(smtp.inbox.to(BEN))) == (2, 1)
    delivery = deliveries.of_bundles([bundle.id])[bundle.id]
    assert (delivery.state, delivery.reason) == (
        DeliveryState.DELAYED,
        "This recipient has had as many e-mails today as the settings allow.",
    )
    assert item(other).state is OutboxState.DONE
    clock.to(midnight)
    assert work() == {"done": 1}


def test_an_agency_sends_as_many_an_hour_as_the_settings_say(agency, send, work, item, smtp, clock):
    with transaction():
        agency.mails_per_hour = 2
    clock.to(clock.now.replace(minute=10))
    for name in "abcd":
        send(f"{name}@client.example")

    assert work() == {"done": 2, "postponed": 2}

    connections = smtp.connections
    send("e@client.example")
    assert work() == {"postponed": 1}
    assert smtp.connections == connections, "what is over the limit troubles no server"
    clock.forward(minutes=50)
    assert work() == {"done": 2, "postponed": 1}
    assert len(smtp.inbox) == 4


def test_a_limit_counts_mails_and_not_tries(agency, send, work, smtp, clock):
    with transaction():
        agency.mails_per_recipient_day = 1
    clock.to(clock.now.replace(hour=1, minute=0))
    send()
    smtp.fault("RCPT", "450 Later", times=1)
    smtp.fault("BODY", "451 Later", times=1)

    assert work() == {"retry": 1}
    clock.forward(minutes=5)
    assert work() == {"retry": 1}
    clock.forward(minutes=5)
    assert work() == {"done": 1}


# ── The server is away ───────────────────────────────────────────────────────


def test_without_a_mail_server_mail_stays_in_the_outbox(tmp_path, database_url, catalog, send, item):
    bundle = send()
    bare = create_app(factories.config(tmp_path, database_url), catalog=catalog)

    worker = Worker(bare)
    worker.run_once()

    assert not worker.tally
    assert (item(bundle).state, item(bundle).fence) == (OutboxState.QUEUED, 0)
    with bare.app_context():
        assert transports.current() is None


def test_a_server_that_turns_us_away_is_asked_once_for_the_whole_run(send, work, smtp):
    smtp.fault("CONNECT", "421 4.3.2 Not now")
    for name in "abc":
        send(f"{name}@client.example")

    assert work() == {"retry": 3}
    assert smtp.connections == 1


def test_a_server_that_is_down_fails_the_whole_run_with_one_try_and_is_forgotten_when_it_is_back(
    send, work, item, smtp, clock
):
    late = send(PRIYA)
    with smtp.refusing():
        for _ in range(6):
            work()
            clock.forward(hours=2)
        tried = [send(f"{name}@client.example") for name in "abc"]
        assert work() == {"retry": 4}
    assert {item(bundle).error for bundle in tried} == {"unreachable"}
    clock.forward(seconds=90)
    assert item(late).due_at > clock.now, "its patience alone would keep it for long"

    assert work() == {"done": 4}

    assert len(smtp.inbox) == 4
    assert smtp.connections <= 2


@pytest.mark.parametrize("hold", [False, True])
def test_nobody_knows_whether_a_mail_arrived_when_the_line_breaks_after_it(
    tmp_path, database_url, catalog, send, item, smtp, hold, clock
):
    bundle = send()
    ambiguous = "hold" if hold else "resend"
    config = factories.config(tmp_path, database_url, mail_ambiguous=ambiguous, **mail_settings(smtp))
    app = create_app(config, catalog=catalog)
    smtp.fault("BODY", "drop", times=1, keeps=True)

    worker = Worker(app)
    worker.run_once()
    clock.forward(minutes=5)
    worker = Worker(app)
    worker.run_once()

    received = smtp.inbox.wait_for(1 if hold else 2, quiet=0.1)
    assert len({each.raw for each in received}) == 1
    assert item(bundle).error == ("uncertain" if hold else None)
    delivery = deliveries.of_bundles([bundle.id])[bundle.id]
    assert delivery.state is (DeliveryState.UNDELIVERED if hold else DeliveryState.SENT)

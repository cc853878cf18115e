"""A mail server that is away for an hour: nothing is lost, nothing comes twice, and every link lives as long as it should."""

import itertools
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app.config import SmtpServer
from app.database import transaction
from app.extensions import db
from app.mailer import transports
from app.mailer.transports import SmtpTransport
from app.models import Channel, OutboxItem
from app.services import deliveries
from app.services.deliveries import DeliveryState
from app.services.outbox import WAITING
from app.tenancy import across_tenants
from app.worker import Worker
from tests import factories
from tests.support.smtp import HANG
from tests.support.staff_browser import StaffBrowser

pytestmark = pytest.mark.both_databases
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
STEP = ("slack", "find_user")
# How it is away: a stage and what it does there; whether mails begin to leave all the same.
AWAY = {
    "nobody listens": None,
    "it drops every mail at its end": ("BODY", "drop"),
    "it asks for patience": ("CONNECT", "421 4.3.2 Not now"),
    "it hangs": ("EHLO", HANG),
    "it takes no sender": ("MAIL", "451 4.3.0 Later"),
    "it has no room": ("BODY", "452 4.3.1 Full"),
}
_numbers = itertools.count(1)


@pytest.fixture
def config(tmp_path, database_url):
    anywhere = SmtpServer("localhost", 25, "none")
    return factories.config(tmp_path, database_url, smtp=anywhere, mail_from="requests@gate.example")


@dataclass
class Outage:
    """What an hour without a mail server came to."""

    bundles: list
    turns: int = 0
    connections: int = 0
    began: dict = field(default_factory=dict)
    waited: timedelta = timedelta()

    def shortfalls(self, inbox, back):
        """What is not as promised; nothing when all is well."""
        found = []
        for bundle in self.bundles:
            copies = len(inbox.to(bundle.recipient))
            start = self.began.get(bundle.id, bundle.clock_started_at)
            if copies != 1:
                found.append(f"{copies} mails to {bundle.recipient}")
            if bundle.clock_started_at != start or (bundle.id not in self.began and start < back):
                found.append(f"the clock of {bundle.recipient} started at {bundle.clock_started_at}")
            if bundle.expires_at - bundle.clock_started_at != bundle.channel.lifetime:
                found.append(f"the link of {bundle.recipient} lives {bundle.expires_at - bundle.clock_started_at}")
        return found


@dataclass
class Office:
    """An agency that sends, its worker, and the mail server."""

    app: object
    owner: object
    workspace: object
    clock: object
    server: object

    def send(self, many):
        """Mails to as many people, every fourth of them a member."""
        sent = []
        for _ in range(many):
            number = next(_numbers)
            recipient = f"n{number}@client.example"
            if number % 4 == 0:
                factories.make_member(self.workspace, recipient, f"Member {number}")
            workflow = factories.make_workflow(self.workspace, self.owner, STEP, name=f"Workflow {number}")
            sent.append(factories.make_sent(workflow, self.owner, recipient=recipient)[0])
        return sent

    def work(self):
        Worker(self.app).run_once()
        db.session.rollback()

    def next_due(self):
        """When the next of what waits is due; none when nothing waits."""
        with across_tenants("the worker's side"):
            return db.session.scalar(select(func.min(OutboxItem.due_at)).where(OutboxItem.state.in_(WAITING)))

    def stay_away(self, sent, *, until, step):
        """Walk from try to try, a step at least, until the server is back; staff are told all the while."""
        outage = Outage([asked.bundle for asked in sent])
        began = self.server.connections
        while self.clock.now < until:
            self.work()
            outage.turns += 1
            said = deliveries.of_bundles([bundle.id for bundle in outage.bundles])
            assert {delivery.state for delivery in said.values()} == {DeliveryState.DELAYED}
            for bundle in outage.bundles:
                if bundle.clock_started_at:
                    outage.began.setdefault(bundle.id, bundle.clock_started_at)
            self.clock.to(min(max(self.next_due(), self.clock.now + step), until))
        page = f"/panel/workspaces/{self.workspace.public_id}/workflows/{sent[0].workflow.public_id}"
        assert "The e-mail is delayed." in StaffBrowser(self.app, self.owner).get(page).text
        outage.connections = self.server.connections - began
        return outage

    def come_back(self, outage):
        """The server is well again: go on until nothing waits."""
        back = self.clock.now
        while (due := self.next_due()) is not None:
            self.clock.to(max(due, self.clock.now + 2 * MINUTE))
            self.work()
        outage.waited = self.clock.now - back


@pytest.fixture
def office(app, owner, workspace, clock, smtp):
    server = SmtpServer("localhost", smtp.port, "none")
    transports.install(app, SmtpTransport(server, name="gate.example", patience=10, limit=20))
    clock.to(clock.now.replace(hour=8, minute=0))  # no daily limit ends within it
    return Office(app, owner, workspace, clock, smtp)


def away(office, smtp, way, many, step):
    """Play an outage of one kind."""
    sent = office.send(many)
    until = office.clock.now + HOUR
    if AWAY[way] is None:
        with smtp.refusing():
            outage = office.stay_away(sent, until=until, step=step)
    else:
        at, do = AWAY[way]
        smtp.fault(at, do)
        if do == HANG:
            server = SmtpServer("localhost", smtp.port, "none")
            transports.install(office.app, SmtpTransport(server, name="gate.example", patience=0.1, limit=0.2))
        outage = office.stay_away(sent, until=until, step=step)
        smtp.behave()
        smtp.hang_up()
    return outage, until


def test_an_hour_without_the_mail_server_ends_with_every_mail_delivered_once(
    proof, office, smtp, agency, database_kind
):
    """The mail server is away for an hour of the moved clock, each time in another way, and every mail is tried again as its
    turn comes. Once it is back each mail is delivered, once, and its link lives its full 7 days, or 4 hours for a member,
    counted from when the mail first began to leave; meanwhile staff read that it is delayed.
    """
    with transaction():
        agency.mails_per_hour = 100_000
    ways = list(AWAY) if proof.full else list(AWAY)[:2]
    many = {way: proof.size(check=4, prove=200 if AWAY[way] is None else 12) for way in ways}
    outages, short = {}, []
    for way in ways:
        smtp.inbox.clear()
        outages[way], back = away(office, smtp, way, many[way], HOUR / proof.size(check=8, prove=20))
        transports.install(office.app, SmtpTransport(SmtpServer("localhost", smtp.port, "none"), name="gate.example"))
        office.come_back(outages[way])
        short += [f"{way}: {fault}" for fault in outages[way].shortfalls(smtp.inbox, back)]

    assert not short, "\n".join(short)
    bundles = [bundle for outage in outages.values() for bundle in outage.bundles]
    assert {bundle.channel for bundle in bundles} == set(Channel)
    proof.title = f"Mail servers: an hour's outage ({database_kind})"
    proof.figure("mails", len(bundles))
    proof.figure("delivered once", len(bundles) - len(short))
    proof.figure("turns of the worker in the hour, at most", max(outage.turns for outage in outages.values()))
    proof.figure("connections tried in the hour, at most", max(outage.connections for outage in outages.values()))
    for way, outage in outages.items():
        proof.figure(f"{way}: the last mail was out after", f"{outage.waited.total_seconds() / 60:.0f} min")


def test_the_same_eyes_notice_a_second_mail_and_a_clock_that_ran_from_the_sending(office, smtp, clock):
    sent = office.send(2)
    smtp.fault("BODY", "drop", keeps=True, times=1)
    with transaction():
        sent[1].bundle.clock_started_at = clock.now
    clock.forward(minutes=30)
    outage = Outage([asked.bundle for asked in sent])
    office.work()
    office.come_back(outage)

    short = outage.shortfalls(smtp.inbox, clock.now)

    assert [fault.split(" ")[:2] for fault in short] == [["2", "mails"], ["the", "clock"], ["the", "clock"]]

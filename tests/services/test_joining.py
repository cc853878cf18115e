"""A request that comes to somebody within five minutes of their last mail: its mail waits, their link goes on working."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import delete, select

from app.database import transaction
from app.extensions import db
from app.models import OutboxItem, OutboxState, Recipient, Status
from app.services import connection_requests, deliveries, handovers, joining, link_tokens, outgoing, sending, workspaces
from app.tenancy import across_tenants, enter_tenant
from app.worker.handlers import HANDLERS
from app.worker.turns import Turns
from tests import factories
from tests.support import browsing, shared_app
from tests.support.browsing import Browser

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures
stub = browsing.stub

ANA, LEE = "ana.reyes@harbordental.example", "lee@harbordental.example"
FORMS = ("typeform", "new_response")


@pytest.fixture(autouse=True)
def nothing_else_is_due(agency):
    """Other tests share the database."""
    with across_tenants("a test's setting"), transaction() as session:
        session.execute(delete(OutboxItem).where(OutboxItem.kind == joining.KIND))


@pytest.fixture
def theirs(clock, workspace, owner):
    """What Ana is asked already, by a mail that left just now."""
    (asked,) = factories.make_sent(factories.make_workflow(workspace, owner, FORMS, name="Forms"), owner, recipient=ANA)
    leave(asked.bundle, clock)
    return asked


@pytest.fixture
def slack(theirs, workflow, owner):
    return factories.make_sent(workflow, owner)[0]


def leave(bundle, clock):
    """The bundle's mail goes out."""
    with transaction():
        outgoing.start_clocks({bundle.id: bundle.epoch}, at=clock.now)
    db.session.refresh(bundle)


def hand_over(asked, to=ANA):
    handovers.ask(asked.bundle, asked.public_id, to)


def work(app, agency):
    """Renew what is due, as a worker does."""
    handler = next(each for each in HANDLERS if each.kind == joining.KIND)
    turns = Turns(app, threading.Event())
    while turns.take(handler):
        pass
    enter_tenant(agency.id)
    db.session.rollback()
    return dict(turns.tally)


def rows(kind):
    return db.session.scalars(select(OutboxItem).where(OutboxItem.kind == kind).order_by(OutboxItem.id)).all()


def mailed_at(address):
    return db.session.scalar(select(Recipient.mailed_at).where(Recipient.email == address))


def test_it_stands_on_their_page_at_once_and_their_link_goes_on_working(slack, theirs, clock):
    anas, link, mails = Browser(), link_tokens.of(theirs.bundle), len(rows("bundle.sent"))
    clock.forward(minutes=2)
    hand_over(slack)

    assert slack.bundle_id == theirs.bundle_id
    assert (slack.bundle.epoch, slack.status) == (1, Status.PENDING)
    assert link_tokens.matches(link, slack.bundle)
    assert anas.open(link).bundle
    assert len(rows("bundle.sent")) == mails
    (renewal,) = rows(joining.KIND)
    assert renewal.key == f"{slack.public_id}:{slack.transition}"
    assert renewal.due_at == theirs.bundle.sent_at + timedelta(minutes=5)


def test_when_the_five_minutes_are_over_it_is_mailed_with_a_fresh_link(app, agency, slack, theirs, clock):
    link = link_tokens.of(theirs.bundle)
    clock.forward(minutes=2)
    hand_over(slack)
    clock.forward(minutes=2, seconds=59)
    assert work(app, agency) == {}
    clock.forward(seconds=1)

    assert work(app, agency) == {"done": 1}

    assert theirs.bundle.epoch == 2
    assert not link_tokens.matches(link, theirs.bundle)
    assert theirs.bundle.sent_by == "Maya Okafor"
    assert rows("bundle.sent")[-1].key == f"{theirs.bundle.public_id}:2"
    assert mailed_at(ANA) == clock.now
    assert {each.id for each in factories.outstanding(theirs.bundle)} == {slack.id, theirs.id}


def test_it_is_connected_with_the_link_they_have(app, agency, slack, theirs, stub, clock):
    anas = Browser()
    anas.open(theirs.bundle)
    hand_over(slack)
    assert anas.finish(anas.start(slack)).is_connected
    clock.forward(minutes=5)

    assert work(app, agency) == {"superseded": 1}
    assert theirs.bundle.epoch == 1


@pytest.mark.parametrize("act", ["fresh send", "decline", "cancel", "move", "archive", "close"])
def test_a_mail_that_nobody_needs_any_more_is_not_sent(app, agency, workspace, owner, slack, theirs, clock, act):
    hand_over(slack)
    bundle = theirs.bundle
    if act == "fresh send":
        more = factories.make_workflow(workspace, owner, FORMS, name="More forms")
        factories.make_sent(more, owner, recipient=ANA)
    elif act == "decline":
        connection_requests.decline(slack, reason="")
    elif act == "cancel":
        connection_requests.cancel(agency, slack.public_id, by=owner)
    elif act == "move":
        sending.change_recipient(agency, slack.public_id, recipient=LEE, by=owner)
    elif act == "archive":
        workspaces.archive(agency, workspace.public_id, by=owner)
    else:
        for each in (slack, theirs):
            connection_requests.cancel(agency, each.public_id, by=owner)
    epoch, mails = bundle.epoch, len(rows("bundle.sent"))
    clock.forward(minutes=5)

    assert work(app, agency) == {"superseded": 1}
    db.session.refresh(bundle)
    assert (bundle.epoch, len(rows("bundle.sent"))) == (epoch, mails)


def test_several_that_come_meanwhile_make_one_mail(app, agency, workflow, owner, slack, theirs, clock):
    hubspot = db.session.scalar(
        select(connection_requests.ConnectionRequest).where(
            connection_requests.ConnectionRequest.slot_id == workflow.slots[1].id
        )
    )
    mails = len(rows("bundle.sent"))
    hand_over(slack)
    clock.forward(minutes=1)
    hand_over(hubspot)
    clock.forward(minutes=4)

    assert work(app, agency) == {"done": 1, "superseded": 1}
    assert len(rows("bundle.sent")) == mails + 1
    assert len(factories.outstanding(theirs.bundle)) == 3


def test_a_mail_that_has_not_left_yet_names_it(app, agency, workspace, owner, workflow, clock):
    """Then none is owed but that one."""
    forms = factories.make_workflow(workspace, owner, FORMS, name="Forms")
    (theirs,) = factories.make_sent(forms, owner, recipient=ANA)
    slack = factories.make_sent(workflow, owner)[0]
    hand_over(slack)

    assert slack.bundle_id == theirs.bundle_id
    assert rows(joining.KIND) == []
    assert [each.workflow for each in factories.leaving(theirs.bundle).asked] == ["Forms", "New patient intake"]
    assert factories.leaving(theirs.bundle).asked[1].scopes == ("chat:write", "channels:read")
    assert factories.leaving(theirs.bundle).asked[1].handed_over_from == "priya.nair@harbordental.example"


def test_without_a_link_that_works_the_mail_of_a_new_one_waits(agency, owner, slack, theirs, clock, monkeypatch):
    """Everything that they were asked was settled meanwhile."""
    monkeypatch.setattr(deliveries, "mail_is_set_up", lambda: True)
    connection_requests.cancel(agency, theirs.public_id, by=owner)
    clock.forward(minutes=2)
    hand_over(slack)

    assert slack.bundle_id != theirs.bundle_id
    mail = rows("bundle.sent")[-1]
    due = theirs.bundle.sent_at + timedelta(minutes=5)
    assert (mail.key, mail.due_at, mail.state) == (f"{slack.bundle.public_id}:1", due, OutboxState.QUEUED)
    assert mailed_at(ANA) == due, "and a resend waits from then on"
    clock.forward(minutes=2)
    assert deliveries.of_bundles([slack.bundle_id])[slack.bundle_id].state is deliveries.DeliveryState.QUEUED


def test_another_that_comes_while_it_waits_goes_with_it(app, agency, owner, workflow, slack, theirs, clock):
    connection_requests.cancel(agency, theirs.public_id, by=owner)
    hand_over(slack)
    mails = len(rows("bundle.sent"))
    hubspot = next(each for each in _asked_of(workflow) if each.id != slack.id)
    hand_over(hubspot)

    assert hubspot.bundle_id == slack.bundle_id
    assert (len(rows("bundle.sent")), rows(joining.KIND)) == (mails, [])


def _asked_of(workflow):
    asked = connection_requests.ConnectionRequest
    return db.session.scalars(select(asked).where(asked.workflow_id == workflow.id)).all()


def test_a_renewal_waits_if_they_were_mailed_after_all(app, agency, slack, theirs, clock):
    """By a clock that another host has, say."""
    hand_over(slack)
    clock.forward(minutes=5)
    with transaction():
        db.session.scalars(select(Recipient).where(Recipient.email == ANA)).one().mailed_at = clock.now

    assert work(app, agency) == {"postponed": 1}
    assert rows(joining.KIND)[0].due_at == clock.now + timedelta(minutes=5)
    clock.forward(minutes=5)
    assert work(app, agency) == {"done": 1}

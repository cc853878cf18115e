"""What overtakes a callback: each order of events has one winner and one outcome."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.errors import Conflict
from app.extensions import db
from app.models import FlowStatus, OutboxItem, Source, Status
from app.services import callbacks, connection_requests, flows, nodes, sending, slots, workflows, workspaces
from tests import factories
from tests.support import browsing, shared_app
from tests.support.browsing import Browser, connections, the_flow
from tests.support.elsewhere import elsewhere
from tests.support.rows import rows_of

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures
stub = browsing.stub

SAM = "sam@cobalt-it.example"


class Overtaking:
    """What may happen while the client is at the provider."""

    def __init__(self, agency, asked, owner, clock):
        self.agency, self.asked, self.owner, self.clock = agency, asked, owner, clock

    def nothing(self):
        pass

    def cancel(self):
        connection_requests.cancel(self.agency, self.asked.public_id, by=self.owner)

    def change_recipient(self):
        sending.change_recipient(self.agency, self.asked.public_id, recipient=SAM, by=self.owner)

    def change_source(self):
        slots.set_source(self.asked.slot, Source.AGENCY, confirmed=True, by=self.owner)

    def remove_node(self):
        workflow = self.asked.workflow
        nodes.remove(workflow, workflow.nodes[0].public_id, confirmed=True, by=self.owner)

    def resend(self):
        self.clock.forward(minutes=6)
        sending.resend(self.agency, self.asked.public_id, by=self.owner)

    def send(self):
        more = factories.make_workflow(
            self.asked.workflow.workspace, self.owner, ("typeform", "new_response"), name="Forms"
        )
        factories.make_sent(more, self.owner)

    def publish(self):
        workflows.publish(self.asked.workflow, by=self.owner)

    def expire(self):
        self.clock.forward(minutes=10)

    def decline(self):
        connection_requests.decline(self.asked, reason="")

    def archive(self):
        workspaces.archive(self.agency, self.asked.workflow.workspace.public_id, by=self.owner)


# What overtakes the callback, who wins, and whether there is a connection in the end.
RACES = {
    "nothing": ("callback", Status.FULFILLED),
    "cancel": ("staff", Status.CANCELLED),
    "change_recipient": ("staff", Status.PENDING),
    "change_source": ("staff", Status.CANCELLED),
    "remove_node": ("staff", Status.CANCELLED),
    "resend": ("callback", Status.FULFILLED),
    "send": ("callback", Status.FULFILLED),
    "publish": ("callback", Status.FULFILLED),
    "expire": ("callback", Status.FULFILLED),
    "decline": ("callback", Status.FULFILLED),
    "archive": ("callback", Status.FULFILLED),
}


@pytest.mark.parametrize("when", ["before the callback", "during the exchange"])
@pytest.mark.parametrize("event", RACES)
def test_what_overtakes_a_callback_has_one_winner(agency, sent, browser, stub, owner, clock, monkeypatch, event, when):
    winner, status = RACES[event]
    asked = sent[0]
    if event == "expire":
        clock.to(asked.bundle.expires_at - timedelta(minutes=1))
    state = browser.start(asked)
    happen = getattr(Overtaking(agency, asked, owner, clock), event)
    if when == "before the callback":
        happen()
    else:
        real = stub.exchange

        def while_away(*args, **kwargs):
            happen()
            return real(*args, **kwargs)

        monkeypatch.setattr(callbacks, "exchange", while_away)

    browser.finish(state)

    db.session.rollback()
    db.session.refresh(asked)
    assert asked.status is status
    assert (asked.connection_id is not None, len(connections())) == (winner == "callback", winner == "callback")
    discarded = db.session.scalars(select(OutboxItem.key).where(OutboxItem.kind == "grant.discard")).all()
    assert discarded == ([] if winner == "callback" else [the_flow().public_id])
    if winner == "staff":
        assert (the_flow().status, the_flow().outcome) == (FlowStatus.FAILED, "withdrawn")
        assert the_flow().grant, "what the provider issued is kept sealed until it is revoked there"


@pytest.mark.parametrize("event", ["cancel", "change_recipient", "resend"])
def test_staff_who_come_after_the_callback_are_refused(agency, sent, browser, stub, owner, clock, event):
    browser.finish(browser.start(sent[0]))
    before = rows_of(agency)

    with pytest.raises(Conflict):
        getattr(Overtaking(agency, sent[0], owner, clock), event)()

    assert rows_of(agency) == before


@pytest.mark.parametrize("choice", ["change_source", "remove_node"])
def test_who_declined_cannot_connect_once_staff_chose_another_way(agency, sent, browser, stub, owner, clock, choice):
    connection_requests.decline(sent[0], reason="")
    state = browser.start(sent[0])

    getattr(Overtaking(agency, sent[0], owner, clock), choice)()
    browser.finish(state)

    assert (sent[0].status, connections()) == (Status.CANCELLED, [])
    with pytest.raises(Conflict):
        browser.start(sent[0])


@pytest.mark.parametrize("event", ["cancel", "change_recipient"])
def test_what_overtakes_the_wait_for_a_providers_metadata_leaves_a_flow_that_makes_nothing(
    agency, workspace, stub, owner, monkeypatch, event
):
    """And nothing of what one client typed is on the card of the next."""
    steps = ("zendesk", flows.runtime.current().catalog.get("zendesk").actions[0].key)
    (asked,) = factories.make_sent(factories.make_workflow(workspace, owner, steps, name="Help"), owner)
    browser, public_id, begin = Browser(), asked.public_id, flows.authorize.begin
    browser.open(asked.bundle)
    (field,) = flows.scopes.app_of(asked).fields

    def overtaken(agency, owner, asked):
        getattr(Overtaking(agency, asked, owner, None), event)()

    def while_away(*args, **kwargs):
        elsewhere(overtaken, agency, owner, asked)
        return begin(*args, **kwargs)

    monkeypatch.setattr(flows.authorize, "begin", while_away)
    browser.finish(browser.start(asked, {field.name: "acme"}))

    db.session.rollback()
    asked = connection_requests.get(agency, public_id)
    assert asked.status is RACES[event][1]
    assert (connections(), asked.typed_fields, the_flow().outcome) == ([], {}, "withdrawn")

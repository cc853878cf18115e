"""The same act many times at once, from several processes: one effect."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app.extensions import db
from app.models import AuditEvent, Bundle, ConnectionRequest, OutboxItem, Staff, Status, Workflow
from app.services import connection_requests, sending, workflows
from app.tenancy import enter_tenant
from tests import factories
from tests.support import shared_app
from tests.support.crowd import crowd
from tests.support.elsewhere import at_once, outcomes

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures

PRIYA, SAM = "priya.nair@harbordental.example", "sam@cobalt-it.example"


@pytest.fixture
def queued(workflow, owner):
    """Slack to Priya, HubSpot to Sam, Slack of another workflow to Priya."""
    other = factories.make_workflow(workflow.workspace, owner, ("slack", "find_user"), name="Recall reminders")
    to = {workflow.slots[0]: PRIYA, workflow.slots[1]: SAM, other.slots[0]: PRIYA}
    return [factories.make_request(slot, owner, recipient=address) for slot, address in to.items()]


def counts():
    db.session.rollback()
    mails = db.session.scalars(select(OutboxItem.key).where(OutboxItem.kind == "bundle.sent")).all()
    sent = db.session.scalar(select(func.count(AuditEvent.id)).where(AuditEvent.type == "request.sent"))
    return len(mails), sent


def send(_app, payload):
    """One press of “Send to client”."""
    agency_id, workflow_id, staff_id = payload
    enter_tenant(agency_id)
    sent = sending.send(db.session.get_one(Workflow, workflow_id), by=db.session.get_one(Staff, staff_id))
    return sent.recipients, sent.requests


def test_twenty_sends_from_two_processes_are_one_mail_a_recipient(config, agency, workflow, owner, queued):
    payload = (agency.id, workflow.id, owner.id)
    db.session.rollback()

    came_to = crowd(config, send, payload)

    assert sorted(came_to) == [(0, 0)] * 19 + [(2, 2)]
    assert counts() == (2, 2)
    for each in queued:
        db.session.refresh(each)
    assert [each.status for each in queued] == [Status.PENDING, Status.PENDING, Status.QUEUED]
    bundles = db.session.scalars(select(Bundle)).all()
    assert sorted((bundle.recipient, bundle.epoch) for bundle in bundles) == [(PRIYA, 1), (SAM, 1)]


def test_publish_send_and_add_at_once_leave_one_complete_mail_an_epoch(agency, workflow, owner, queued):
    """Whatever the order, every mail's epoch is the bundle's, and what is pending is in the latest."""
    third = factories.make_workflow(workflow.workspace, owner, ("typeform", "new_response"), name="Forms")
    ids = [each.id for each in (workflow, queued[2].workflow, third)]

    def of(number, act):
        return lambda _workflow, owner: act(db.session.get_one(Workflow, ids[number]), owner)

    futures = at_once(
        [
            *[of(0, lambda workflow, owner: sending.send(workflow, by=owner))] * 2,
            of(0, lambda workflow, owner: workflows.publish(workflow, by=owner)),
            of(1, lambda workflow, owner: sending.send(workflow, by=owner)),
            of(1, lambda workflow, owner: workflows.publish(workflow, by=owner)),
            of(2, lambda workflow, owner: factories.make_request(workflow.slots[0], owner, recipient=PRIYA)),
            of(2, lambda workflow, owner: sending.send(workflow, by=owner)),
        ],
        workflow,
        owner,
    )

    assert not [each for each in outcomes(futures) if isinstance(each, type)]
    db.session.rollback()
    for bundle in db.session.scalars(select(Bundle)):
        keys = {f"{bundle.public_id}:{epoch}" for epoch in range(1, bundle.epoch + 1)}
        stored = select(OutboxItem.key).where(OutboxItem.key.startswith(bundle.public_id))
        assert set(db.session.scalars(stored)) == keys
    assert len(db.session.scalars(select(Bundle)).all()) == 2
    assert [each.status for each in queued] == [Status.PENDING] * 3


@pytest.mark.parametrize("act", ["resend", "cancel", "move", "decline", "request_again", "queue"])
def test_ten_at_once_are_one(agency, workflow, owner, clock, act):
    """Every other act of staff or client, pressed ten times at the same moment."""
    asked = factories.make_sent(workflow, owner)[0]
    if act in ("request_again", "queue"):
        connection_requests.cancel(agency, asked.public_id, by=owner)
    clock.forward(minutes=6)
    public_id = asked.public_id
    acts = {
        "resend": lambda agency, owner, _: sending.resend(agency, public_id, by=owner).status,
        "cancel": lambda agency, owner, _: connection_requests.cancel(agency, public_id, by=owner).status,
        "move": lambda agency, owner, _: sending.change_recipient(agency, public_id, recipient=SAM, by=owner).recipient,
        "decline": lambda agency, _, __: connection_requests.decline(
            connection_requests.get(agency, public_id), reason=""
        ),
        "request_again": lambda agency, owner, _: (
            connection_requests.request_again(agency, public_id, by=owner).recipient
        ),
        "queue": lambda _, owner, asked: factories.make_request(asked.slot, owner).recipient,
    }
    written = {
        "resend": "request.resent",
        "cancel": "request.cancelled",
        "move": "request.recipient_changed",
        "decline": "request.declined",
        "request_again": "request.queued",
        "queue": "request.queued",
    }
    before = _written(written[act])
    mails_before, _ = counts()

    futures = at_once([acts[act]] * 10, agency, owner, asked)

    kinds = [kind for kind in outcomes(futures) if isinstance(kind, type)]
    assert {kind.__name__ for kind in kinds} <= {"Conflict", "RateLimited", "Refused"}
    assert len(kinds) == (0 if act == "decline" else 9)
    assert _written(written[act]) - before == 1
    assert counts()[0] - mails_before == (act in ("resend", "move"))


def _written(kind):
    db.session.rollback()
    return db.session.scalar(select(func.count(AuditEvent.id)).where(AuditEvent.type == kind))


def test_the_last_two_cancelled_at_once_close_the_bundle(agency, workflow, owner):
    asked = factories.make_sent(workflow, owner)
    ids, bundle_id = [each.public_id for each in asked], asked[0].bundle_id
    futures = at_once(
        [lambda agency, owner, id_=id_: connection_requests.cancel(agency, id_, by=owner).status for id_ in ids],
        agency,
        owner,
    )

    assert outcomes(futures) == [Status.CANCELLED] * 2
    db.session.rollback()
    assert db.session.get_one(Bundle, bundle_id).closed_at is not None
    assert db.session.scalar(select(func.count(ConnectionRequest.id))) == 2
    assert timedelta(0) < db.session.get_one(Bundle, bundle_id).expires_at - asked[0].sent_at

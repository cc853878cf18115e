import pytest
from sqlalchemy import select

from app.extensions import db
from app.models import Channel, OutboxItem, Status
from app.services import bundles, connection_requests, link_tokens, nodes, sending
from tests import factories
from tests.support.statements import counted

PRIYA = "priya.nair@harbordental.example"
STEPS = (("slack", "send_channel_message"), ("hubspot", "create_contact"))

pytestmark = pytest.mark.both_databases


@pytest.fixture
def workflow(workspace, owner):
    return factories.make_workflow(workspace, owner, *STEPS)


def mails():
    return db.session.scalars(select(OutboxItem).where(OutboxItem.kind == "bundle.sent")).all()


def test_send_writes_one_mail_for_all_apps_of_a_recipient(workflow, owner):
    asked = [factories.make_request(slot, owner) for slot in workflow.slots]

    sent = sending.send(workflow, by=owner)

    assert (sent.recipients, sent.requests, sent.left) == (1, 2, ())
    assert len(mails()) == 1
    assert {each.status for each in asked} == {Status.PENDING}
    assert len({each.bundle_id for each in asked}) == 1
    assert asked[0].bundle.channel is Channel.LINK


def test_send_again_sends_nothing(workflow, owner):
    factories.make_sent(workflow, owner)

    assert sending.send(workflow, by=owner) == sending.Sent()
    assert len(mails()) == 1


def test_send_by_portal_to_a_member(workspace, workflow, owner):
    member = factories.make_member(workspace)
    asked = factories.make_request(workflow.slots[0], owner, recipient=member.email)

    sending.send(workflow, by=owner)

    assert asked.bundle.channel is Channel.PORTAL
    assert (asked.bundle.expires_at - asked.bundle.sent_at).total_seconds() == 4 * 3600


def test_a_fresh_send_joins_the_open_bundle_and_kills_the_old_link(workflow, owner):
    first = factories.make_request(workflow.slots[0], owner)
    sending.send(workflow, by=owner)
    old = link_tokens.of(first.bundle)
    second = factories.make_request(workflow.slots[1], owner)

    sending.send(workflow, by=owner)

    assert second.bundle_id == first.bundle_id
    assert second.bundle.epoch == 2
    assert not link_tokens.matches(old, first.bundle)
    assert len(mails()) == 2


def test_cancel_kills_the_link_when_nothing_is_left(agency, workflow, owner):
    first, second = factories.make_sent(workflow, owner)

    connection_requests.cancel(agency, first.public_id, by=owner)
    assert first.bundle.closed_at is None

    connection_requests.cancel(agency, second.public_id, by=owner)
    assert second.bundle.closed_at is not None


def test_tokens_end_in_a_letter_or_digit_and_are_of_the_allowed_form(workflow, owner):
    asked = factories.make_sent(workflow, owner)[0]
    token = link_tokens.of(asked.bundle)

    assert link_tokens.FORM.fullmatch(token)
    assert token[-1].isalnum()
    assert link_tokens.digest(token) == asked.bundle.token_hash
    assert bundles.channel_for(asked.workspace_id, PRIYA) is Channel.LINK


@pytest.mark.parametrize("recipients", [1, 5])
def test_sending_costs_no_more_statements_for_more_requests(workspace, owner, recipients):
    few = factories.make_workflow(workspace, owner, STEPS[0], name="Few")
    many = factories.make_workflow(workspace, owner, STEPS[0], name="Many")
    for _ in range(9):
        nodes.add(many, app_key="slack", action_key="send_channel_message", separate=True, by=owner)
    costs = []
    for workflow in (few, many):
        for number, slot in enumerate(workflow.slots):
            factories.make_request(
                slot, owner, recipient=f"person{number % recipients}@{workflow.name.lower()}.example"
            )
        with counted() as made:
            sent = sending.send(workflow, by=owner)
        besides_audit = [each for each in made if "INTO audit_event" not in each]  # one row for each act
        costs.append(len(besides_audit) / sent.recipients)

    assert costs[1] <= costs[0], costs

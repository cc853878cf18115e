"""Edges of the main job: one recipient in several places, the same app twice, members who come and go, publishing."""

import pytest
from sqlalchemy import func, select

from app.database import transaction
from app.errors import Conflict, Refused
from app.extensions import db
from app.models import Channel, Connection, Health, OutboxItem, Source, Status, WorkflowVersion
from app.services import (
    connection_requests,
    intake,
    members,
    nodes,
    oauth_clients,
    sending,
    slots,
    workflows,
    workspaces,
)
from app.services.workflows import State
from tests import factories
from tests.support import browsing, shared_app
from tests.support.browsing import Browser
from tests.support.rows import rows_of

agency, app, config, stranger = shared_app.fixtures
stub = browsing.stub

PRIYA, SAM = "priya.nair@harbordental.example", "sam@cobalt-it.example"
SLACK, HUBSPOT = ("slack", "send_channel_message"), ("hubspot", "create_contact")


def without_slack(states):
    """The apps of an agency once Slack has lost its client."""
    return {key: state for key, state in states.items() if key != "slack"}


def mails():
    db.session.rollback()
    return db.session.scalars(select(OutboxItem.key).where(OutboxItem.kind == "bundle.sent")).all()


def progress(workflow):
    return workflows.progress_of([workflow])[workflow.id]


# ── One recipient in two workflows and in two workspaces ────────────────────


def test_one_recipient_in_two_workflows_has_one_bundle_and_a_mail_for_each_send(workspace, workflow, owner):
    other = factories.make_workflow(workspace, owner, SLACK, name="Recall reminders")
    first, second = factories.make_sent(workflow, owner)
    (third,) = factories.make_sent(other, owner)

    assert first.bundle_id == second.bundle_id == third.bundle_id
    assert (third.bundle.epoch, len(mails())) == (2, 2)
    assert len(intake.cards(third.bundle)) == 3


def test_one_recipient_in_two_workspaces_has_two_of_everything(agency, workflow, owner, stub):
    other = factories.make_workflow(factories.make_workspace(agency, "Cobalt"), owner, SLACK, HUBSPOT)
    here, there = factories.make_sent(workflow, owner), factories.make_sent(other, owner)
    browser = Browser()
    for each in (here, there):
        assert browser.open(each[0].bundle).bundle.id == each[0].bundle_id
    browser.finish(browser.start(here[0]))

    assert (here[0].status, there[0].status) == (Status.FULFILLED, Status.PENDING)
    assert intake.cards(there[0].bundle)[0].offer is None
    browser.finish(browser.start(there[0]))

    assert here[0].connection_id != there[0].connection_id
    assert db.session.scalar(select(func.count(Connection.id))) == 2


# ── The same app twice ──────────────────────────────────────────────────────


def test_the_same_app_twice_in_one_workflow_asks_for_two_accounts(workspace, owner, stub):
    workflow = factories.make_workflow(workspace, owner, SLACK, SLACK)
    assert len(workflow.slots) == 1
    nodes.use_separate_account(workflow, workflow.nodes[1].public_id, by=owner)
    slots.set_source(workflow.slots[1], Source.CLIENT, by=owner)
    first, second = factories.make_sent(workflow, owner)
    browser = Browser()
    browser.open(first.bundle)
    browser.finish(browser.start(first))
    assert intake.cards(first.bundle)[1].offer.id == first.connection_id
    stub.account = "office@client.example"
    browser.finish(browser.start(second))

    assert first.connection_id != second.connection_id
    assert {slot.connection_id for slot in workflow.slots} == {first.connection_id, second.connection_id}
    assert [workflows.slot_name(slot) for slot in workflow.slots] == ["Slack (account 1)", "Slack (account 2)"]


def test_two_nodes_of_one_app_are_one_request_with_both_their_scopes(workspace, owner):
    workflow = factories.make_workflow(workspace, owner, SLACK, ("slack", "find_user"))
    (asked,) = factories.make_sent(workflow, owner)

    assert set(asked.sent_scopes) == {"chat:write", "channels:read", "users:read", "users:read.email"}


# ── Declined, then connected after all ──────────────────────────────────────


def test_the_last_open_app_declined_then_connected_after_all(workflow, owner, stub):
    first, last = factories.make_sent(workflow, owner)
    browser = Browser()
    browser.open(first.bundle)
    browser.finish(browser.start(first))
    connection_requests.decline(last, reason="Ask our IT company.")
    assert last.bundle.closed_at is None
    assert browser.enter(last.bundle).is_open
    assert Browser().open(last.bundle).bundle is not None

    browser.finish(browser.start(last))

    assert last.status is Status.FULFILLED
    assert last.bundle.closed_at is not None
    assert Browser().open(last.bundle).bundle is None
    assert browser.enter(last.bundle).is_open is False


# ── Members who come and go ─────────────────────────────────────────────────


def test_a_member_added_after_queueing_is_sent_to_the_portal(workspace, workflow, owner):
    asked = factories.make_request(workflow.slots[0], owner)
    members.add(workspace, name="Priya Nair", email=PRIYA, by=owner)

    sending.send(workflow, by=owner)

    assert asked.bundle.channel is Channel.PORTAL
    assert (asked.bundle.expires_at - asked.bundle.sent_at).total_seconds() == 4 * 3600


def test_a_member_removed_after_queueing_is_sent_a_link(workspace, workflow, owner):
    member = members.add(workspace, name="Priya Nair", email=PRIYA, by=owner)
    asked = factories.make_request(workflow.slots[0], owner)
    members.remove(workspace, member.public_id, by=owner)

    sending.send(workflow, by=owner)

    assert asked.bundle.channel is Channel.LINK
    assert (asked.bundle.expires_at - asked.bundle.sent_at).total_seconds() == 7 * 86400


def test_a_link_sent_before_its_recipient_became_a_member_lives_to_its_end(workspace, workflow, owner, clock):
    (asked, _) = factories.make_sent(workflow, owner)
    ends = asked.bundle.expires_at
    members.add(workspace, name="Priya Nair", email=PRIYA, by=owner)
    clock.forward(hours=5)

    assert (asked.bundle.channel, asked.bundle.expires_at) == (Channel.LINK, ends)
    browser = Browser()
    browser.open(asked.bundle)
    assert browser.enter(asked.bundle).is_open


def test_a_member_removed_after_sending_is_resent_a_link(agency, workspace, workflow, owner, clock):
    member = members.add(workspace, name="Priya Nair", email=PRIYA, by=owner)
    (asked, _) = factories.make_sent(workflow, owner)
    members.remove(workspace, member.public_id, by=owner)
    assert asked.bundle.channel is Channel.PORTAL
    clock.forward(minutes=5)

    sending.resend(agency, asked.public_id, by=owner)

    assert (asked.bundle.channel, asked.bundle.expires_at) == (
        Channel.LINK,
        asked.bundle.sent_at + Channel.LINK.lifetime,
    )


# ── Publishing ──────────────────────────────────────────────────────────────


def versions(workflow):
    return db.session.scalars(
        select(WorkflowVersion.number)
        .where(WorkflowVersion.workflow_id == workflow.id)
        .order_by(WorkflowVersion.number)
    ).all()


def test_publish_is_refused_with_an_empty_slot_and_names_each(agency, workspace, owner):
    workflow = factories.make_workflow(workspace, owner, SLACK, HUBSPOT, ("typeform", "new_response"))
    factories.make_request(workflow.slots[1], owner)
    before = rows_of(agency)

    with pytest.raises(Refused, match=r"Slack and Typeform have neither a connection nor a live request"):
        workflows.publish(workflow, by=owner)

    assert (rows_of(agency) == before, mails()) == (True, [])


@pytest.mark.parametrize("status", ["declined", "cancelled"])
def test_publish_is_refused_while_a_slot_was_declined_or_cancelled(agency, workflow, owner, status):
    first, _ = factories.make_sent(workflow, owner)
    if status == "declined":
        connection_requests.decline(first, reason="")
    else:
        connection_requests.cancel(agency, first.public_id, by=owner)

    with pytest.raises(Refused, match="Slack has neither a connection nor a live request"):
        workflows.publish(workflow, by=owner)


def test_publish_is_refused_with_a_connection_that_broke(workspace, workflow, owner):
    broken = factories.make_connection(workspace, "slack", health=Health.ERROR, scopes=["chat:write", "channels:read"])
    factories.make_request(workflow.slots[1], owner)
    with transaction():
        workflow.slots[0].connection_id = broken.id

    with pytest.raises(Refused, match="Slack has neither"):
        workflows.publish(workflow, by=owner)


def test_publish_sends_what_is_queued_in_the_same_transaction(workflow, owner):
    first = factories.make_request(workflow.slots[0], owner)
    second = factories.make_request(workflow.slots[1], owner, recipient=SAM)

    sent = workflows.publish(workflow, by=owner)

    assert (sent.recipients, sent.requests, len(mails())) == (2, 2, 2)
    assert {first.status, second.status} == {Status.PENDING}
    assert (workflow.version, versions(workflow)) == (1, [1])
    assert (progress(workflow).state, progress(workflow).label) == (
        State.WAITING,
        "Waiting on client (0 of 2 connected)",
    )


@pytest.mark.parametrize("why", ["the app lost its client", "the workspace was archived"])
def test_publish_is_refused_whole_when_one_request_cannot_be_sent(agency, workspace, workflow, owner, monkeypatch, why):
    factories.make_request(workflow.slots[0], owner)
    factories.make_request(workflow.slots[1], owner, recipient=SAM)
    if why == "the app lost its client":
        real = oauth_clients.states
        monkeypatch.setattr(oauth_clients, "states", lambda agency: without_slack(real(agency)))
    else:
        workspaces.archive(agency, workspace.public_id, by=owner)
    before = rows_of(agency)

    with pytest.raises((Refused, Conflict), match=r"Slack has no OAuth client|archived"):
        workflows.publish(workflow, by=owner)

    assert (rows_of(agency) == before, mails()) == (True, [])


def test_send_leaves_out_the_recipient_who_cannot_be_sent_and_says_why(agency, workflow, owner, monkeypatch):
    unfit = factories.make_request(workflow.slots[0], owner)
    fit = factories.make_request(workflow.slots[1], owner, recipient=SAM)
    real = oauth_clients.states
    monkeypatch.setattr(oauth_clients, "states", lambda agency: without_slack(real(agency)))

    sent = sending.send(workflow, by=owner)

    assert (sent.recipients, sent.requests, len(mails())) == (1, 1, 1)
    assert (unfit.status, fit.status) == (Status.QUEUED, Status.PENDING)
    assert [sending.explain(left) for left in sent.left] == [
        f"Not sent to {PRIYA}: Slack has no OAuth client. Set it up on the Apps page."
    ]


def test_send_leaves_out_all_of_a_recipients_apps_when_one_cannot_be_sent(workflow, owner, monkeypatch):
    asked = [factories.make_request(slot, owner) for slot in workflow.slots]
    real = oauth_clients.states
    monkeypatch.setattr(oauth_clients, "states", lambda agency: without_slack(real(agency)))

    sent = sending.send(workflow, by=owner)

    assert (sent.recipients, {each.status for each in asked}, mails()) == (0, {Status.QUEUED}, [])


def test_each_publish_keeps_a_numbered_version(workspace, workflow, owner, stub):
    first, second = factories.make_sent(workflow, owner)
    workflows.publish(workflow, by=owner)
    browser = Browser()
    browser.open(first.bundle)
    for each in (first, second):
        browser.finish(browser.start(each))
    workflows.rename(workflow, "Another name", by=owner)
    workflows.publish(workflow, by=owner)

    assert versions(workflow) == [1, 2]
    snapshots = db.session.scalars(select(WorkflowVersion.snapshot).order_by(WorkflowVersion.number)).all()
    assert [each["name"] for each in snapshots] == ["New patient intake", "Another name"]
    assert [slot["connection"] is not None for each in snapshots for slot in each["slots"]] == [
        False,
        False,
        True,
        True,
    ]
    assert progress(workflow).state is State.READY


def test_a_workflows_state_follows_from_its_slots(workspace, workflow, owner, stub):
    first, second = factories.make_sent(workflow, owner)
    assert progress(workflow).state is State.DRAFT
    workflows.publish(workflow, by=owner)
    browser = Browser()
    browser.open(first.bundle)
    browser.finish(browser.start(first))
    assert progress(workflow).label == "Waiting on client (1 of 2 connected)"
    browser.finish(browser.start(second))
    assert progress(workflow).state is State.READY
    for health in (Health.ERROR, Health.REVOKED):
        with transaction():
            first.connection.health = health
        assert progress(workflow).state is State.PAUSED

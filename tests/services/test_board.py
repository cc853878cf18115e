from datetime import timedelta
from types import SimpleNamespace

import pytest

from app import clock as app_clock
from app.database import transaction
from app.models import Channel, Health, Source, Status
from app.services import (
    board,
    connection_requests,
    fulfilment,
    mending_requests,
    nodes,
    portal_requests,
    sending,
    slots,
    workflows,
)
from tests import factories
from tests.services.settling import change, settle
from tests.support.shared_app import *  # noqa: F403
from tests.support.statements import counted

PRIYA, DANA = "priya.nair@harbordental.example", "dana.reyes@harbordental.example"
STEPS = (("slack", "send_channel_message"), ("hubspot", "create_contact"))
SLACK_SCOPES = ["chat:write", "channels:read"]

pytestmark = pytest.mark.both_databases


def seen(workflow, **page):
    return board.view(workflow, at=app_clock.now(), **page)


def card(workflow, asked):
    found = [each for group in seen(workflow).groups for each in group.cards if each.asked.id == asked.id]
    return found[0] if found else None


def test_view_groups_by_recipient_the_latest_asked_first(workflow, owner):
    factories.make_request(workflow.slots[0], owner, recipient=DANA)
    factories.make_request(workflow.slots[1], owner)

    found = seen(workflow)

    assert [(each.recipient, each.connected, each.total) for each in found.groups] == [(PRIYA, 0, 1), (DANA, 0, 1)]
    assert (found.queued, found.is_moving, found.newer, found.older) == (2, False, None, None)


def test_view_leaves_out_other_workflows(workspace, workflow, owner):
    factories.make_sent(factories.make_workflow(workspace, owner, *STEPS, name="Another"), owner)

    assert seen(workflow).groups == []
    assert not seen(workflow).is_moving


def test_view_counts_declined_in_all_and_cancelled_in_nothing(workspace, workflow, owner, agency):
    slack, hubspot = factories.make_sent(workflow, owner)
    connection_requests.decline(slack, reason="")
    assert (seen(workflow).groups[0].connected, seen(workflow).groups[0].total) == (0, 2)
    connection_requests.cancel(agency, hubspot.public_id, by=owner)
    assert seen(workflow).groups[0].total == 1
    settle(slack, factories.make_connection(workspace, scopes=SLACK_SCOPES))
    assert (seen(workflow).groups[0].connected, seen(workflow).groups[0].total) == (1, 1)


def test_view_does_not_count_what_no_longer_works(workspace, workflow, owner):
    slack = factories.make_sent(workflow, owner)[0]
    held = factories.make_connection(workspace, scopes=SLACK_SCOPES)
    settle(slack, held)
    change(held, health=Health.ERROR)

    assert (seen(workflow).groups[0].connected, seen(workflow).groups[0].total) == (0, 2)
    assert card(workflow, slack).may_reconnect


def test_view_counts_each_account_once_as_the_portal_does(workspace, workflow, owner, agency):
    slack, _hubspot = factories.make_sent(workflow, owner)
    held = factories.make_connection(workspace, scopes=SLACK_SCOPES, owner_email=PRIYA)
    settle(slack, held)
    change(workflow.slots[0], connection_id=held.id)
    visitor = SimpleNamespace(workspace_id=workspace.id, email=PRIYA)

    def both():
        [group] = seen(workflow).groups
        [waits] = portal_requests.inbox(visitor, at=app_clock.now()).page.items
        assert (waits.done, waits.total) == (group.connected, group.total)
        return group.connected, group.total, len(group.cards)

    assert both() == (1, 2, 2)
    change(held, health=Health.ERROR)
    assert both() == (0, 2, 2)
    mending_requests.queue(held, by=owner)
    sending.send(workflow, by=owner)
    assert both() == (0, 2, 3), "it is the same account that is asked for anew"
    [mending] = mending_requests.standing([held.id]).values()
    change(held, health=Health.ACTIVE)
    settle(mending, held)
    assert both() == (1, 2, 3)


def test_view_counts_an_account_once_that_was_revoked_and_asked_for_again(workspace, workflow, owner, agency):
    slack, _hubspot = factories.make_sent(workflow, owner)
    held = factories.make_connection(workspace, scopes=SLACK_SCOPES)
    settle(slack, held)
    with transaction():
        held.health = Health.REVOKED
        fulfilment.revoke_for(held, by=owner, at=app_clock.now())
    assert (seen(workflow).groups[0].connected, seen(workflow).groups[0].total) == (0, 2)
    connection_requests.request_again(agency, slack.public_id, by=owner)

    assert (seen(workflow).groups[0].connected, seen(workflow).groups[0].total) == (0, 2)


def test_view_takes_the_channel_of_the_link_that_was_sent(workspace, workflow, owner):
    asked = factories.make_sent(workflow, owner)[0]
    factories.make_member(workspace, PRIYA, "Priya Nair")

    [group] = seen(workflow).groups
    assert (group.channel, group.expires_at) == (Channel.LINK, asked.bundle.expires_at)


def test_view_foresees_the_channel_of_what_is_queued(workspace, workflow, owner):
    factories.make_member(workspace)
    factories.make_request(workflow.slots[0], owner, recipient=DANA)

    [group] = seen(workflow).groups
    assert (group.channel, group.expires_at, group.is_waiting) == (Channel.PORTAL, None, True)


def test_view_moves_while_something_is_pending_or_may_still_be_accepted(workflow, owner, agency, clock):
    slack, hubspot = factories.make_sent(workflow, owner)
    connection_requests.cancel(agency, hubspot.public_id, by=owner)
    assert seen(workflow).is_moving
    connection_requests.decline(slack, reason="")
    assert seen(workflow).is_moving
    clock.forward(days=7, seconds=1)
    assert not seen(workflow).is_moving


def test_view_hides_what_was_cancelled_unless_it_can_be_asked_again(workspace, workflow, owner, agency):
    slack = factories.make_request(workflow.slots[0], owner)
    connection_requests.cancel(agency, slack.public_id, by=owner)
    assert card(workflow, slack).may_ask_again

    slots.set_source(workflow.slots[0], Source.AGENCY, by=owner)
    assert card(workflow, slack) is None
    slots.set_source(workflow.slots[0], Source.CLIENT, by=owner)
    assert card(workflow, slack).may_ask_again
    change(workflow.slots[0], connection_id=factories.make_connection(workspace).id)
    assert card(workflow, slack) is None


def test_view_hides_what_was_cancelled_for_a_step_that_is_gone(workflow, owner):
    slack = factories.make_request(workflow.slots[0], owner)
    nodes.remove(workflow, workflow.nodes[0].public_id, confirmed=True, by=owner)

    assert slack.status is Status.CANCELLED
    assert card(workflow, slack) is None


def test_view_offers_what_was_revoked_again_until_it_is_asked_for(workspace, workflow, owner):
    slack = factories.make_sent(workflow, owner)[0]
    held = factories.make_connection(workspace, scopes=SLACK_SCOPES)
    settle(slack, held)
    change(held, health=Health.REVOKED)
    fulfilment.revoke_for(held, by=owner, at=app_clock.now())
    assert card(workflow, slack).may_ask_again

    connection_requests.request_again(owner.agency, slack.public_id, by=owner)
    assert not card(workflow, slack).may_ask_again


@pytest.mark.parametrize(
    ("status", "flags"),
    [
        (Status.QUEUED, (True, True, None)),
        (Status.PENDING, (True, True, 3)),
        (Status.DECLINED, (True, False, 3)),
        (Status.FULFILLED, (False, False, None)),
    ],
)
def test_view_says_what_a_row_allows(workspace, workflow, owner, status, flags):
    slack = factories.make_request(workflow.slots[0], owner)
    if status is not Status.QUEUED:
        sending.send(workflow, by=owner)
    if status is Status.DECLINED:
        connection_requests.decline(slack, reason="")
    if status is Status.FULFILLED:
        settle(slack, factories.make_connection(workspace, scopes=SLACK_SCOPES))

    found = card(workflow, slack)

    assert (found.may_cancel, found.may_move, found.resends_left) == flags
    assert not found.may_ask_again


def test_view_says_when_a_mail_may_be_resent(workflow, owner, clock):
    slack = factories.make_sent(workflow, owner)[0]

    assert card(workflow, slack).available_at == clock.now + timedelta(minutes=5)


def test_view_asks_as_often_for_twenty_as_for_one(workspace, owner):
    def statements(count):
        workflow = workflows.create(workspace, f"With {count}", by=owner)
        for _ in range(count):
            nodes.add(workflow, app_key="slack", action_key=STEPS[0][1], separate=True, by=owner)
        for number, slot in enumerate(workflow.slots):
            factories.make_request(slot, owner, recipient=f"p{number}@x{count}.example")
        sending.send(workflow, by=owner)
        workflow = workflows.get(workspace, workflow.public_id)
        with counted() as found:
            seen(workflow)
        return len(found)

    assert statements(1) == statements(20)

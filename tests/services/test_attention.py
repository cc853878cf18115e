import pytest

from app import clock as app_clock
from app.database import acting_for, transaction
from app.extensions import db
from app.models import Health, OutboxItem, OutboxState
from app.services import attention, connection_requests, workspaces
from tests import factories
from tests.support.shared_app import *  # noqa: F403

STEPS = (("slack", "send_channel_message"), ("hubspot", "create_contact"))

pytestmark = pytest.mark.both_databases


@pytest.fixture
def workflow(workspace, owner):
    return factories.make_workflow(workspace, owner, *STEPS)


@pytest.fixture
def sent(workflow, owner):
    return factories.make_sent(workflow, owner)


def change(row, **values):
    with transaction():
        for name, value in values.items():
            setattr(row, name, value)


def fail_mail(agency, state=OutboxState.DEAD):
    kept = db.select(OutboxItem).where(OutboxItem.kind == "bundle.sent", OutboxItem.agency_id == agency.id)
    change(db.session.scalars(kept).first(), state=state, error="refused", finished_at=app_clock.now())


def test_what_goes_its_way_needs_no_attention(agency, sent):
    assert attention.count(agency) == attention.view(agency).count == 0


def test_declined_and_expired_are_stuck_since_then(agency, sent, clock):
    slack, hubspot = sent
    clock.forward(hours=1)
    connection_requests.decline(slack, reason="")
    declined = clock.now
    clock.forward(days=7)

    found = attention.view(agency)

    assert found.count == attention.count(agency) == 2
    assert {each.asked.id: (each.badge.text, each.since) for each in found.stuck} == {
        slack.id: ("Declined", declined),
        hubspot.id: ("Link expired", hubspot.bundle.expires_at),
    }


def test_a_request_is_stuck_whose_app_has_no_client(agency, sent):
    change(sent[0], notice="unconfigured")

    [found] = attention.view(agency).stuck
    assert (found.asked.id, found.badge.kind) == (sent[0].id, "error")


@pytest.mark.parametrize("notice", ["denied", "provider", "timeout", "partial"])
def test_what_the_client_can_try_again_is_not_stuck(agency, sent, notice):
    change(sent[0], notice=notice)

    assert attention.count(agency) == 0


@pytest.mark.parametrize("state", [OutboxState.DEAD, OutboxState.HELD])
def test_mail_that_needs_somebody_counts_once_and_not_as_expired_too(agency, sent, clock, state):
    fail_mail(agency, state)
    clock.forward(days=8)

    found = attention.view(agency)

    assert (found.count, found.undelivered_count, found.stuck_count) == (1, 1, 0)
    assert [each.id for each in found.undelivered[0].requests] == [each.id for each in sent]


def test_mail_that_is_tried_again_by_itself_needs_nobody(agency, sent):
    fail_mail(agency, OutboxState.RETRY)

    assert attention.count(agency) == 0


def test_mail_for_nothing_any_more_needs_nobody(agency, sent, owner):
    fail_mail(agency)
    for asked in sent:
        connection_requests.cancel(agency, asked.public_id, by=owner)

    assert attention.count(agency) == attention.view(agency).count == 0


def test_a_broken_connection_names_the_workflows_that_pause(agency, workspace, workflow):
    held = factories.make_connection(workspace, health=Health.ERROR, health_reason="invalid_grant")
    change(workflow.slots[0], connection_id=held.id)
    assert attention.view(agency).broken[0].paused == ""

    change(workflow, version=1)

    [found] = attention.view(agency).broken
    assert (found.workspace.id, found.reason) == (workspace.id, "Access was removed or ran out in Slack.")
    assert found.paused == "New patient intake is paused."
    assert attention.count(agency) == 1


def test_several_paused_workflows_are_listed(agency, workspace, owner):
    held = factories.make_connection(workspace, health=Health.ERROR)
    for name in ("Quote follow-up", "Fleet invoicing"):
        workflow = factories.make_workflow(workspace, owner, STEPS[0], name=name)
        change(workflow.slots[0], connection_id=held.id)
        change(workflow, version=1)

    [found] = attention.view(agency).broken
    assert found.paused == "Fleet invoicing and Quote follow-up are paused."
    assert found.reason == "Slack no longer accepts the access that was given."


def test_an_account_connection_is_at_no_workspace(agency, workspace):
    factories.make_connection(workspace, workspace_id=None, health=Health.ERROR)

    assert attention.view(agency).broken[0].workspace is None


def test_clients_that_are_put_away_need_no_attention(agency, workspace, sent, owner):
    connection_requests.decline(sent[0], reason="")
    workspaces.archive(agency, workspace.public_id, by=owner)

    assert attention.count(agency) == 0


def test_others_are_not_counted(agency, stranger, sent):
    connection_requests.decline(sent[0], reason="")

    assert attention.count(agency) == 1
    with acting_for(stranger.agency_id):
        assert attention.count(stranger.agency) == 0

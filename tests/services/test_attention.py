import pytest
from sqlalchemy import update

from app import clock as app_clock
from app.database import transaction
from app.extensions import db
from app.models import Health, OutboxItem, OutboxState
from app.oauth.faults import Fault
from app.services import (
    attention,
    broken_connections,
    connection_requests,
    nodes,
    sending,
    stuck_requests,
    undelivered_mail,
    workflows,
    workspaces,
)
from app.services.attention import Counts
from app.tenancy import acting_for
from tests import factories
from tests.support.shared_app import *  # noqa: F403
from tests.support.statements import counted

STEPS = (("slack", "send_channel_message"), ("hubspot", "create_contact"))

pytestmark = pytest.mark.both_databases


@pytest.fixture
def workflow(workspace, owner):
    return factories.make_workflow(workspace, owner, *STEPS)


@pytest.fixture
def sent(workflow, owner):
    return factories.make_sent(workflow, owner)


def few(agency):
    return attention.first_few(agency, attention.counts(agency))


def change(row, **values):
    with transaction():
        for name, value in values.items():
            setattr(row, name, value)


def fail_mail(agency, state=OutboxState.DEAD):
    kept = db.select(OutboxItem).where(OutboxItem.kind == "bundle.sent", OutboxItem.agency_id == agency.id)
    change(db.session.scalars(kept).first(), state=state, error="refused", finished_at=app_clock.now())


def test_what_goes_its_way_needs_no_attention(agency, sent):
    assert attention.counts(agency) == Counts(broken=0, stuck=0, undelivered=0)


def test_declined_and_expired_are_stuck_since_then(agency, sent, clock):
    slack, hubspot = sent
    clock.forward(hours=1)
    connection_requests.decline(slack, reason="")
    declined = clock.now
    clock.forward(days=7)

    found = few(agency)

    assert attention.counts(agency) == Counts(broken=0, stuck=2, undelivered=0)
    assert {each.asked.id: (each.badge.text, each.since) for each in found.stuck} == {
        slack.id: ("Declined", declined),
        hubspot.id: ("Link expired", hubspot.bundle.expires_at),
    }


def test_a_request_is_stuck_whose_app_has_no_client(agency, sent):
    change(sent[0], notice="unconfigured")

    [found] = few(agency).stuck
    assert (found.asked.id, found.badge.kind) == (sent[0].id, "error")


@pytest.mark.parametrize("notice", ["denied", "provider", "timeout", "partial"])
def test_what_the_client_can_try_again_is_not_stuck(agency, sent, notice):
    change(sent[0], notice=notice)

    assert attention.counts(agency).total == 0


@pytest.mark.parametrize("state", [OutboxState.DEAD, OutboxState.HELD])
def test_mail_that_needs_somebody_counts_once_and_not_as_expired_too(agency, sent, clock, state):
    fail_mail(agency, state)
    clock.forward(days=8)

    found = few(agency)

    assert attention.counts(agency) == Counts(broken=0, stuck=0, undelivered=1)
    assert found.stuck == []
    assert [each.id for each in found.undelivered[0].requests] == [each.id for each in sent]


def test_mail_that_is_tried_again_by_itself_needs_nobody(agency, sent):
    fail_mail(agency, OutboxState.RETRY)

    assert attention.counts(agency).total == 0


def test_mail_for_nothing_any_more_needs_nobody(agency, sent, owner):
    fail_mail(agency)
    for asked in sent:
        connection_requests.cancel(agency, asked.public_id, by=owner)

    assert attention.counts(agency) == Counts(broken=0, stuck=0, undelivered=0)


def test_a_broken_connection_names_the_workflows_that_pause(agency, workspace, workflow):
    held = factories.make_connection(workspace, health=Health.ERROR, health_reason=Fault.GRANT_ENDED)
    change(workflow.slots[0], connection_id=held.id)
    assert few(agency).broken[0].paused == ""

    change(workflow, version=1)

    [found] = few(agency).broken
    assert (found.workspace.id, found.reason) == (workspace.id, "Access was removed or ran out in Slack.")
    assert found.paused == "New patient intake is paused."
    assert attention.counts(agency).total == 1


def test_several_paused_workflows_are_listed(agency, workspace, owner):
    held = factories.make_connection(workspace, health=Health.ERROR, health_reason=Fault.CREDENTIAL)
    for name in ("Quote follow-up", "Fleet invoicing"):
        workflow = factories.make_workflow(workspace, owner, STEPS[0], name=name)
        change(workflow.slots[0], connection_id=held.id)
        change(workflow, version=1)

    [found] = few(agency).broken
    assert found.paused == "Fleet invoicing and Quote follow-up are paused."
    assert found.reason == "Slack no longer accepts the access that was given."


def test_an_account_connection_is_at_no_workspace(agency, workspace):
    factories.make_connection(workspace, workspace_id=None, health=Health.ERROR)

    assert few(agency).broken[0].workspace is None


@pytest.mark.parametrize("mail_failed", [False, True])
def test_clients_that_are_put_away_need_no_attention(agency, workspace, sent, owner, mail_failed):
    connection_requests.decline(sent[0], reason="")
    if mail_failed:
        fail_mail(agency)
    assert attention.counts(agency).total == (2 if mail_failed else 1)
    workspaces.archive(agency, workspace.public_id, by=owner)

    assert attention.counts(agency).total == 0
    assert undelivered_mail.page(agency).items == []


def test_others_are_not_counted(agency, stranger, sent):
    connection_requests.decline(sent[0], reason="")

    assert attention.counts(agency).total == 1
    with acting_for(stranger.agency_id):
        assert attention.counts(stranger.agency).total == 0


def ask_many(workspace, owner, count, company="x"):
    """A request to each of so many people, sent."""
    workflow = workflows.create(workspace, f"For {count}", by=owner)
    for _ in range(count):
        nodes.add(workflow, app_key="slack", action_key=STEPS[0][1], separate=True, by=owner)
    asked = [
        factories.make_request(slot, owner, recipient=f"p{number}@{company}.example")
        for number, slot in enumerate(workflow.slots)
    ]
    sending.send(workflow, by=owner)
    return asked


def fail_every_mail(agency):
    with transaction() as session:
        session.execute(
            update(OutboxItem)
            .where(OutboxItem.agency_id == agency.id, OutboxItem.kind == "bundle.sent")
            .values(state=OutboxState.DEAD, error="refused", finished_at=app_clock.now())
        )


def test_every_mail_that_failed_is_counted_and_on_some_page_and_nowhere_else(agency, workspace, owner, clock):
    asked = ask_many(workspace, owner, 51)
    fail_every_mail(agency)
    clock.forward(days=8)

    first = undelivered_mail.page(agency)
    second = undelivered_mail.page(agency, after=first.older)

    assert attention.counts(agency) == Counts(broken=0, stuck=0, undelivered=51)
    assert stuck_requests.page(agency).items == []
    assert (len(first.items), len(second.items), second.older) == (50, 1, None)
    assert {each.bundle.recipient for page in (first, second) for each in page.items} == {
        each.recipient for each in asked
    }
    assert undelivered_mail.page(agency, before=second.newer) == first


def trouble(agency, workspace, owner, count):
    """So many of each kind."""
    ask_many(workspace, owner, count)
    fail_every_mail(agency)
    for asked in ask_many(workspace, owner, count, "y"):
        connection_requests.decline(asked, reason="")
    for number in range(count):
        factories.make_connection(workspace, name=f"{count}, {number}", health=Health.ERROR)


def test_it_is_asked_for_as_often_for_twenty_as_for_one(agency, owner):
    def statements(count):
        workspace = factories.make_workspace(agency, f"With {count}")
        trouble(agency, workspace, owner, count)
        known = attention.counts(agency)
        asks = {
            "counts": lambda: attention.counts(agency),
            "few": lambda: attention.first_few(agency, known),
            "broken": lambda: broken_connections.page(agency),
            "stuck": lambda: stuck_requests.page(agency),
            "undelivered": lambda: undelivered_mail.page(agency),
        }
        return {name: cost(ask) for name, ask in asks.items()}

    def cost(ask):
        db.session.expire_all()
        assert agency.id
        with counted() as found:
            ask()
        return len(found)

    once = statements(1)
    assert once["counts"] == 1
    assert statements(20) == once


def test_nothing_is_asked_for_where_there_is_nothing(agency):
    known = attention.counts(agency)
    with counted() as found:
        attention.first_few(agency, known)

    assert found == []

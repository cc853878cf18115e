from itertools import combinations_with_replacement

import pytest

from app.database import transaction
from app.models import Health
from app.services import overview, revocations, workflows, workspaces
from tests import factories
from tests.support.shared_app import *  # noqa: F403
from tests.support.statements import counted

STEPS = (("slack", "send_channel_message"), ("hubspot", "create_contact"))

pytestmark = pytest.mark.both_databases


@pytest.fixture
def workflow(workspace, owner):
    return factories.make_workflow(workspace, owner, *STEPS)


def change(row, **values):
    with transaction():
        for name, value in values.items():
            setattr(row, name, value)


def test_overview_takes_the_worst_state_and_counts_all_slots(workspace, workflow, owner):
    ready = factories.make_workflow(workspace, owner, STEPS[0], name="Ready")
    held = factories.make_connection(workspace, scopes=["chat:write", "channels:read"])
    change(ready.slots[0], connection_id=held.id)
    change(ready, version=1)
    factories.make_sent(workflow, owner)

    [found] = overview.of([workspace])
    assert (found.state, found.connected, found.total) == (workflows.State.READY, 1, 3)
    assert (found.workflows, found.waiting_on) == (2, 1)
    change(workflow, version=1)
    assert overview.of([workspace])[0].state is workflows.State.WAITING
    change(held, health=Health.ERROR)
    assert overview.of([workspace])[0].state is workflows.State.PAUSED


def test_overview_of_nothing(workspace):
    [found] = overview.of([workspace])

    assert (found.state, found.total, found.workflows, found.waiting_on) == (workflows.State.DRAFT, 0, 0, 0)


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("healths", list(combinations_with_replacement([None, *Health, "deleted"], 2)))
def test_overview_says_of_one_workflow_what_its_progress_says(agency, owner, workspace, workflow, healths, version):
    change(workflow, version=version)
    for number, (slot, health) in enumerate(zip(workflow.slots, healths, strict=True)):
        if health:
            known = health if health in list(Health) else Health.ACTIVE
            held = factories.make_connection(workspace, name=f"{number}", health=known)
            change(slot, connection_id=held.id)
            if health == "deleted":
                revocations.delete(agency, held.public_id, confirmed=True, by=owner)
    [found] = overview.of([workspace])

    progress = workflows.progress_of([workflow])[workflow.id]
    assert (found.state, found.connected, found.total) == (progress.state, progress.connected, progress.total)


def test_overview_asks_as_often_for_twenty_as_for_one_and_for_sums_alone(agency, owner):
    def statements(clients):
        for number in range(clients):
            workspace = factories.make_workspace(agency, f"{clients}, {number}")
            factories.make_sent(factories.make_workflow(workspace, owner, *STEPS), owner)
        of_all = workspaces.page(agency, search=f"{clients}, ").items
        with counted() as found:
            assert [each.workflows for each in overview.of(of_all)] == [1] * clients
        assert all("GROUP BY" in each for each in found)
        return len(found)

    assert statements(1) == statements(20)


def test_workflows_of_are_the_newest_first_a_page_at_a_time(workspace, owner, clock, monkeypatch):
    monkeypatch.setattr("app.services.paging.PAGE", 2)
    for name in ("First", "Second", "Third"):
        factories.make_workflow(workspace, owner, *STEPS, name=name)
        clock.forward(seconds=1)

    def names(page):
        return [each.workflow.name for each in page.items]

    first = overview.workflows_of(workspace)
    second = overview.workflows_of(workspace, after=first.older)

    assert (names(first), names(second)) == (["Third", "Second"], ["First"])
    assert names(overview.workflows_of(workspace, before=second.newer)) == names(first)
    assert (first.items[0].badge.text, first.items[0].progress.total) == ("Draft", 2)


def test_workflows_of_cost_the_same_however_many(agency, owner):
    def statements(count):
        workspace = factories.make_workspace(agency, f"With {count}")
        for number in range(count):
            factories.make_workflow(workspace, owner, STEPS[0], name=f"Workflow {number}")
        with counted() as found:
            assert len(overview.workflows_of(workspace).items) == count
        return len(found)

    assert statements(1) == statements(20)

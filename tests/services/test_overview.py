import pytest

from app.database import transaction
from app.models import Health
from app.services import overview, workflows
from tests import factories
from tests.support.shared_app import *  # noqa: F403

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

import pytest

from app import clock as app_clock
from app.models import Health, Source
from app.services import connection_requests, node_views, nodes, sending, slots, workflows
from app.services.node_views import Stage, Unfit
from tests import factories
from tests.services.settling import change, settle
from tests.support.shared_app import *  # noqa: F403
from tests.support.statements import counted

STEPS = (("slack", "send_channel_message"), ("hubspot", "create_contact"))
SLACK_SCOPES = ["chat:write", "channels:read"]

pytestmark = pytest.mark.both_databases


def seen(workflow, agency):
    return node_views.view(workflow, agency, at=app_clock.now())


def stage(workflow, agency, number=1):
    return seen(workflow, agency)[number - 1].slot.stage


def test_stages_of_a_slot(workspace, agency, owner):
    workflow = workflows.create(workspace, "Bare", by=owner)
    slot = nodes.add(workflow, app_key="slack", action_key=STEPS[0][1], by=owner).slot
    assert stage(workflow, agency) is Stage.UNDECIDED
    slots.set_source(slot, Source.AGENCY, by=owner)
    assert stage(workflow, agency) is Stage.UNCHOSEN
    slots.set_source(slot, Source.CLIENT, by=owner)
    assert stage(workflow, agency) is Stage.UNASKED
    asked = factories.make_request(slot, owner)
    assert stage(workflow, agency) is Stage.ASKED
    sending.send(workflow, by=owner)
    connection_requests.decline(asked, reason="")
    assert stage(workflow, agency) is Stage.ASKED
    held = factories.make_connection(workspace, scopes=SLACK_SCOPES)
    settle(asked, held)
    assert stage(workflow, agency) is Stage.CONNECTED
    change(held, scopes=["chat:write"])
    assert stage(workflow, agency) is Stage.NARROW
    change(held, health=Health.ERROR)
    assert stage(workflow, agency) is Stage.BROKEN


def test_a_live_request_says_more_than_what_it_mends(workspace, agency, workflow, owner):
    held = factories.make_connection(workspace, scopes=["chat:write"])
    change(workflow.slots[0], connection_id=held.id)
    factories.make_request(workflow.slots[0], owner)

    found = seen(workflow, agency)[0].slot

    assert (found.stage, found.badge.text, found.is_live) == (Stage.ASKED, "Queued (not yet sent)", True)


def test_nodes_of_one_app_point_to_the_first(workflow, agency, owner):
    nodes.add(workflow, app_key="slack", action_key=STEPS[0][1], by=owner)
    nodes.add(workflow, app_key="slack", action_key=STEPS[0][1], separate=True, by=owner)

    found = seen(workflow, agency)

    assert [(each.number, each.shared_with, each.could_share_with) for each in found] == [
        (1, None, None),
        (2, None, None),
        (3, 1, None),
        (4, None, 1),
    ]


@pytest.mark.parametrize(
    ("app_key", "unfit"), [("slack", None), ("activecampaign", Unfit.API_KEY), ("calendly", Unfit.NO_CLIENT)]
)
def test_why_a_client_cant_be_asked(workspace, agency, owner, catalog, app_key, unfit):
    workflow = workflows.create(workspace, "Bare", by=owner)
    nodes.add(workflow, app_key=app_key, action_key=catalog.get(app_key).actions[0].key, by=owner)

    assert seen(workflow, agency)[0].slot.unfit is unfit


def test_wanted_is_what_is_held_and_what_is_missing(workspace, workflow, owner):
    slot = workflow.slots[1]
    change(slot, connection_id=factories.make_connection(workspace, "hubspot", scopes=["crm.objects.deals.read"]).id)

    found = {each.scope: each.is_new for each in node_views.wanted(slot)}

    assert found == {"crm.objects.deals.read": False, "crm.objects.contacts.write": True}


def test_view_asks_as_often_for_twenty_as_for_one(workspace, agency, owner):
    def statements(count):
        workflow = workflows.create(workspace, f"With {count}", by=owner)
        for _ in range(count):
            nodes.add(workflow, app_key="slack", action_key=STEPS[0][1], separate=True, by=owner)
        for number, slot in enumerate(workflow.slots):
            factories.make_request(slot, owner, recipient=f"p{number}@x{count}.example")
        sending.send(workflow, by=owner)
        workflow = workflows.get(workspace, workflow.public_id)
        with counted() as found:
            assert len(seen(workflow, agency)) == count
        return len(found)

    assert statements(1) == statements(20)


def test_an_app_that_left_the_catalog_is_still_shown_but_not_asked_for(workflow, agency):
    slack = workflow.slots[0]
    change(slack, app_key="gone-app")
    change(workflow.nodes[0], app_key="gone-app")

    found = seen(workflow, agency)[0]

    assert (found.app.name, found.slot.unfit) == ("Gone App", Unfit.API_KEY)

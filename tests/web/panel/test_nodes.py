import pytest

from app.extensions import db
from app.models import AuditEvent, Source, Status
from app.services import nodes, sending
from tests import factories
from tests.support.rows import rows_of
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import errors, one, page, toasts

PRIYA = "priya.nair@harbordental.example"
STEPS = (("slack", "send_channel_message"), ("hubspot", "create_contact"), ("hubspot", "create_deal"))


@pytest.fixture
def workflow(workspace, owner):
    return factories.make_workflow(workspace, owner, *STEPS)


def titles(answer):
    return [each.get_text(" ", strip=True) for each in page(answer).select(".gh-node h3")]


def node(answer, number):
    return one(page(answer), f"#node-{number}")


def words(tag):
    return " ".join(tag.get_text(" ").split())


def test_nodes_are_listed_in_order_with_app_action_and_permissions(maya, url):
    answer = maya.get(url)

    assert titles(answer) == ["Slack Send channel message", "HubSpot Create contact", "HubSpot Create deal"]
    assert [words(each) for each in node(answer, 1).select(".gh-scope")] == [
        "Send messages as the app chat:write",
        "See public channels channels:read",
    ]
    assert [each.get_text() for each in node(answer, 2).select(".gh-scope code")] == ["crm.objects.contacts.write"]


def test_the_apps_to_choose_from_are_found_by_name(maya, url):
    every = page(maya.get(f"{url}/nodes/new", htmx=True))
    assert one(every, "#dialog-title").get_text() == "Add node"
    assert len(every.select("#apps li")) >= 15
    assert one(every, "#app-search")["hx-get"] == f"{url}/nodes/new/apps"

    found = page(maya.get(f"{url}/nodes/new/apps?q=%20SHEET", htmx=True))
    assert [words(each) for each in found.select("#apps li")] == ["GS Google Sheets Files and documents"]
    assert "No app has “<b>” in its name." in page(maya.get(f"{url}/nodes/new/apps?q=<b>", htmx=True)).get_text()


def test_add_node(maya, url, here):
    form = page(maya.get(f"{url}/nodes/new/typeform", htmx=True))
    assert one(form, "#dialog-title").get_text() == "Add Typeform node"
    assert not form.select("#separate")

    answer = maya.post(f"{url}/nodes/new/typeform", {"action": "new_response", "label": "The form"}, htmx=True, **here)

    assert titles(answer)[-1] == "Typeform New response · The form"
    assert "close-dialog" in answer.headers["HX-Trigger"]
    assert "Added Typeform" in toasts(answer)
    assert "No connection source" in words(node(answer, 4))


def test_a_node_of_the_same_app_shares_its_account_unless_told_otherwise(maya, url, here):
    form = page(maya.get(f"{url}/nodes/new/slack", htmx=True))
    assert words(one(form, "label[for=separate]")) == "Use a separate account"

    shared = maya.post(f"{url}/nodes/new/slack", {"action": "send_channel_message"}, htmx=True, **here)
    assert "Same account as node 1." in words(node(shared, 4))
    own = maya.post(f"{url}/nodes/new/slack", {"action": "send_channel_message", "separate": "y"}, htmx=True, **here)
    assert "Same account" not in words(node(own, 5))
    assert "No connection source" in words(node(own, 5))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("action", "no_such_thing", "Not a valid choice."),
        ("action", "", "Not a valid choice."),
        ("label", "x" * 81, "At most 80 characters; this has 81."),
        ("label", "a\u202eb", "This holds a character that can't be shown"),
    ],
)
def test_add_node_keeps_what_was_typed_beside_its_error(maya, url, here, workflow, field, value, said):
    given = {"action": "send_channel_message", "label": "To the front desk", "separate": "y"} | {field: value}
    answer = maya.post(f"{url}/nodes/new/slack", given, htmx=True, **here)

    found = errors(answer)
    assert set(found) == {field}
    assert found[field].startswith(said)
    form = page(answer, 422)
    assert one(form, "#label")["value"] == given["label"]
    assert one(form, "#separate").has_attr("checked")
    if field != "action":
        assert one(form, "#action option[selected]")["value"] == "send_channel_message"
    db.session.expire_all()
    assert len(workflow.nodes) == 3


def test_an_app_that_the_catalog_does_not_have_is_unknown(maya, url):
    assert maya.get(f"{url}/nodes/new/nonesuch").status_code == 404
    assert maya.post(f"{url}/nodes/new/nonesuch", {"action": "x"}).status_code == 404


def test_a_workflow_is_not_longer_than_it_may_be(maya, url, here, monkeypatch):
    monkeypatch.setattr(nodes, "MOST_NODES", 3)

    answer = maya.post(f"{url}/nodes/new/slack", {"action": "send_channel_message"}, htmx=True, **here)

    assert errors(answer) == {"": "A workflow has at most 3 nodes."}


def test_move_up_and_down(maya, url, here, workflow):
    first, _second, third = workflow.nodes
    moved = maya.post(f"{url}/nodes/{third.public_id}/up", htmx=True, **here)
    assert titles(moved) == ["Slack Send channel message", "HubSpot Create deal", "HubSpot Create contact"]
    moved = maya.post(f"{url}/nodes/{first.public_id}/down", htmx=True, **here)
    assert titles(moved) == ["HubSpot Create deal", "Slack Send channel message", "HubSpot Create contact"]
    assert "Same account as node 1." in words(node(moved, 3))


def test_the_first_has_no_up_and_the_last_no_down(maya, url, workflow):
    answer = maya.get(url)

    menus = [[words(item) for item in node(answer, number).select(".dropdown-item")] for number in (1, 2, 3)]
    assert [("Move up" in menu, "Move down" in menu) for menu in menus] == [(False, True), (True, True), (True, False)]


def test_moving_beyond_the_end_changes_nothing(maya, url, here, workflow):
    answer = maya.post(f"{url}/nodes/{workflow.nodes[0].public_id}/up", htmx=True, **here)

    assert titles(answer)[0] == "Slack Send channel message"


def test_remove_asks_once_and_takes_it_out(maya, url, here, workflow):
    slack = workflow.nodes[0]
    asks = page(maya.get(f"{url}/nodes/{slack.public_id}/remove", htmx=True))
    assert "Remove node 1, Slack?" in asks.get_text()
    assert not asks.select("[name=confirmed]")

    answer = maya.post(f"{url}/nodes/{slack.public_id}/remove", htmx=True, **here)

    assert titles(answer) == ["HubSpot Create contact", "HubSpot Create deal"]
    assert "Removed the node" in toasts(answer)


def test_remove_says_what_it_cancels(maya, url, here, workflow, owner, agency):
    asked = factories.make_request(workflow.slots[0], owner)
    sending.send(workflow, by=owner)
    slack = workflow.nodes[0]
    warning = f"This cancels the Slack request to {PRIYA}."

    asks = page(maya.get(f"{url}/nodes/{slack.public_id}/remove", htmx=True))
    assert warning in asks.get_text()
    assert one(asks, "[name=confirmed]")["value"] == "1"

    unaware = maya.post(f"{url}/nodes/{slack.public_id}/remove", htmx=True, **here)
    assert warning in page(unaware).get_text()
    assert one(page(unaware), "[name=confirmed]")
    db.session.expire_all()
    assert asked.status is Status.PENDING

    answer = maya.post(f"{url}/nodes/{slack.public_id}/remove", {"confirmed": "1"}, htmx=True, **here)
    assert titles(answer) == ["HubSpot Create contact", "HubSpot Create deal"]
    db.session.expire_all()
    assert asked.status is Status.CANCELLED
    acts = db.select(AuditEvent.type).where(AuditEvent.agency_id == agency.id, AuditEvent.actor == owner.email)
    assert {"request.cancelled", "workflow.node_removed"} <= set(db.session.scalars(acts))


def test_removing_one_of_two_that_share_cancels_nothing(maya, url, here, workflow, owner):
    asked = factories.make_request(workflow.slots[1], owner)

    maya.post(f"{url}/nodes/{workflow.nodes[2].public_id}/remove", htmx=True, **here)

    db.session.expire_all()
    assert asked.status is Status.QUEUED


def test_use_a_separate_account_and_share_again(maya, url, here, workflow, owner):
    third = workflow.nodes[2]
    answer = maya.get(url)
    assert words(one(node(answer, 3), f"#separate-{third.public_id}")).startswith("Use a separate account")

    own = maya.post(f"{url}/nodes/{third.public_id}/separate-account", htmx=True, **here)
    assert "Same account" not in words(node(own, 3))
    assert "Share the account of node 2" in words(node(own, 3))

    asks = page(maya.get(f"{url}/nodes/{third.public_id}/shared-account", htmx=True))
    assert "Share the HubSpot account?" in asks.get_text()
    shared = maya.post(f"{url}/nodes/{third.public_id}/shared-account", htmx=True, **here)
    assert "Same account as node 2." in words(node(shared, 3))


def test_sharing_again_cancels_what_was_asked_apart_only_when_confirmed(maya, url, here, workflow, owner):
    third = workflow.nodes[2]
    nodes.use_separate_account(workflow, third.public_id, by=owner)
    apart = next(slot for slot in workflow.slots if slot.number == 1)
    asked = factories.make_request(apart, owner)

    unaware = maya.post(f"{url}/nodes/{third.public_id}/shared-account", htmx=True, **here)
    assert f"This cancels the HubSpot request to {PRIYA}." in page(unaware).get_text()
    db.session.expire_all()
    assert asked.status is Status.QUEUED

    maya.post(f"{url}/nodes/{third.public_id}/shared-account", {"confirmed": "1"}, htmx=True, **here)
    db.session.expire_all()
    assert asked.status is Status.CANCELLED


def test_what_is_separate_already_stays_so(maya, url, here, workflow):
    slack = workflow.nodes[0]

    separate = maya.post(f"{url}/nodes/{slack.public_id}/separate-account", htmx=True, **here)
    assert "This node has an account of its own already." in toasts(separate)
    shared = maya.post(f"{url}/nodes/{slack.public_id}/shared-account", htmx=True, **here)
    assert "This node shares its account already." in toasts(shared)


def test_two_accounts_of_an_app_are_told_apart(maya, url, workflow, owner):
    nodes.use_separate_account(workflow, workflow.nodes[2].public_id, by=owner)

    assert "HubSpot (account 1) and HubSpot (account 2)" in " ".join(
        words(one(page(maya.get(url)), "#workflow-state")).replace(" ,", ",").split()
    )


@pytest.mark.parametrize("who", ["sam", "anybody"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "nodes/new"),
        ("get", "nodes/new/apps"),
        ("get", "nodes/new/slack"),
        ("post", "nodes/new/slack"),
        ("post", "nodes/{node}/up"),
        ("post", "nodes/{node}/down"),
        ("get", "nodes/{node}/remove"),
        ("post", "nodes/{node}/remove"),
        ("post", "nodes/{node}/separate-account"),
        ("get", "nodes/{node}/shared-account"),
        ("post", "nodes/{node}/shared-account"),
    ],
)
def test_others_reach_nothing(request, who, method, path, url, workflow, agency):
    visitor, address = request.getfixturevalue(who), f"{url}/{path.format(node=workflow.nodes[0].public_id)}"
    data = [{"action": "send_channel_message", "confirmed": "1"}] if method == "post" else []
    before = rows_of(agency)

    answer = getattr(visitor, method)(address, *data)

    assert answer.status_code == (404 if who == "sam" else 303)
    assert rows_of(agency) == before


def test_a_teammate_without_a_role_does_it_all(tom, url, here, workflow):
    assert titles(tom.post(f"{url}/nodes/new/slack", {"action": "send_channel_message"}, htmx=True, **here))
    for act in ("up", "down", "remove"):
        answer = tom.post(f"{url}/nodes/{workflow.nodes[1].public_id}/{act}", htmx=True, **here)
        assert answer.status_code == 200, act


def test_a_node_of_another_workflow_is_unknown(maya, url, workspace, owner):
    other = factories.make_workflow(workspace, owner, STEPS[0], name="Another")
    for act in ("up", "down", "remove", "separate-account", "shared-account"):
        assert maya.post(f"{url}/nodes/{other.nodes[0].public_id}/{act}").status_code == 404


def test_without_htmx_every_act_leads_back(maya, url, workflow):
    for act in ("up", "down", "remove"):
        answer = maya.post(f"{url}/nodes/{workflow.nodes[1].public_id}/{act}")
        assert (answer.status_code, answer.headers["Location"]) == (303, url)


def test_source_of_new_nodes_is_open(workflow, workspace, owner):
    added = nodes.add(workflow, app_key="typeform", action_key="new_response", by=owner)

    assert added.slot.source is None
    assert Source.CLIENT in {slot.source for slot in workflow.slots}

import re

import pytest

from app import runtime
from app.extensions import db
from app.models import AuditEvent, ConnectionRequest, OutboxItem, Source, Status, Workflow, WorkflowVersion
from app.services import connection_requests, nodes, oauth_clients, scopes, sending, slots, workflows, workspaces
from tests import factories
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import errors, one, page, toasts
from tests.support.statements import counted

STEPS = (("slack", "send_channel_message"), ("hubspot", "create_contact"))
PRIYA = "priya.nair@harbordental.example"


@pytest.fixture
def workflow(workspace, owner):
    return factories.make_workflow(workspace, owner, *STEPS)


@pytest.fixture
def url(workspace, workflow):
    return url_of(workflow)


def url_of(workflow):
    return f"/panel/workspaces/{workflow.workspace.public_id}/workflows/{workflow.public_id}"


def here(url):
    """What htmx says of the page that it is on."""
    return {"HX-Current-URL": f"http://localhost{url}"}


def state(answer):
    return " ".join(one(page(answer), "#workflow-state").get_text(" ").split())


def test_the_page_names_the_workflow_and_its_client(maya, url):
    soup = page(maya.get(url))

    assert soup.title.get_text() == "New patient intake · Harbor Dental · Gatehouse"
    assert one(soup, "h1").get_text() == "New patient intake"
    assert [each.get_text() for each in soup.select(".gh-crumbs a")] == ["Workspaces", "Harbor Dental"]


@pytest.mark.parametrize("who", ["maya", "tom"])
def test_everybody_of_the_agency_sees_it(who, url, request):
    assert request.getfixturevalue(who).get(url).status_code == 200


def test_a_stranger_finds_what_nobody_would(sam, stranger, url, workspace):
    own = factories.make_workspace(stranger.agency, "Elsewhere")
    for address in (url, url.replace(workspace.public_id, own.public_id), f"{url[:-20]}{'x' * 20}"):
        assert sam.get(address).status_code == 404
    assert sam.get(url).data == sam.get(f"{url[:-20]}{'x' * 20}").data


def test_a_teammate_does_not_find_it_in_another_workspace(maya, agency, url, workspace):
    other = factories.make_workspace(agency, "Bluefin Logistics")

    assert maya.get(url.replace(workspace.public_id, other.public_id)).status_code == 404


def test_htmx_gets_the_fragment_alone(maya, url):
    soup = page(maya.get(url, htmx=True))

    assert [each.get("id") for each in soup.find_all(recursive=False)] == ["workflow"]
    assert not soup.select("html")


def test_a_draft_says_what_stands_in_the_way(maya, url):
    answer = maya.get(url)

    assert state(answer) == (
        "Draft · 0 of 2 connected · can't be published yet: Slack and HubSpot have neither a connection nor a live request"
    )
    links = [each["href"] for each in page(answer).select("#workflow-state a")]
    assert links == ["#node-1", "#node-2"]
    assert all(one(page(answer), link) for link in links)
    assert one(page(answer), "#publish")["aria-disabled"] == "true"


def test_one_in_the_way_is_said_in_the_singular(maya, url, workflow, owner):
    factories.make_request(workflow.slots[0], owner)

    assert state(maya.get(url)).endswith("can't be published yet: HubSpot has neither a connection nor a live request")


def test_without_nodes_it_leads_to_the_first(maya, workspace, owner):
    empty = workflows.create(workspace, "Nothing yet", by=owner)
    soup = page(maya.get(url_of(empty)))

    assert "No nodes yet" in soup.get_text()
    assert "No requests yet" in soup.get_text()
    assert one(soup, "#first-node")["hx-get"] == f"{url_of(empty)}/nodes/new"
    assert one(soup, "#publish")["aria-disabled"] == "true"


def test_published_it_says_how_far_the_client_is(maya, url, workflow, owner, workspace):
    factories.make_sent(workflow, owner)
    workflows.publish(workflow, by=owner)
    assert state(maya.get(url)).startswith("Waiting on client (0 of 2 connected) · version 1, published just now")

    for slot in workflow.slots:
        held = factories.make_connection(workspace, slot.app_key, scopes=list(scopes.app_of(slot).scopes))
        slots.use_connection(slot, held.public_id, confirmed=True, by=owner)
    assert state(maya.get(url)).startswith("Ready · version 1")


def test_rename(maya, url, workflow):
    assert one(page(maya.get(f"{url}/rename", htmx=True)), "#name")["value"] == "New patient intake"

    answer = maya.post(f"{url}/rename", {"name": "  Recall reminders "}, htmx=True, **here(url))

    assert one(page(answer), "#workflow h1").get_text() == "Recall reminders"
    assert answer.headers["HX-Retarget"] == "#workflow"
    assert "close-dialog" in answer.headers["HX-Trigger"]
    assert "Renamed to Recall reminders" in toasts(answer)


@pytest.mark.parametrize(
    ("name", "said"),
    [("", "This is required."), ("x" * 81, "At most 80 characters; this has 81."), ("a\nb", "This holds a character")],
)
def test_rename_keeps_what_was_typed_beside_its_error(maya, url, workflow, name, said):
    answer = maya.post(f"{url}/rename", {"name": name}, htmx=True, **here(url))

    assert errors(answer)["name"].startswith(said)
    assert one(page(answer, 422), "#name").get("value", "") == name
    db.session.expire_all()
    assert workflow.name == "New patient intake"


def test_rename_without_htmx_leads_back(maya, url):
    answer = maya.post(f"{url}/rename", {"name": "Recall reminders"})

    assert (answer.status_code, answer.headers["Location"]) == (303, url)


def test_an_act_from_another_page_leads_to_the_workflow(maya, url, workflow, owner):
    asked = factories.make_request(workflow.slots[0], owner)

    answer = maya.post(f"/panel/requests/{asked.public_id}/cancel", htmx=True, **here("/panel/"))

    assert answer.headers["HX-Redirect"] == url


def test_publish_asks_first_when_it_will_send(maya, url, workflow, owner):
    for slot in workflow.slots:
        factories.make_request(slot, owner)
    soup = page(maya.get(url))
    assert one(soup, "#publish")["hx-get"] == f"{url}/publish"

    asks = page(maya.get(f"{url}/publish", htmx=True)).get_text(" ")
    assert "Publish New patient intake?" in asks
    assert "Sends 2 queued requests to 1 recipient." in asks


def test_publish_makes_a_version_and_sends_what_is_queued(maya, url, workflow, owner):
    asked = [factories.make_request(slot, owner) for slot in workflow.slots]

    answer = maya.post(f"{url}/publish", htmx=True, **here(url))

    assert "Published version 1" in toasts(answer)
    assert "1 recipient, 2 requests" in toasts(answer)
    db.session.expire_all()
    assert {each.status for each in asked} == {Status.PENDING}
    assert [row.number for row in workflow_versions(workflow)] == [1]
    assert len(mails(workflow)) == 1


def workflow_versions(workflow):
    return db.session.scalars(db.select(WorkflowVersion).where(WorkflowVersion.workflow_id == workflow.id)).all()


def mails(workflow):
    of_it = db.select(OutboxItem).where(OutboxItem.kind == "bundle.sent", OutboxItem.agency_id == workflow.agency_id)
    return db.session.scalars(of_it).all()


def test_publish_is_refused_whole_while_a_slot_is_empty(maya, url, workflow, owner):
    asked = factories.make_request(workflow.slots[0], owner)

    answer = maya.post(f"{url}/publish", htmx=True, **here(url))

    assert "Can't be published yet: HubSpot has neither a connection nor a live request." in toasts(answer)
    assert state(answer).startswith("Draft")
    db.session.expire_all()
    assert (workflow.version, asked.status, mails(workflow)) == (0, Status.QUEUED, [])


def test_publish_is_refused_whole_when_one_cannot_be_sent(maya, url, workspace, owner, app, monkeypatch):
    workflow = factories.make_workflow(workspace, owner, *STEPS, name="Second")
    asked = [factories.make_request(slot, owner) for slot in workflow.slots]
    states = oauth_clients.states
    monkeypatch.setattr(
        oauth_clients, "states", lambda agency: {key: each for key, each in states(agency).items() if key != "hubspot"}
    )

    answer = maya.post(f"{url_of(workflow)}/publish", htmx=True, **here(url_of(workflow)))

    assert f"Not sent to {PRIYA}: HubSpot has no OAuth client." in toasts(answer)
    db.session.expire_all()
    assert {each.status for each in asked} == {Status.QUEUED}
    assert workflow.version == 0


def test_publish_again_makes_the_next_version(maya, url, workflow, owner):
    factories.make_sent(workflow, owner)
    for number in (1, 2):
        assert f"Published version {number}" in toasts(maya.post(f"{url}/publish", htmx=True, **here(url)))


def test_an_archived_workspace_says_so_and_publishes_nothing(maya, url, workspace, workflow, owner):
    factories.make_sent(workflow, owner)
    workspaces.archive(owner.agency, workspace.public_id, by=owner)

    assert "This workspace is archived." in maya.get(url).text
    assert "This workflow is archived." in toasts(maya.post(f"{url}/publish", htmx=True, **here(url)))


def test_it_polls_only_while_something_is_pending(maya, url, workflow, owner, agency):
    assert "hx-trigger" not in one(page(maya.get(url)), "#workflow").attrs
    asked = factories.make_request(workflow.slots[0], owner)
    assert "hx-trigger" not in one(page(maya.get(url)), "#workflow").attrs

    sending.send(workflow, by=owner)
    root = one(page(maya.get(url)), "#workflow")
    assert (root["hx-get"], root["hx-trigger"]) == (url, "every 3s")

    connection_requests.cancel(agency, asked.public_id, by=owner)
    assert "hx-trigger" not in one(page(maya.get(url)), "#workflow").attrs


def test_a_poll_keeps_no_session_awake(maya, url, clock):
    for _ in range(4):
        clock.forward(minutes=31)
        answer = maya.get(url, htmx=True, **{"X-Poll": "1"})

    assert answer.headers["HX-Redirect"].startswith("/panel/sign-in")


def test_the_page_asks_the_database_as_often_for_twenty_as_for_one(maya, agency, workspace, owner):
    few, many = [url_of(fill(workspace, owner, count)) for count in (1, 20)]
    maya.get(few)

    with counted() as one_node:
        maya.get(few)
    with counted() as twenty_nodes:
        maya.get(many)

    assert len(one_node) == len(twenty_nodes), sorted(set(twenty_nodes) - set(one_node))
    assert one_node.writes == twenty_nodes.writes == []


def fill(workspace, owner, count) -> Workflow:
    """A workflow of as many nodes as recipients, in all the states that take a look elsewhere."""
    workflow = workflows.create(workspace, f"With {count}", by=owner)
    for number in range(count):
        app, action = STEPS[number % 2]
        nodes.add(workflow, app_key=app, action_key=action, separate=True, by=owner)
    for number, slot in enumerate(workflow.slots):
        slots.set_source(slot, Source.CLIENT, by=owner)
        factories.make_request(slot, owner, recipient=f"person{number}@client{count}.example")
    sending.send(workflow, by=owner)
    nodes.add(workflow, app_key="xero", action_key=first_action("xero"), by=owner)
    factories.make_connection(workspace, "xero", name=f"Books {count}", scopes=[])
    return workflow


def first_action(app_key) -> str:
    return runtime.current().catalog.get(app_key).actions[0].key


def test_every_act_is_recorded(maya, url, workflow, agency, owner):
    maya.post(f"{url}/rename", {"name": "Recall"})

    row = db.session.scalars(
        db.select(AuditEvent).where(AuditEvent.agency_id == agency.id, AuditEvent.type == "workflow.renamed")
    ).one()
    assert (row.actor, row.subject) == (owner.email, workflow.public_id)


def test_names_are_shown_as_text(maya, workspace, owner):
    workflow = workflows.create(workspace, "<b>bold</b>", by=owner)

    text = maya.get(url_of(workflow)).text
    assert "<b>bold" not in text
    assert "&lt;b&gt;bold" in text


def test_ids_in_the_page_are_unique(maya, url, workflow, owner):
    factories.make_sent(workflow, owner)
    ids = re.findall(r'\sid="([^"]+)"', maya.get(url).text)

    assert len(ids) == len(set(ids))


def test_an_archived_workspace_offers_nothing_that_would_be_refused(maya, agency, workspace, workflow, owner, url):
    asked = factories.make_sent(workflow, owner)[0]
    workspaces.archive(agency, workspace.public_id, by=owner)
    soup = page(maya.get(url))

    note = one(soup, "#archived")
    assert "Nothing can be changed here" in note.text
    assert note.select_one("a")["href"] == f"/panel/workspaces/{workspace.public_id}"
    assert {each.get_text(strip=True).partition(",")[0] for each in one(soup, "#workflow").select("button")} == {
        "Cancel"
    }
    cancelled = maya.post(f"/panel/requests/{asked.public_id}/cancel", htmx=True)
    assert cancelled.status_code in (200, 303)
    assert db.session.get(ConnectionRequest, asked.id).status == "cancelled"

"""The workflow page in Chromium: it follows what happens without losing focus, an open dialog or what is typed."""

import dataclasses

import pytest
from playwright.sync_api import expect

from app import clock as app_clock
from app import create_app
from app.database import transaction
from app.services import fulfilment, nodes, sending
from app.services.audit import SYSTEM
from app.tenancy import enter_tenant
from tests import factories
from tests.support.browser import visitor
from tests.support.servers import serve_in_thread

PRIYA = "priya.nair@harbordental.example"
STEPS = (("slack", "send_channel_message"), ("hubspot", "create_contact"))


@pytest.fixture
def served(config, catalog):
    """The installation, served; the test acts in its agency."""
    with serve_in_thread() as server:
        app = create_app(dataclasses.replace(config, base_url=server.url), catalog=catalog)
        with app.app_context():
            server.app = app
            agency = factories.make_agency()
            enter_tenant(agency.id)
            owner = factories.make_staff(agency)
            yield server, app, owner, factories.make_workspace(agency)


@pytest.fixture
def workflow(served):
    _server, _app, owner, workspace = served
    return factories.make_workflow(workspace, owner, *STEPS)


@pytest.fixture
def screen(served, workflow, browser):
    server, app, owner, workspace = served
    cookie = factories.signed_in(app, owner).get_cookie("gh_staff")
    with visitor(browser) as context:
        context.add_cookies([{"name": "gh_staff", "value": cookie.value, "url": server.url}])
        shown = context.new_page()
        faults = []
        shown.on("pageerror", lambda error: faults.append(str(error)))
        shown.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        shown.goto(f"{server.url}/panel/workspaces/{workspace.public_id}/workflows/{workflow.public_id}")
        yield shown
        assert faults == []


def test_picking_a_source_by_keyboard_leads_on_to_its_button(served, screen, workflow):
    _server, _app, owner, _workspace = served
    nodes.add(workflow, app_key="typeform", action_key="new_response", by=owner)
    screen.reload()

    screen.locator("#node-3").get_by_label("Client provides the connection").focus()
    screen.keyboard.press("Space")

    ask = screen.locator("#node-3").get_by_role("button", name="Add to client request queue")
    expect(ask).to_be_focused()
    screen.keyboard.press("Enter")
    expect(screen.get_by_role("dialog", name="Add Typeform request to queue")).to_be_visible()
    expect(screen.get_by_label("Recipient email")).to_be_focused()


def test_moving_a_node_by_keyboard_keeps_the_focus_on_its_menu(screen, workflow):
    second = f"#menu-{workflow.nodes[1].public_id}"
    screen.locator(second).focus()
    for key in ("Enter", "ArrowDown", "Enter"):
        screen.keyboard.press(key)

    expect(screen.locator("#node-1 h3")).to_contain_text("HubSpot")
    expect(screen.locator(second)).to_be_focused()


def test_a_dialog_opened_from_a_menu_gives_the_focus_back_to_it(screen, workflow):
    first = screen.locator(f"#menu-{workflow.nodes[0].public_id}")
    first.click()
    screen.locator(".dropdown-menu.show").get_by_role("button", name="Remove").click()
    expect(screen.get_by_role("dialog", name="Remove node 1, Slack?")).to_be_visible()
    expect(screen.get_by_role("button", name="Keep it")).to_be_focused()

    screen.keyboard.press("Escape")

    expect(first).to_be_focused()


def test_a_row_keeps_to_one_line_while_its_wait_runs_and_holds_the_rest_in_a_menu(served, screen, workflow):
    _server, _app, owner, _workspace = served
    slack, _hubspot = factories.make_sent(workflow, owner)
    screen.reload()
    more = screen.get_by_role("button", name="More for the Slack request")
    expect(screen.locator(f"#resend-{slack.public_id}")).to_contain_text("available in")
    tops = {screen.locator(f"#{key}-{slack.public_id}").bounding_box()["y"] for key in ("resend", "cancel", "more")}
    assert len(tops) == 1

    more.focus()
    for key in ("Enter", "ArrowDown", "Enter"):
        screen.keyboard.press(key)
    expect(screen.get_by_role("dialog", name="Change recipient of Slack")).to_be_visible()
    expect(screen.get_by_label("Recipient email")).to_be_focused()
    screen.keyboard.press("Escape")  # the list of the field
    screen.keyboard.press("Escape")

    expect(more).to_be_focused()


def test_on_a_phone_the_acts_of_the_home_page_stand_under_what_they_are_for(served, screen, workflow):
    server, _app, owner, _workspace = served
    asked = factories.make_sent(workflow, owner)[0]
    with transaction():
        asked.bundle.expires_at = app_clock.now()
    screen.set_viewport_size({"width": 390, "height": 844})
    screen.goto(f"{server.url}/panel/")
    row = screen.get_by_role("listitem").filter(has_text="Slack, link expired")

    where, above = (row.locator(part).bounding_box() for part in ("form button", "p >> nth=0"))
    assert (where["x"], where["height"] < 40) == (above["x"], True)


def test_it_follows_the_client_under_an_open_dialog(served, screen, workflow):
    _server, _app, owner, workspace = served
    asked = factories.make_request(workflow.slots[0], owner)
    sending.send(workflow, by=owner)
    screen.reload()
    screen.locator("#node-2").get_by_role("button", name="Add to client request queue").click()
    screen.get_by_label("Note to client").fill("Half a sent")

    held = factories.make_connection(workspace, scopes=["chat:write", "channels:read"])
    with transaction():
        assert fulfilment.fulfil(asked, held, generation=0, at=app_clock.now(), by=SYSTEM)

    expect(screen.locator("#node-1 .gh-node-head")).to_contain_text("Connected")
    expect(screen.locator(".gh-request")).to_contain_text("Connected as someone@slack.example")
    expect(screen.locator("#workflow")).not_to_have_attribute("hx-trigger", "every 3s")
    expect(screen.get_by_label("Note to client")).to_have_value("Half a sent")
    expect(screen.get_by_label("Note to client")).to_be_focused()


def test_queueing_and_sending_leave_the_focus_where_the_work_was(screen):
    node = screen.locator("#node-1")
    node.get_by_role("button", name="Add to client request queue").click()
    screen.get_by_label("Recipient email").fill(PRIYA)
    screen.get_by_role("button", name="Add to queue").click()

    expect(screen.get_by_text("Slack is in the queue")).to_be_visible()
    expect(node.locator("[id^=menu-]")).to_be_focused()
    screen.get_by_role("button", name="Send to client").click()
    expect(screen.get_by_text("1 recipient, 1 request")).to_be_visible()
    expect(screen.locator("#send-requests")).to_be_focused()
    expect(screen.locator(".gh-request")).to_contain_text("Pending")

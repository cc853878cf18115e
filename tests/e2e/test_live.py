"""Pages that change by themselves under somebody's hands, work by keyboard alone, and say what happens."""

import re

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from app import clock as app_clock
from app.database import transaction
from app.extensions import db
from app.models import ConnectionRequest, Workflow
from app.services import fulfilment, sending
from app.services.audit import Actor
from tests import factories
from tests.e2e import in_process
from tests.e2e.client import Client
from tests.e2e.in_process import DANA, PRIYA, House
from tests.e2e.staff import Panel
from tests.support.browser import visitor

config, home, house, office, served = in_process.fixtures

SLACK, HUBSPOT, ZENDESK = ("slack", "send_channel_message"), ("hubspot", "create_contact"), ("zendesk", "create_ticket")
TYPEFORM = ("typeform", "new_response")
JUMP = 60  # pixels; the browser itself makes up for what changed above, as far as it can
SMALL = {"width": 1000, "height": 480}
# Where nothing but news is waited for, pages look for it more often; that it is every three seconds is for test_clock.
HASTY = """const later = setTimeout;
setTimeout = (act, wait, ...rest) => later(act, wait === 3000 ? 400 : wait, ...rest);"""
FOCUS = """() => {
  const at = document.activeElement;
  const caret = at.selectionStart === undefined ? null : [at.selectionStart, at.selectionEnd];
  return { id: at.id, caret };
}"""


@pytest.fixture
def _haste(office: BrowserContext, home: BrowserContext) -> None:
    for context in (office, home):
        context.add_init_script(HASTY)


@pytest.fixture
def workflow(house: House) -> Workflow:
    """Four apps, the last of which nobody is asked for."""
    return house.workflow(SLACK, HUBSPOT, ZENDESK, TYPEFORM)


@pytest.fixture
def asked(house: House, workflow: Workflow) -> list[ConnectionRequest]:
    """Slack, HubSpot and Zendesk, sent to Priya."""
    asked = [factories.make_request(slot, house.owner) for slot in workflow.slots[:3]]
    sending.send(workflow, by=house.owner)
    return asked


@pytest.fixture
def panel(office: BrowserContext, house: House, workflow: Workflow, asked: list[ConnectionRequest]) -> Panel:
    """The page of the workflow."""
    panel = Panel(office.new_page(), house.url)
    panel.page.goto(house.page_of(workflow))
    return panel


def connect_elsewhere(house: House, asked: ConnectionRequest) -> None:
    """Have the client connect an app, as on a device that the test does not look at."""
    db.session.rollback()
    account = f"priya@{asked.app_key}.example"
    connection = factories.make_connection(
        house.workspace,
        asked.app_key,
        account=account,
        owner_email=asked.recipient,
        scopes=list(asked.sent_scopes or ()),
    )
    with transaction():
        assert fulfilment.fulfil(
            asked, connection, generation=asked.generation, at=app_clock.now(), by=Actor.client(asked.recipient)
        )


def focus(page: Page) -> dict[str, object]:
    """What has the focus, and where in its text the caret is."""
    return page.evaluate(FOCUS)


def scrolled(page: Page) -> int:
    return page.evaluate("scrollY")


# ── Updates under somebody's hands ───────────────────────────────────────────


def test_an_update_of_the_workflow_page_leaves_focus_and_scroll(house, panel, asked):
    page = panel.page
    page.set_viewport_size(SMALL)
    page.locator(f"#cancel-{asked[2].public_id}").focus()
    page.evaluate("scrollTo({ top: 250, behavior: 'instant' })")
    before = focus(page)

    connect_elsewhere(house, asked[0])

    expect(panel.request(PRIYA, "Slack")).to_contain_text("Connected as priya@slack.example")
    expect(panel.node("Slack").locator(".gh-status").first).to_have_text("Connected")
    assert focus(page) == before
    assert abs(scrolled(page) - 250) < JUMP


def test_an_update_of_the_workflow_page_leaves_an_open_dialog_and_what_is_typed_in_it(house, panel, asked):
    page, dialog = panel.page, panel.dialog
    opener = panel.node("Typeform").get_by_role("button", name="Add to client request queue")
    opener.click()
    note = dialog.get_by_label("Note to client")
    dialog.get_by_label("Recipient email").fill("front")
    note.fill("So that nobody is forgotten.")
    note.evaluate("(note) => { note.focus(); note.setSelectionRange(3, 7); }")
    before = focus(page)

    connect_elsewhere(house, asked[0])

    expect(panel.request(PRIYA, "Slack")).to_contain_text("Connected as priya@slack.example")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_label("Recipient email")).to_have_value("front")
    expect(note).to_have_value("So that nobody is forgotten.")
    assert focus(page) == before
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()  # a new button in the place of the one that was pressed


@pytest.mark.usefixtures("_haste")
def test_an_open_menu_waits_with_the_update_until_it_is_closed(house, panel, asked):
    page, menu = panel.page, panel.node("Slack").get_by_role("button", name="Change node 1, Slack")
    menu.click()
    item = panel.node("Slack").get_by_role("button", name="Move down")
    expect(item).to_be_visible()
    connect_elsewhere(house, asked[0])
    with page.expect_response(lambda answer: "Connected as" in answer.text()):
        pass
    expect(item).to_be_visible()

    page.keyboard.press("Escape")

    expect(panel.request(PRIYA, "Slack")).to_contain_text("Connected as priya@slack.example")
    expect(menu).to_be_focused()


@pytest.mark.parametrize("changed", [0, 2], ids=["above", "below"])
def test_an_update_of_the_branded_page_leaves_what_the_client_is_doing(house, home, asked, changed):
    page = home.new_page()
    page.set_viewport_size(SMALL)
    page.goto(house.link_of(asked[0]))
    client = Client(page)
    hubspot = client.card("HubSpot")
    hubspot.get_by_text("Technical names").click()
    hubspot.get_by_text("I can't connect this app").click()
    reason = hubspot.get_by_label("What stands in the way?")
    reason.fill("Our IT company runs it.")
    reason.evaluate("(reason) => reason.setSelectionRange(4, 6)")
    before, scroll = focus(page), scrolled(page)
    assert before["caret"] == [4, 6]
    assert scroll > JUMP

    connect_elsewhere(house, asked[changed])

    client.sees(1, 3)
    expect(reason).to_have_value("Our IT company runs it.")
    expect(reason).to_be_visible()
    expect(hubspot.locator("details[open]")).to_have_count(2)
    assert focus(page) == before
    if changed == 2:  # what gets shorter above draws up what is below it
        assert abs(scrolled(page) - scroll) < JUMP


def test_what_is_typed_for_one_app_survives_an_update_by_another(house, home, asked):
    page = home.new_page()
    page.goto(house.link_of(asked[0]))
    subdomain = Client(page).card("Zendesk").get_by_label("Zendesk subdomain")
    subdomain.fill("harbordental")

    connect_elsewhere(house, asked[0])

    Client(page).sees(1, 3)
    expect(subdomain).to_have_value("harbordental")
    expect(subdomain).to_be_focused()


# ── Other people, tabs and devices ───────────────────────────────────────────


@pytest.mark.usefixtures("_haste")
def test_what_the_client_and_staff_do_shows_on_every_screen_by_itself(house, browser, home, panel, asked):
    link = house.link_of(asked[0])
    tab, other_tab = home.new_page(), home.new_page()
    with visitor(browser) as phone:
        phone.add_init_script(HASTY)
        device = phone.new_page()
        for page in (tab, other_tab, device):
            page.goto(link)
        Client(device).decline("HubSpot", "Our IT company runs it.")
        for page in (tab, other_tab, device):
            expect(Client(page).card("HubSpot")).to_contain_text("Declined")
        expect(panel.request(PRIYA, "HubSpot")).to_contain_text("Our IT company runs it.")

        panel.page.get_by_role("button", name="Cancel, Zendesk").click()
        panel.dialog.get_by_role("button", name="Cancel request").click()
        for page in (tab, other_tab, device):
            heading = page.get_by_role("heading", level=1)
            expect(heading).to_have_text("Northwind Studio needs you to connect 2 apps")
            expect(Client(page).card("Zendesk")).to_have_count(0)

        connect_elsewhere(house, asked[0])
        connect_elsewhere(house, asked[1])
        for page in (tab, other_tab, device):
            expect(page.get_by_role("heading", name="All 2 apps are connected")).to_be_visible()
        expect(panel.group(PRIYA)).to_contain_text("2 of 2 connected")


@pytest.mark.usefixtures("_haste")
def test_progress_is_announced(house, home, asked):
    page = home.new_page()
    page.goto(house.link_of(asked[0]))
    region = page.locator("#intake-live[role=status]")
    expect(region).to_be_empty()  # what is there from the start is read with the page
    page.evaluate("window.region = document.getElementById('intake-live')")
    bar = page.get_by_role("progressbar", name="Apps connected")
    expect(bar).to_have_attribute("aria-valuetext", "0 of 3 connected")

    connect_elsewhere(house, asked[0])

    expect(region).to_have_text("1 of 3 connected")
    assert page.evaluate("window.region === document.getElementById('intake-live')"), "else nothing is read out"
    expect(bar).to_have_attribute("aria-valuetext", "1 of 3 connected")
    expect(bar).to_have_attribute("aria-valuenow", "1")
    expect(bar).to_have_attribute("aria-valuemax", "3")


# ── By keyboard alone ────────────────────────────────────────────────────────


def tab_to(page: Page, wanted: Locator, *, most: int = 80) -> None:
    """Press Tab until this has the focus."""
    for _ in range(most):
        if wanted.evaluate("(wanted) => wanted === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Not reached by Tab: {wanted}")


def test_a_request_is_queued_and_sent_by_keyboard_alone(house, office):
    factories.make_member(house.workspace, DANA)
    workflow = house.workflow(SLACK)
    with transaction():
        workflow.slots[0].source = None
    panel = Panel(office.new_page(), house.url)
    page, keys = panel.page, panel.page.keyboard
    page.goto(house.page_of(workflow))

    tab_to(page, panel.node("Slack").get_by_label("Agency provides the connection"))
    keys.press("ArrowDown")
    ask = panel.node("Slack").get_by_role("button", name="Add to client request queue")
    expect(ask).to_be_visible()
    tab_to(page, ask)
    keys.press("Enter")

    recipient = panel.dialog.get_by_role("combobox", name="Recipient email")
    expect(recipient).to_be_focused()
    options = panel.dialog.get_by_role("option")
    expect(options).to_have_text([re.compile("Dana Reyes")])
    keys.type("lee@harbordental.example")
    expect(panel.dialog.get_by_role("group", name="Other").get_by_role("option")).to_have_text(
        "lee@harbordental.example"
    )
    keys.press("Escape")
    expect(options).to_have_count(0)
    expect(panel.dialog, "Escape closed the list alone").to_be_visible()
    keys.press("Control+A")
    keys.type("da")
    keys.press("ArrowDown")
    expect(recipient).to_have_attribute("aria-activedescendant", re.compile(".+"))
    keys.press("Enter")
    expect(recipient).to_have_value(DANA)
    expect(options).to_have_count(0)
    expect(panel.dialog.get_by_text("connects inside the portal")).to_be_visible()
    tab_to(page, panel.dialog.get_by_label("Note to client"))
    keys.type("Thank you!")
    tab_to(page, panel.dialog.get_by_role("button", name="Add to queue"))
    keys.press("Enter")

    expect(panel.dialog).to_be_hidden()
    expect(panel.request(DANA, "Slack")).to_contain_text("Queued (not yet sent)")
    expect(panel.request(DANA, "Slack")).to_contain_text("Thank you!")
    send = page.get_by_role("button", name="Send to client")
    tab_to(page, send)
    keys.press("Enter")
    expect(panel.request(DANA, "Slack")).to_contain_text("Pending")
    expect(send).to_be_focused()


def test_a_dialog_holds_the_focus_and_gives_it_back(house, panel):
    page, dialog = panel.page, panel.dialog
    opener = page.get_by_role("button", name="Cancel, HubSpot")
    opener.focus()
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()  # what changes nothing
    inside = "[document.body, ...document.querySelectorAll('#dialog *')].includes(document.activeElement)"
    for key in ("Tab", "Shift+Tab"):
        for _ in range(8):
            page.keyboard.press(key)
            assert page.evaluate(inside)

    page.keyboard.press("Escape")

    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page, dialog.get_by_role("button", name="Cancel request"))
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(panel.request(PRIYA, "HubSpot")).to_contain_text("Cancelled")
    expect(page.locator(":focus")).to_have_count(1)  # it is somewhere


def test_a_client_declines_by_keyboard_alone(house, home, asked):
    page = home.new_page()
    page.goto(house.link_of(asked[0]))
    card = Client(page).card("HubSpot")
    tab_to(page, card.get_by_text("I can't connect this app"))
    page.keyboard.press("Enter")
    tab_to(page, card.get_by_label("What stands in the way?"))
    page.keyboard.type("Our IT company runs it.")
    tab_to(page, card.get_by_role("button", name="Decline HubSpot"))
    page.keyboard.press("Enter")

    expect(card).to_contain_text("Declined")
    expect(page.locator(":focus")).to_have_text(
        re.compile("You declined HubSpot.*“Our IT company runs it.”", re.DOTALL)
    )
    expect(card.get_by_role("button", name="Connect HubSpot")).to_be_visible()

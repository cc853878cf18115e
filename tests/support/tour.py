"""A tour of every screen in its states, through the demo, as a person would come by them."""

from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect

from app.cli.demo_data import OWNER_EMAIL, PASSWORD
from app.services import setup
from tests.support.demo import Demo, demo_running
from tests.support.tour_clients import branded_page, mailbox, portal_of_a_member, portal_of_an_owner
from tests.support.tour_hand_overs import hand_overs

Stop = tuple[str, Page]


def tour(browser: Browser, folder: Path) -> Iterator[Stop]:
    """Yield the name of each screen with the page that shows it; the page stays as it is until the next."""
    with demo_running(folder / "empty", filled=False) as empty:
        yield from first_run(browser, empty)
    with (
        demo_running(folder / "demo") as demo,
        browser.new_context() as office,
        browser.new_context() as home,
        browser.new_context() as away,
        browser.new_context(java_script_enabled=False) as plain,
    ):
        panel, client = office.new_page(), home.new_page()
        yield from panel_pages(panel, demo)
        yield from before_sending(panel)
        yield from mailbox(client, demo)
        yield from branded_page(client, plain.new_page(), demo)
        yield from portal_of_a_member(away.new_page(), demo)
        yield from after_sending(panel, demo)
        yield from connection_pages(panel, demo)
        yield from hand_overs(client, panel, demo)
        yield from portal_of_an_owner(home.new_page(), demo)
        yield from odd_pages(client, panel, demo)


def first_run(browser: Browser, demo: Demo) -> Iterator[Stop]:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(demo.url)
        yield "setup", page
        page.get_by_role("button", name="Send a test mail").click()
        expect(page.locator("#code")).to_be_focused()
        yield "setup-test-mail-errors", page
        with demo.app.app_context():
            page.get_by_label("Code from the console").fill(setup.code())
        page.get_by_label("E-mail address").fill(OWNER_EMAIL)
        page.get_by_role("button", name="Send a test mail").click()
        expect(page.locator("#test-mail .gh-is-connected")).to_be_visible()
        yield "setup-test-mail", page
        page.get_by_role("button", name="Create the agency").click()
        expect(page.locator("#password-error")).to_be_visible()
        yield "setup-errors", page
        page.get_by_label("Name", exact=True).fill("Northwind Studio")
        page.get_by_label("Your name").fill("Maya Okafor")
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Create the agency").click()
        expect(page.get_by_role("heading", name="Welcome to Gatehouse")).to_be_visible()
        yield "home-empty", page


def panel_pages(page: Page, demo: Demo) -> Iterator[Stop]:
    page.goto(f"{demo.url}/panel/sign-in")
    yield "sign-in", page
    page.get_by_label("E-mail address").fill(OWNER_EMAIL)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="Home")).to_be_visible()
    yield "home", page
    for name, address in (
        ("workspaces", "workspaces"),
        ("apps", "apps"),
        ("app-slack", "apps/slack"),
        ("app-twilio", "apps/twilio"),
        ("people", "people"),
        ("account", "account"),
    ):
        answer = page.goto(f"{demo.url}/panel/{address}")
        assert answer is not None
        assert answer.ok, (address, answer.status)
        yield name, page
    yield from branding(page, demo)
    page.goto(f"{demo.url}/panel/apps/slack")
    page.get_by_role("button", name="Set up Slack").click()
    expect(page.get_by_label("Client ID", exact=True)).to_be_visible()
    yield "app-setup", page
    page.goto(f"{demo.url}/panel/workspaces")
    page.get_by_role("button", name="New workspace").first.click()
    expect(page.locator("#dialog")).to_be_visible()
    yield "new-workspace", page
    page.goto(f"{demo.url}/panel/workspaces")
    page.get_by_role("link", name="Tannery Row").click()
    expect(page.get_by_role("heading", name="Tannery Row", level=1)).to_be_visible()
    yield "workspace-empty", page
    page.goto(f"{demo.url}/panel/workspaces")
    page.get_by_role("link", name="Harbor Dental").click()
    expect(page.get_by_role("heading", name="Harbor Dental", level=1)).to_be_visible()
    yield "workspace", page


def branding(page: Page, demo: Demo) -> Iterator[Stop]:
    page.goto(f"{demo.url}/panel/branding")
    preview = page.locator("#preview")
    expect(shown_in(page, "page")).to_be_visible()
    yield "branding", page
    page.get_by_label("Agency name").fill("Harbour & Sons")
    page.locator("#accent").fill("#ffe600")
    page.get_by_label("Support e-mail").fill("help@")
    expect(page.locator("#support_email-error")).to_be_visible()
    expect(shown_in(page, "page").get_by_text("Harbour & Sons")).to_be_visible()
    yield "branding-error", page
    preview.get_by_role("button", name="E-mail").click()
    expect(shown_in(page, "e-mail")).to_be_visible()
    yield "branding-mail", page
    preview.get_by_role("button", name="Desktop").click()
    preview.get_by_role("button", name="Dark").click()
    yield "branding-desktop", page


def shown_in(page: Page, what: str) -> Locator:
    """The heading in the dark preview of the page or the e-mail, once it has taken the place of the one before."""
    frame = page.frame_locator(f"iframe[title='Preview of the {what}, dark']:only-child")
    return frame.get_by_role("heading", level=1)


def before_sending(page: Page) -> Iterator[Stop]:
    page.get_by_role("link", name="New patient intake").click()
    expect(page.get_by_role("heading", name="Client connection requests")).to_be_visible()
    yield "workflow-queued", page
    page.locator("#add-node").click()
    expect(page.locator("#dialog").get_by_placeholder("Search apps...")).to_be_visible()
    yield "add-node", page
    page.keyboard.press("Escape")
    expect(page.locator("#dialog")).to_be_hidden()
    node = page.locator(".gh-node").filter(has_text="Calendly")
    node.get_by_label("Client provides the connection").check()
    node.get_by_role("button", name="Add to client request queue").click()
    dialog = page.locator("#dialog")
    dialog.get_by_label("Recipient email").fill("frontdesk@harbordental.example")
    expect(dialog.get_by_text("gets a sign-in link")).to_be_visible()
    yield "add-to-queue", page
    dialog.get_by_label("Recipient email").fill("frontdesk")
    dialog.get_by_role("button", name="Add to queue").click()
    expect(dialog.locator(".invalid-feedback")).to_be_visible()
    yield "add-to-queue-error", page
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Send to client").click()
    expect(page.get_by_text("Sent requests to client")).to_be_visible()
    yield "workflow-sent", page


def after_sending(page: Page, demo: Demo) -> Iterator[Stop]:
    expect(page.get_by_text("3 of 3 connected")).to_be_visible()
    yield "workflow-connected", page
    page.get_by_role("button", name="Cancel, Slack").click()
    expect(page.locator("#dialog").get_by_role("heading")).to_be_visible()
    yield "confirm-cancel", page
    page.locator("#dialog").get_by_role("button").last.click()
    expect(page.locator("#dialog")).to_be_hidden()
    page.goto(f"{demo.url}/panel/workspaces")
    page.get_by_role("link", name="Bluefin Logistics").click()
    page.get_by_role("link", name="Fleet invoicing").click()
    expect(page.get_by_role("heading", name="Fleet invoicing", level=1)).to_be_visible()
    yield "workflow-pending", page


def connection_pages(page: Page, demo: Demo) -> Iterator[Stop]:
    page.goto(f"{demo.url}/panel/connections")
    yield "connections", page
    page.get_by_label("Any status").select_option("revoked")
    expect(page.get_by_role("heading", name="No connection fits")).to_be_visible()
    yield "connections-none-fits", page
    page.get_by_label("Any status").select_option("error")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.locator("tbody th a").click()
    expect(page.locator("#revoke")).to_be_visible()
    yield "connection", page
    for button, name in (
        ("#revoke", "connection-revoke"),
        ("#delete", "connection-delete"),
        ("#mend", "connection-ask"),
    ):
        page.locator(button).click()
        expect(page.locator("#dialog").get_by_role("heading")).to_be_visible()
        yield name, page
        page.keyboard.press("Escape")
        expect(page.locator("#dialog")).to_be_hidden()
    page.locator("#mend").click()
    page.locator("#dialog").get_by_role("button", name="Add to queue").click()
    expect(page.get_by_text("To reconnect orders@kestrelcoffee.example")).to_be_visible()
    yield "workflow-reconnecting", page
    page.goto(f"{demo.url}/panel/")
    yield "home-asked", page


def odd_pages(client: Page, panel: Page, demo: Demo) -> Iterator[Stop]:
    client.goto(f"{demo.url}/l/nothing")
    yield "link-cannot-be-opened", client
    panel.goto(f"{demo.url}/panel/nothing")
    yield "not-found", panel
    client.goto(demo.sandbox_url)
    yield "sandbox", client

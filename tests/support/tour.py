"""A tour of every screen in its states, through the demo, as a person would come by them."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, Route, expect
from sqlalchemy import select

from app.cli.demo_data import DANA, OWNER_EMAIL, PASSWORD, PRIYA
from app.database import transaction
from app.models import Bundle
from app.services import setup
from app.tenancy import across_tenants
from tests.support.demo import Demo, demo_running
from tests.support.servers import wait_until
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
    yield "app-setup", page
    page.goto(f"{demo.url}/panel/workspaces")
    page.get_by_role("button", name="New workspace").first.click()
    expect(page.locator("#dialog")).to_be_visible()
    yield "new-workspace", page
    page.goto(f"{demo.url}/panel/workspaces")
    page.get_by_role("link", name="Tannery Row").click()
    yield "workspace-empty", page
    page.goto(f"{demo.url}/panel/workspaces")
    page.get_by_role("link", name="Harbor Dental").click()
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


def mailbox(page: Page, demo: Demo) -> Iterator[Stop]:
    wait_until(lambda: PRIYA in dict(demo.mails()).values())
    page.goto(f"{demo.url}/demo/mail")
    expect(page.get_by_role("link", name=PRIYA)).to_be_visible()
    page.get_by_role("link", name=PRIYA).first.click()
    yield "mailbox", page
    name = next(name for name, to in demo.mails() if to == PRIYA)
    page.goto("about:blank")  # its frame's policy would keep scripts out that look at it
    page.set_content(demo.html(name))
    yield "e-mail", page


def branded_page(page: Page, plain: Page, demo: Demo) -> Iterator[Stop]:
    page.get_by_role("link", name="Review and connect").click()
    expect(page.get_by_role("heading", name="needs you to connect 3 apps")).to_be_visible()
    yield "branded-page", page
    link = page.url
    yield from without_script(plain, page.context.new_page(), demo)
    connect(page, "HubSpot")
    yield "sandbox-sign-in", page
    choose(page)
    yield "sandbox-consent", page
    page.locator("input[name=scope]").last.uncheck()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("HubSpot granted")).to_be_visible()
    yield "branded-page-partial", page
    connect(page, "Google Sheets")
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_text("Access was not approved at Google Sheets")).to_be_visible()
    page.get_by_text("I can't connect this app").first.click()
    yield "branded-page-denied", page
    page.locator("li.gh-app").filter(has_text="Zendesk").locator("input[name=subdomain]").fill("no such place!")
    page.get_by_role("button", name="Connect Zendesk").click()
    expect(page.locator(".invalid-feedback")).to_be_visible()
    yield "branded-page-field-error", page
    page.get_by_role("button", name="Grant the rest").click()
    page.get_by_role("button", name="Approve").click()
    connect(page, "Google Sheets")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("2 of 3 connected").first).to_be_visible()
    page.goto(link)
    yield "branded-page-progress", page
    page.locator("input[name=subdomain]").fill("harbordental")
    connect(page, "Zendesk")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("heading", name="All 3 apps are connected")).to_be_visible()
    yield "branded-page-done", page


def without_script(page: Page, shown: Page, demo: Demo) -> Iterator[Stop]:
    """The page that browsers without a script pass on their way, from another mail's link; `shown` holds it still."""
    name = next(name for name, to in demo.mails() if to.startswith("ops@"))
    page.goto(f"{demo.url}/demo/mail/{name}/html")
    page.get_by_role("link", name="Review and connect").click()
    page.route(f"{demo.sandbox_url}/**", lambda route: route.abort())
    passed: list[str] = []

    def note(route: Route) -> None:
        answer = route.fetch()
        passed.append(answer.text())  # once the browser has it, it moves on and forgets it
        route.fulfill(response=answer)

    page.route("**/start", note)
    page.get_by_role("button", name="Connect Slack").click()
    shown.goto(f"{demo.url}/healthz")
    shown.set_content(re.sub(r"<meta http-equiv=\"refresh\"[^>]*>", "", passed[0]))
    expect(shown.get_by_role("heading", name="Continue to Slack")).to_be_visible()
    yield "leaving", shown


def portal_of_a_member(page: Page, demo: Demo) -> Iterator[Stop]:
    """Dana, who is asked for one app and has connected none yet."""
    yield from enter_portal(page, demo, DANA)
    expect(page.get_by_text("1 app awaiting connection")).to_be_visible()
    yield "portal-connections", page
    page.get_by_role("link", name="Open New patient intake").click()
    expect(page.get_by_role("button", name="Connect Slack")).to_be_visible()
    yield "portal-workflow", page
    with demo.app.app_context(), across_tenants("the tour"), transaction() as session:
        bundle = session.scalars(select(Bundle).where(Bundle.recipient == DANA)).one()
        ends, bundle.expires_at = bundle.expires_at, bundle.expires_at - timedelta(hours=5)
    expect(page.get_by_text("This request expired")).to_be_visible()
    yield "portal-workflow-expired", page
    with demo.app.app_context(), across_tenants("the tour"), transaction() as session:
        session.scalars(select(Bundle).where(Bundle.recipient == DANA)).one().expires_at = ends
    expect(page.get_by_role("button", name="Connect Slack")).to_be_visible()


def portal_of_an_owner(page: Page, demo: Demo) -> Iterator[Stop]:
    """Priya, who was asked by link and has connected three."""
    list(enter_portal(page, demo, PRIYA))
    expect(page.get_by_text("Connected and working.")).to_have_count(3)
    page.get_by_role("button", name=re.compile("^Refresh ")).first.click()
    expect(page.get_by_text("is refreshed")).to_be_visible()
    yield "portal-connections-of-an-owner", page
    page.get_by_role("link", name=re.compile("^Rename ")).first.click()
    yield "portal-rename", page
    page.get_by_label("Connection Name").fill("")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".invalid-feedback")).to_be_visible()
    yield "portal-rename-error", page
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("link", name=re.compile("^Revoke ")).last.click()
    yield "portal-revoke", page
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("Revoked. Workflows that depend on it are paused until you reconnect.")).to_be_visible()
    yield "portal-connections-revoked", page
    page.get_by_role("link", name="All activity").click()
    expect(page.get_by_text("revoked by you")).to_be_visible()
    yield "portal-activity", page
    page.goto(f"{demo.url}/portal/connections/workflows/nothing")
    yield "portal-not-found", page


def enter_portal(page: Page, demo: Demo, email: str) -> Iterator[Stop]:
    """Sign in with the code that is mailed."""
    before = len([to for _name, to in demo.mails() if to == email])
    page.goto(f"{demo.url}/portal/connections")
    yield "portal-sign-in", page
    page.get_by_label("E-mail address").fill(email)
    page.get_by_role("button", name="Send me a code").click()
    expect(page.get_by_label("Six-digit code")).to_be_visible()
    yield "portal-code", page
    wait_until(lambda: len([to for _name, to in demo.mails() if to == email]) > before)
    newest = next(name for name, to in demo.mails() if to == email)
    (code,) = re.findall(r"^\s*(\d{6})\s*$", demo.text(newest), re.MULTILINE)
    page.get_by_label("Six-digit code").fill(code)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Connections", exact=True)).to_be_visible()


def connect(page: Page, app: str) -> None:
    page.get_by_role("button", name=f"Connect {app}").click()
    page.wait_for_url("**/ask/**")


def choose(page: Page) -> None:
    page.get_by_role("button", name="Choose").first.click()
    expect(page.get_by_role("button", name="Approve")).to_be_visible()


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

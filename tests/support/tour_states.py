"""The tour's second half: states that nobody comes by in a few clicks, and every dialog, from the scene made for them."""

from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect

from app import create_app
from app.catalog import load
from app.cli import demo as running
from app.extensions import db
from app.services import setup
from tests import factories
from tests.support import tour_scene
from tests.support.demo import Demo, demo_running
from tests.support.processes import free_port
from tests.support.servers import serve_in_thread, wait_until
from tests.support.tour_scene import DANA, LEE, NOBODY, PRIYA, Scene
from tests.support.tour_states_clients import clients

Stop = tuple[str, Page]


def states(browser: Browser, folder: Path) -> Iterator[Stop]:
    """Yield the name of each screen with the page that shows it; the page stays as it is until the next."""
    yield from without_mail(browser, folder / "without-mail")
    with demo_running(folder / "states", filled=False) as demo:
        scene = tour_scene.make(demo.app)
        wait_until(lambda: {NOBODY, PRIYA} <= set(dict(demo.mails()).values()))
        tour_scene.fail_mail(scene)
        with browser.new_context() as office:
            page = office.new_page()
            yield from signing_in(page, demo, scene)
            yield from attention(page, demo, scene)
            yield from workflow(page, demo, scene)
            yield from requests(page, demo, scene)
            yield from connections(page, demo)
            yield from workspace(page, demo, scene)
            yield from own_client(page, demo)
            yield from people(page, demo)
        yield from clients(browser, demo, scene)


def without_mail(browser: Browser, folder: Path) -> Iterator[Stop]:
    """An installation that knows no mail server, and its first, empty pages."""
    folder.mkdir(parents=True)
    port = free_port()
    config = factories.config(folder, f"sqlite:///{folder / 'gatehouse.sqlite3'}", base_url=f"http://localhost:{port}")
    app = create_app(config, catalog=load(None))
    with app.app_context():
        running.migrate()
        code = setup.code()
    with serve_in_thread(app, port=port) as served, browser.new_context() as context:
        page = context.new_page()
        page.goto(served.url)
        expect(page.locator("#no-mail")).to_be_visible()
        yield "setup-without-mail", page
        for label, text in (
            ("Code from the console", code),
            ("Name", "Northwind Studio"),
            ("Your name", "Maya Okafor"),
            ("E-mail address", "maya@northwind.example"),
            ("Password", factories.PASSWORD),
        ):
            page.get_by_label(label, exact=True).fill(text)
        page.get_by_role("button", name="Create the agency").click()
        expect(page.get_by_text("Mail is not set up: what is sent waits in the outbox.")).to_be_visible()
        yield "home-without-mail", page
        for name in ("workspaces", "connections"):
            page.goto(f"{served.url}/panel/{name}")
            expect(page.locator(".gh-empty")).to_be_visible()
            yield f"{name}-empty", page
        for name in ("connections", "requests", "mail", "hand-overs"):
            page.goto(f"{served.url}/panel/attention/{name}")
            expect(page.get_by_role("heading", name="Nothing needs attention")).to_be_visible()
            yield f"attention-{name}-empty", page
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


def dialog(page: Page, trigger: Locator | None = None) -> Locator:
    """The dialog, once what opens it was pressed."""
    if trigger is not None:
        trigger.click()
    found = page.locator("#dialog")
    expect(found.locator(":focus")).to_be_visible()  # it moves no more
    return found


def wrong(shown: Locator) -> None:
    """Send a form as it is, and wait for what is wrong with it."""
    shown.locator("button[type=submit]").click()
    expect(shown.locator("[aria-invalid='true']:focus")).to_be_visible()


def close(page: Page) -> None:
    expect(page.locator("#dialog :focus")).to_be_visible()  # what came last has settled
    page.keyboard.press("Escape")
    expect(page.locator("#dialog")).to_be_hidden()


def asked(page: Page, trigger: Locator, name: str) -> Iterator[Stop]:
    """A dialog that is looked at, and closed again."""
    dialog(page, trigger)
    yield name, page
    close(page)


def signing_in(page: Page, demo: Demo, scene: Scene) -> Iterator[Stop]:
    page.goto(f"{demo.url}/panel/sign-in")
    page.get_by_label("E-mail address").fill(scene.owner_email)
    page.get_by_label("Password", exact=True).fill("not this one at all")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    yield "sign-in-error", page
    page.get_by_label("Password", exact=True).fill(factories.PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="Home")).to_be_visible()
    page.goto(f"{demo.url}/panel/account")
    page.get_by_label("Name", exact=True).fill("")
    page.get_by_role("button", name="Save name").click()
    expect(page.locator(".invalid-feedback")).to_be_visible()
    yield "account-error", page


def attention(page: Page, demo: Demo, scene: Scene) -> Iterator[Stop]:
    page.goto(f"{demo.url}/panel/")
    expect(page.get_by_role("heading", name="things need attention")).to_be_visible()
    yield "home-attention", page
    for name in ("connections", "requests", "mail"):
        page.goto(f"{demo.url}/panel/attention/{name}")
        expect(page.locator(".gh-row").first).to_be_visible()
        yield f"attention-{name}", page


def workflow(page: Page, demo: Demo, scene: Scene) -> Iterator[Stop]:
    page.goto(f"{demo.url}/panel/{scene.pages['workflow-ready']}")
    yield from asked(page, page.locator("#publish"), "workflow-publish")
    for name in ("workspace-archived", "workflow-archived", "workflow-empty", "workflow-states"):
        page.goto(f"{demo.url}/panel/{scene.pages[name]}")
        yield name, page
    expect(page.locator(".gh-note").get_by_text("2 connections need to be reauthorized")).to_be_visible()
    expect(page.get_by_text("The e-mail is delayed. The mail server asked to try again later.").first).to_be_visible()
    yield from asked(page, page.locator("#rename"), "workflow-rename")
    shown = dialog(page, page.locator("#add-node"))
    shown.get_by_placeholder("Search apps...").fill("no such app")
    expect(shown.get_by_text("No app has “no such app” in its name.")).to_be_visible()
    yield "add-node-none", page
    shown.get_by_placeholder("Search apps...").fill("slack")
    shown.get_by_role("button", name="Slack").first.click()
    expect(shown.get_by_role("button", name="Add node")).to_be_visible()
    yield "add-node-action", page
    close(page)
    for node, item, name in (
        ("Twilio", "Remove", "node-remove"),
        ("Slack Find user", "Share the account of node", "node-share"),
        ("Calendly", "Use another account", "slot-accounts"),
        ("Calendly", "Let the agency provide it", "slot-source"),
    ):
        menu = page.locator(".gh-node").filter(has_text=node).first
        menu.get_by_role("button", name="Change node").click()
        yield from asked(page, menu.get_by_role("button", name=item), name)
    node = page.locator(".gh-node").filter(has_text="Airtable")
    yield from asked(page, node.get_by_role("button", name="Select an existing connection"), "slot-accounts-none")
    node = page.locator(".gh-node").filter(has_text="HubSpot")
    yield from asked(page, node.get_by_role("button", name="Use existing connection"), "slot-use")


def requests(page: Page, demo: Demo, scene: Scene) -> Iterator[Stop]:
    yield from asked(page, page.get_by_role("button", name="Edit, Slack"), "request-edit")
    row = page.locator(".gh-request").filter(has_text="Queued").filter(has_text="For the second Slack.")
    row.get_by_role("button", name="More for the Slack request").click()
    shown = dialog(page, row.get_by_role("button", name="Change recipient"))
    yield "request-recipient", page
    shown.get_by_label("Recipient email").fill("priya")
    wrong(shown)
    yield "request-recipient-error", page
    close(page)


def connections(page: Page, demo: Demo) -> Iterator[Stop]:
    for name, link in (
        ("connection-of-a-client", "priya@calendly.example"),
        ("connection-revoked", "priya@xero.example"),
        ("connection-ending", "Front desk notes"),
    ):
        page.goto(f"{demo.url}/panel/connections")
        page.get_by_role("link", name=link, exact=True).click()
        expect(page.get_by_role("heading", name="Facts")).to_be_visible()
        yield name, page
    shown = dialog(page, page.locator("#rename"))
    yield "connection-rename", page
    shown.get_by_label("Connection Name").fill("")
    wrong(shown)
    yield "connection-rename-error", page
    close(page)


def workspace(page: Page, demo: Demo, scene: Scene) -> Iterator[Stop]:
    page.goto(f"{demo.url}/panel/{scene.pages['workspace']}")
    yield "workspace-members", page
    yield from asked(page, page.locator("#rename"), "workspace-rename")
    yield from asked(page, page.locator("#archive"), "workspace-archive")
    shown = dialog(page, page.locator("#new-workflow"))
    wrong(shown)
    yield "new-workflow-error", page
    close(page)
    shown = dialog(page, page.locator("#new-member"))
    yield "new-member", page
    shown.get_by_label("Name", exact=True).fill("Dana Reyes")
    shown.get_by_label("E-mail address").fill(DANA)
    wrong(shown)
    yield "new-member-error", page
    close(page)
    row = page.locator("#members tr").filter(has_text=LEE)
    yield from asked(page, row.get_by_role("button", name="Remove"), "member-remove")


def own_client(page: Page, demo: Demo) -> Iterator[Stop]:
    page.goto(f"{demo.url}/panel/apps/asana")
    page.get_by_role("button", name="Set up Asana").click()
    page.get_by_role("button", name="Save client").click()
    expect(page.locator(".invalid-feedback").first).to_be_visible()
    yield "app-setup-error", page
    page.get_by_role("textbox", name="Client ID", exact=True).fill("an id")
    page.locator("#client_secret").fill("a secret")
    page.get_by_role("button", name="Save client").click()
    expect(page.locator("#remove-client")).to_be_visible()
    yield "app-own", page
    yield from asked(page, page.locator("#remove-client"), "app-remove")


def people(page: Page, demo: Demo) -> Iterator[Stop]:
    page.goto(f"{demo.url}/panel/people")
    for button, name in (
        ("Enable, Ben Former", "person-enable"),
        ("Change role, Tom Achterberg", "person-role"),
        ("New password, Tom Achterberg", "person-password"),
        ("Disable, Tom Achterberg", "person-disable"),
    ):
        yield from asked(page, page.get_by_role("button", name=button), name)
    shown = dialog(page, page.locator("#new-person"))
    yield "new-person", page
    wrong(shown)
    yield "new-person-error", page
    shown.get_by_label("Name", exact=True).fill("Ana Sato")
    shown.get_by_label("E-mail address").fill("ana@northwind.example")
    shown.locator("button[type=submit]").click()
    expect(page.get_by_text("ana@northwind.example").first).to_be_visible()
    yield "person-password-shown", page
    password = page.locator("#dialog code, #dialog input[readonly]").first
    given = password.input_value() if password.evaluate("each => each.tagName") == "INPUT" else password.inner_text()
    page.goto(f"{demo.url}/panel/")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("E-mail address").fill("ana@northwind.example")
    page.get_by_label("Password", exact=True).fill(given)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Choose your password")).to_be_visible()
    yield "choose-password", page
    page.get_by_role("button", name="Save password").click()
    expect(page.locator(".invalid-feedback")).to_be_visible()
    yield "choose-password-error", page

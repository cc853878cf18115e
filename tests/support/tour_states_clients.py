"""What clients see in those states: cards, the portal, and the mail that they get."""

import re
from collections.abc import Iterator
from datetime import timedelta

from playwright.sync_api import Browser, BrowserContext, Page, expect

from app import clock
from tests.support.demo import Demo
from tests.support.servers import wait_until
from tests.support.tour_clients import choose, connect
from tests.support.tour_scene import DANA, LEE, PRIYA, Scene, end_code
from tests.support.tour_states_portal import portal_of_ines, signed_in

Stop = tuple[str, Page]
ME = "me@nowhere.example"


def clients(browser: Browser, demo: Demo, scene: Scene) -> Iterator[Stop]:
    with browser.new_context() as home:
        page = home.new_page()
        yield from cards(page, demo, scene)
        yield from accounts(page, demo, scene)
    with browser.new_context() as home:
        yield from signing_in(home, demo, scene)
    with browser.new_context() as home:
        yield from places(home, demo, scene)
    with browser.new_context() as home:
        yield from portals(home, demo, scene)
    with browser.new_context() as home:
        yield from portal_of_ines(home, demo, scene)
    with browser.new_context() as home:
        yield from mails(home.new_page(), demo)


def cards(page: Page, demo: Demo, scene: Scene) -> Iterator[Stop]:
    """Declined, not set up, refused to be handed over, broken, narrower than needed."""
    page.goto(f"{demo.url}/l/{scene.links['states']}")
    expect(page.get_by_text("did not agree that this is handed over to")).to_be_visible()
    yield "branded-page-states", page
    page.locator("li.gh-app").filter(has_text="Zendesk").get_by_text("Someone else manages").click()
    yield "branded-page-hand-over", page


def accounts(page: Page, demo: Demo, scene: Scene) -> Iterator[Stop]:
    """One that is offered, one that is not theirs to give, and another one than was expected."""
    page.goto(f"{demo.url}/l/{scene.links['accounts']}")
    expect(page.get_by_role("button", name="Use ines@typeform.example")).to_be_visible()
    yield "branded-page-accounts", page
    connect(page, "Slack")
    choose(page)
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("button", name="Use this account anyway")).to_be_visible()
    yield "branded-page-other-account", page


def signing_in(home: BrowserContext, demo: Demo, scene: Scene) -> Iterator[Stop]:
    page = home.new_page()
    page.goto(f"{demo.url}/portal/login")
    page.get_by_label("E-mail address").fill("nobody")
    page.get_by_role("button", name="Send me a code").click()
    expect(page.locator(".invalid-feedback")).to_be_visible()
    yield "portal-sign-in-error", page
    page.get_by_label("E-mail address").fill(PRIYA)
    page.get_by_role("button", name="Send me a code").click()
    page.get_by_label("Six-digit code").fill("000")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".invalid-feedback")).to_be_visible()
    yield "portal-code-error", page
    link = button_in(demo, PRIYA)
    page.goto(link)
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    yield "portal-button", page
    with home.browser.new_context() as elsewhere:  # type: ignore[union-attr]
        other = elsewhere.new_page()
        other.goto(link)
        expect(other.get_by_role("heading", name="Type the code instead")).to_be_visible()
        yield "portal-button-elsewhere", other
    page.goto(f"{demo.url}/portal/code")
    end_code(scene, PRIYA, expires_at=clock.now() - timedelta(seconds=1))
    page.get_by_label("Six-digit code").fill("000000")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("It is older than ten minutes.")).to_be_visible()
    yield "portal-code-over", page
    end_code(scene, PRIYA, used_at=clock.now())
    page.goto(f"{demo.url}/portal/code")
    expect(page.get_by_text("It was used or replaced.")).to_be_visible()
    yield "portal-code-used", page


def button_in(demo: Demo, to: str) -> str:
    """Where the button in somebody's last code mail leads."""

    def found() -> list[str]:
        texts = (demo.text(name) for name, recipient in demo.mails() if recipient == to)
        return [link for text in texts for link in re.findall(r"https?://\S+/portal/enter/\S+", text)]

    wait_until(found)
    return found()[0]


def places(home: BrowserContext, demo: Demo, scene: Scene) -> Iterator[Stop]:
    """Dana, who belongs to two clients: in the one nothing was ever asked of her."""
    page = signed_in(home, demo, scene, DANA)
    expect(page.get_by_role("heading", name="Choose a workspace")).to_be_visible()
    yield "portal-workspaces", page
    page.get_by_role("button", name="Open Bluefin Logistics").click()
    expect(page.get_by_text("No outstanding connection requests")).to_be_visible()
    yield "portal-connections-empty", page
    page.goto(f"{demo.url}/portal/connections/activity")
    expect(page.get_by_role("heading", name="Nothing has happened yet")).to_be_visible()
    yield "portal-activity-empty", page
    page.goto(f"{demo.url}/portal/sessions")
    yield "portal-sessions", page


def portals(home: BrowserContext, demo: Demo, scene: Scene) -> Iterator[Stop]:
    """Lee, who took back the one app that they had connected; and Priya, whose mixture stands in the portal too."""
    page = signed_in(home, demo, scene, LEE, "Harbor Dental")
    expect(page.get_by_text("Revoked. Workflows that depend on it").first).to_be_visible()
    yield "portal-connections-taken-back", page
    page = signed_in(home, demo, scene, PRIYA, "Harbor Dental")
    expect(page.get_by_text("Reconnection needed.").first).to_be_visible()
    yield "portal-connections-states", page
    page.get_by_role("link", name="Open All that may happen").click()
    expect(page.get_by_text("did not agree that this is handed over to")).to_be_visible()
    yield "portal-workflow-states", page
    page.goto(f"{demo.url}/portal/connections")
    page.get_by_role("button", name=re.compile("^Refresh ")).first.click()
    expect(page.locator(".gh-toasts .toast")).to_be_visible()
    yield "portal-refresh-error", page
    page.goto(f"{demo.url}/portal/sessions")
    page.get_by_role("button", name="Sign out everywhere").click()
    expect(page.get_by_text("You are signed out")).to_be_visible()
    yield "portal-signed-out", page


def mails(page: Page, demo: Demo) -> Iterator[Stop]:
    """A code, an invitation, and that a connection broke."""
    for name, to, says in (
        ("e-mail-code", PRIYA, "Your code to sign in"),
        ("e-mail-invitation", DANA, "invites you"),
        ("e-mail-broken", PRIYA, "needs to be connected again"),
    ):
        wait_until(lambda to=to, says=says: html_of(demo, to, says))  # type: ignore[misc]
        page.goto("about:blank")  # as its frame's policy would keep scripts out that look at it
        page.set_content(html_of(demo, to, says))
        yield name, page


def html_of(demo: Demo, to: str, says: str) -> str:
    """The HTML of somebody's last mail whose title says this."""
    found = (demo.html(name) for name, recipient in demo.mails() if recipient == to)
    return next((html for html in found if re.search(f"<title>[^<]*{says}", html)), "")

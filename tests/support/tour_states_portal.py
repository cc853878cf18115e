"""The portal of Ines, who goes on there: another account, less than was asked, handed over, all done, and connected again."""

from collections.abc import Iterator

from playwright.sync_api import BrowserContext, Page, expect

from tests.support.demo import Demo
from tests.support.tour_clients import choose, connect
from tests.support.tour_hand_overs import name_colleague
from tests.support.tour_scene import INES, OUTSIDE, Scene, approve_hand_over, cookie_of

Stop = tuple[str, Page]
SANDBOX = "127.0.0.1"


def signed_in(home: BrowserContext, demo: Demo, scene: Scene, email: str, workspace: str | None = None) -> Page:
    cookie = cookie_of(scene, email, workspace)
    home.clear_cookies()
    home.add_cookies([{"name": "gh_portal", "value": cookie, "url": demo.url}])
    page = home.new_page()
    page.goto(f"{demo.url}/portal/connections")
    return page


def portal_of_ines(home: BrowserContext, demo: Demo, scene: Scene) -> Iterator[Stop]:
    page = signed_in(home, demo, scene, INES, "Harbor Dental")
    page.get_by_role("link", name="Open Whose account").click()
    yield from cards(page, scene)
    yield from reconnecting(page, demo)


def cards(page: Page, scene: Scene) -> Iterator[Stop]:
    page.get_by_role("button", name="Choose another account").click()
    choose(page)
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("You connected").and_(page.get_by_text("expected office@slack.example"))).to_be_visible()
    yield "portal-workflow-other-account", page
    page.get_by_role("button", name="Use this account anyway").click()
    connect(page, "HubSpot")
    page.locator("input[name=scope]").last.uncheck()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("HubSpot did not grant the permission that it was asked for")).to_be_visible()
    yield "portal-workflow-partial", page
    page.get_by_role("button", name="Grant the rest").click()
    page.get_by_role("button", name="Approve").click()
    name_colleague(page, "Google Sheets", OUTSIDE)
    expect(page.get_by_text("to be handed over to")).to_be_visible()
    yield "portal-workflow-hand-over-waits", page
    approve_hand_over(scene)
    page.reload()
    expect(page.get_by_text(f"to {OUTSIDE}")).to_be_visible()
    yield "portal-workflow-handed-over", page
    page.get_by_role("button", name="Use ines@typeform.example").click()
    expect(page.get_by_text("All 3 apps are connected.")).to_be_visible()
    yield "portal-workflow-done", page


def reconnecting(page: Page, demo: Demo) -> Iterator[Stop]:
    """The same account, another one, and one that grants too little; each says what came of it on top of the list."""
    page.goto(f"{demo.url}/portal/connections")
    reconnect(page)
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("HubSpot is connected again")).to_be_visible()
    yield "portal-reconnected", page
    page.context.clear_cookies(domain=SANDBOX)
    reconnect(page)
    page.get_by_role("button", name="Choose").last.click()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("and this connection is of")).to_be_visible()
    yield "portal-reconnected-other-account", page
    page.context.clear_cookies(domain=SANDBOX)
    reconnect(page)
    choose(page)
    page.locator("input[name=scope]").last.uncheck()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("HubSpot did not grant what the workflows need")).to_be_visible()
    yield "portal-reconnected-partial", page


def reconnect(page: Page) -> None:
    page.get_by_role("row").filter(has_text="HubSpot").get_by_role("button", name="Reconnect").click()
    page.wait_for_url("**/ask/**")

"""What the branded page and the portal cost a client: bytes and requests over the wire, and what it needs no script for."""

import io
from collections import Counter
from typing import Any

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import BrowserContext, Page, Response, Route, expect

from app.database import transaction
from app.services import logos, sending
from tests import factories
from tests.e2e import in_process
from tests.e2e.in_process import House

config, home, house, _, served = in_process.fixtures

STEPS = (("hubspot", "create_contact"), ("google-sheets", "add_row"), ("zendesk", "create_ticket"))
MOST_BYTES, MOST_REQUESTS = 60_000, 6


class Wire:
    """What came over the network, as Chromium counts it: headers and compressed bodies, in bytes by address."""

    def __init__(self, page: Page) -> None:
        self.sizes: Counter[str] = Counter()
        self._addresses: dict[str, str] = {}
        session = page.context.new_cdp_session(page)
        session.on("Network.requestWillBeSent", self._asked)
        session.on("Network.loadingFinished", self._finished)
        session.send("Network.enable")

    def _asked(self, event: dict[str, Any]) -> None:
        if hop := event.get("redirectResponse"):
            self.sizes[hop["url"]] += hop["encodedDataLength"]
        self._addresses[event["requestId"]] = event["request"]["url"]

    def _finished(self, event: dict[str, Any]) -> None:
        address = self._addresses[event["requestId"]]
        if not address.startswith("data:"):
            self.sizes[address] += event["encodedDataLength"]


def drawn_logo() -> bytes:
    """A logo as agencies have them: a shape and a gradient, 512 pixels wide."""
    picture = Image.linear_gradient("L").resize((512, 512)).convert("RGB")
    ImageDraw.Draw(picture).ellipse((96, 96, 416, 416), fill="#a03c17", outline="white", width=12)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def link(house: House) -> str:
    """To three apps, one of which asks for something first, with notes and a logo."""
    logo = logos.redraw(drawn_logo())
    with transaction():
        house.agency.logo, house.agency.logo_digest = logo.png, logo.digest
    workflow = house.workflow(*STEPS)
    note = "So that reception sees new patients at once, and nobody has to be asked twice."
    asked = [factories.make_request(slot, house.owner, note=note) for slot in workflow.slots]
    sending.send(workflow, by=house.owner)
    return house.link_of(asked[0])


@pytest.fixture
def page(home: BrowserContext) -> Page:
    """In a browser that was never here before."""
    return home.new_page()


def test_the_branded_page_is_light(link, page: Page):
    wire = Wire(page)

    page.goto(link)

    expect(page.get_by_role("heading", level=1)).to_have_text("Northwind Studio needs you to connect 3 apps")
    assert page.locator("img.gh-logo").evaluate("(logo) => logo.complete && logo.naturalWidth") == 256
    assert len(wire.sizes) <= MOST_REQUESTS, wire.sizes
    assert wire.sizes.total() <= MOST_BYTES, wire.sizes
    assert all(address.startswith(link.partition("/l/")[0]) for address in wire.sizes), wire.sizes


def test_the_portal_is_light(link, page: Page, house: House):
    """With a full page of connections and of what was done with them."""
    recipient = "priya.nair@harbordental.example"
    for number in range(20):
        factories.make_connection(house.workspace, owner_email=recipient, name=f"Front desk {number}")
    cookie = factories.signed_in_client(house.app, recipient, house.workspace).get_cookie("gh_portal")
    assert cookie is not None
    page.context.add_cookies([{"name": "gh_portal", "value": cookie.value, "url": house.url}])
    wire = Wire(page)

    page.goto(f"{house.url}/portal/connections")

    expect(page.get_by_role("row")).to_have_count(21)
    assert len(wire.sizes) <= MOST_REQUESTS, wire.sizes
    assert wire.sizes.total() <= MOST_BYTES, wire.sizes
    assert page.evaluate("typeof window.bootstrap") == "undefined"


def test_the_branded_page_loads_no_bootstrap_javascript(link, page: Page):
    scripts: list[str] = []
    page.on("response", lambda answer: scripts.append(answer.text()) if "javascript" in kind(answer) else None)

    page.goto(link)
    page.wait_for_function("() => window.htmx")

    assert len(scripts) == 1
    assert "bootstrap" not in scripts[0].lower()
    assert page.evaluate("typeof window.bootstrap") == "undefined"


def test_the_branded_page_is_readable_before_any_script_runs(link, page: Page):
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/*.js", hold)

    page.goto(link, wait_until="commit")

    expect(page.get_by_role("heading", level=1)).to_have_text("Northwind Studio needs you to connect 3 apps")
    expect(page.get_by_text("0 of 3 connected").first).to_be_visible()
    for app in ("HubSpot", "Google Sheets", "Zendesk"):
        expect(page.get_by_role("button", name=f"Connect {app}")).to_be_visible()
    expect(page.get_by_label("Zendesk subdomain")).to_be_editable()
    expect(page.get_by_text("Is this request real?")).to_be_visible()
    expect(page.get_by_role("button", name="Connect HubSpot")).not_to_have_css("border-radius", "0px")
    assert page.evaluate("typeof window.htmx") == "undefined"
    (script,) = held
    script.continue_()
    page.wait_for_function("() => window.htmx")


def test_the_branded_page_is_not_for_search_engines(link, page: Page):
    page.goto(link)

    expect(page.locator("meta[name=robots]")).to_have_attribute("content", "noindex, nofollow")


def kind(answer: Response) -> str:
    return answer.headers.get("content-type", "")

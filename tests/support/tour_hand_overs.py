"""The part of the tour where apps are handed over to colleagues, in the demo's second client."""

from collections.abc import Iterator

from playwright.sync_api import Locator, Page, expect

from tests.support.demo import Demo
from tests.support.servers import wait_until

OPS, INSIDE, OUTSIDE = "ops@bluefin-logistics.example", "it@bluefin-logistics.example", "books@ledger-and-sons.example"
Stop = tuple[str, Page]


def hand_overs(client: Page, panel: Page, demo: Demo) -> Iterator[Stop]:
    open_mail(client, demo, OPS)
    name_colleague(client, "Xero", "somebody")
    expect(client.locator(".invalid-feedback")).to_be_visible()
    yield "branded-page-hand-over-error", client
    client.get_by_role("textbox", name="Your colleague's e-mail address").fill(OUTSIDE)
    client.get_by_role("button", name="Hand over Xero").click()
    expect(client.get_by_text("to be handed over to")).to_be_visible()
    yield "branded-page-hand-over-waits", client
    panel.goto(f"{demo.url}/panel/")
    expect(panel.get_by_role("heading", name="Waiting for your approval")).to_be_visible()
    yield "home-hand-over", panel
    panel.goto(f"{demo.url}/panel/attention/hand-overs")
    yield "attention-hand-overs", panel
    panel.get_by_role("link", name="Fleet invoicing").click()
    expect(panel.get_by_text("wants to hand this over to")).to_be_visible()
    yield "workflow-hand-over", panel
    name_colleague(client, "Slack", INSIDE)
    expect(client.get_by_text(f"to {INSIDE}")).to_be_visible()
    yield "branded-page-handed-over", client
    panel.get_by_role("button", name="Approve hand-over of Xero").click()
    expect(panel.get_by_text(f"Handed over by {OPS}").first).to_be_visible()
    yield "workflow-handed-over", panel
    expect(client.get_by_role("heading", name="There is nothing left to connect")).to_be_visible()
    yield "branded-page-all-handed-over", client
    yield from as_the_colleague(client, demo)


def as_the_colleague(page: Page, demo: Demo) -> Iterator[Stop]:
    open_mail(page, demo, INSIDE)
    expect(page.get_by_text(f"{OPS} handed this over to you.")).to_be_visible()
    yield "branded-page-from-colleague", page
    html = demo.html(name_of(demo, INSIDE))
    page.goto("about:blank")  # as its frame's policy would keep scripts out that look at it
    page.set_content(html)
    yield "e-mail-from-colleague", page


def open_mail(page: Page, demo: Demo, to: str) -> None:
    """Follow the link of somebody's last mail."""
    page.goto(f"{demo.url}/demo/mail/{name_of(demo, to)}/html")
    page.get_by_role("link", name="Review and connect").click()
    expect(page.get_by_role("heading", name="Apps to connect")).to_be_visible()


def name_of(demo: Demo, to: str) -> str:
    wait_until(lambda: to in dict(demo.mails()).values())
    return next(name for name, recipient in demo.mails() if recipient == to)


def name_colleague(page: Page, app: str, address: str) -> None:
    """Open “Someone else manages this account” by the keyboard, and send an address."""
    card: Locator = page.locator("li.gh-app").filter(has_text=f"Connect {app}")
    card.get_by_text("Someone else manages this account").focus()
    page.keyboard.press("Enter")
    card.get_by_label("Your colleague's e-mail address").fill(address)
    page.keyboard.press("Enter")

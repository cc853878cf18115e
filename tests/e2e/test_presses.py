"""What is said once something was pressed, and that what is pressed twice is done once."""

import re

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import func, select

from app.extensions import db
from app.models import ConnectionRequest, Flow
from tests import factories
from tests.e2e import in_process
from tests.e2e.client import Client
from tests.e2e.in_process import PRIYA, House

config, home, house, office, served = in_process.fixtures

SLACK = ("slack", "send_channel_message")


@pytest.fixture
def asked(house: House) -> list[ConnectionRequest]:
    """Slack, sent to Priya."""
    return factories.make_sent(house.workflow(SLACK), house.owner, recipient=PRIYA)


def test_a_toast_is_read_out(house, office):
    workflow = house.workflow(SLACK)
    factories.make_request(workflow.slots[0], house.owner)
    page = office.new_page()
    page.goto(house.page_of(workflow))
    region = page.locator("#toasts")
    expect(region).to_have_attribute("aria-live", "polite")
    expect(region).to_have_attribute("role", "status")
    page.evaluate("window.region = document.getElementById('toasts')")

    page.get_by_role("button", name="Send to client").click()

    expect(region).to_have_text(re.compile(r"Sent requests to client\s*1 recipient, 1 request"))
    assert page.evaluate("window.region === document.getElementById('toasts')"), "else nothing is read out"


def posts(page: Page, path: str) -> list[str]:
    """Notes every POST to such an address from now on."""
    seen: list[str] = []
    page.on("request", lambda sent: seen.append(sent.url) if sent.method == "POST" and path in sent.url else None)
    return seen


PRESS_TWICE = {
    "by pointer": lambda button: button.dblclick(),
    "by keyboard": lambda button: (
        button.focus(),
        button.page.keyboard.press("Enter"),
        button.page.keyboard.press("Enter"),
    ),
    "by script": lambda button: button.evaluate("(button) => { button.click(); button.click(); }"),
}


@pytest.mark.parametrize("how", PRESS_TWICE)
def test_send_pressed_twice_sends_once(house, office, how):
    workflow = house.workflow(SLACK)
    factories.make_request(workflow.slots[0], house.owner)
    page = office.new_page()
    page.goto(house.page_of(workflow))
    sent = posts(page, "/send")

    PRESS_TWICE[how](page.get_by_role("button", name="Send to client"))

    expect(page.locator(".gh-request")).to_contain_text("Pending")
    expect(page.locator("#toasts .toast")).to_have_count(1)
    assert len(sent) == 1
    assert len(house.deliver()) == 1


@pytest.mark.parametrize("how", PRESS_TWICE)
def test_connect_pressed_twice_starts_one_flow(house, home, asked, how):
    page = home.new_page()
    page.goto(house.link_of(asked[0]))
    page.route("https://slack.com/**", lambda route: route.fulfill(body="Slack"))
    started = posts(page, "/start")

    PRESS_TWICE[how](Client(page).card("Slack").get_by_role("button", name="Connect Slack"))

    page.wait_for_url("https://slack.com/**")
    assert len(started) == 1
    db.session.rollback()
    assert db.session.scalar(select(func.count()).select_from(Flow)) == 1

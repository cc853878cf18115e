"""`flask demo`, as a newcomer meets it: its own process, its own sandbox, its own mailbox."""

import re
import sys

import pytest
from playwright.sync_api import expect

from app.cli.demo_data import DANA, OWNER_EMAIL, PASSWORD, PRIYA
from tests.e2e.client import Client
from tests.e2e.staff import Panel
from tests.support.browser import visitor
from tests.support.processes import environment, free_port
from tests.support.servers import serve_process


@pytest.fixture
def demo(tmp_path):
    """The demo's address, once it answers."""
    port, sandbox_port = free_port(), free_port()
    env = environment(PORT=str(port), SANDBOX_PORT=str(sandbox_port), GATEHOUSE_INSTANCE_PATH=str(tmp_path))
    with serve_process(
        [sys.executable, "-m", "flask", "demo"], url=f"http://localhost:{port}/readyz", env=env
    ) as process:
        assert OWNER_EMAIL in process.output()
        yield f"http://localhost:{port}"


def answer(page, button, *, leave_out=()):
    """Sign in at the sandbox if it asks, and decide."""
    choose, approve = page.get_by_role("button", name="Choose").first, page.get_by_role("button", name="Approve")
    expect(choose.or_(approve)).to_be_visible()
    if choose.is_visible():
        choose.click()
    expect(approve).to_be_visible()
    for scope in leave_out:
        page.get_by_label(scope).uncheck()
    page.get_by_role("button", name=button).click()


def test_the_whole_job_in_the_demo(demo, browser):
    with visitor(browser) as office, visitor(browser) as home:
        panel = Panel(office.new_page(), demo)
        panel.sign_in(OWNER_EMAIL, PASSWORD)
        panel.page.get_by_role("link", name="Harbor Dental").first.click()
        panel.page.get_by_role("link", name="New patient intake").click()
        panel.send()

        client = Client(home.new_page())
        page = client.page
        page.goto(f"{demo}/demo/mail")
        expect(page.get_by_role("link", name=DANA)).to_have_count(1)
        page.get_by_role("link", name=PRIYA).click()
        page.frame_locator("iframe").get_by_role("link", name="Review and connect").click()
        client.sees(0, 3)

        client.press("HubSpot", "Connect HubSpot")
        answer(page, "Approve", leave_out=["Create and change deals"])
        expect(client.card("HubSpot")).to_contain_text("HubSpot granted 1 of the 2 permissions")
        client.press("HubSpot", "Grant the rest")
        answer(page, "Approve")
        client.sees(1, 3)
        client.press("Google Sheets", "Connect Google Sheets")
        answer(page, "Deny")
        expect(client.card("Google Sheets")).to_contain_text("Access was not approved at Google Sheets")
        client.press("Google Sheets", "Connect Google Sheets")
        answer(page, "Approve")
        client.press("Zendesk", "Connect Zendesk", subdomain="harbordental")
        answer(page, "Approve")
        expect(page.get_by_role("heading", name="All 3 apps are connected")).to_be_visible()

        expect(panel.group(PRIYA)).to_contain_text("3 of 3 connected")
        expect(panel.request(PRIYA, "HubSpot")).to_contain_text(re.compile("Connected as .+@"))
        expect(panel.request(DANA, "Slack")).to_contain_text("Pending")

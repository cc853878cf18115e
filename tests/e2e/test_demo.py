"""`flask demo`, as a newcomer meets it: its own process, its own sandbox, its own mailbox."""

import re
import sys

import pytest
from playwright.sync_api import expect

from app.cli.demo_data import DANA, KESTREL, OWNER_EMAIL, PASSWORD, PRIYA
from tests.e2e.client import Client
from tests.e2e.staff import Panel
from tests.support.browser import visitor
from tests.support.processes import environment, free_port
from tests.support.servers import serve_process, wait_until


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


def read_mail(page, demo, name):
    """The links of the mailbox to mails so named, once there is one."""
    found = page.get_by_role("link", name=name)

    def is_there():
        page.goto(f"{demo}/demo/mail")
        return found.count()

    wait_until(is_there, every=0.5)
    return found


def test_the_whole_job_in_the_demo(demo, browser):
    with visitor(browser) as office, visitor(browser) as home:
        panel = Panel(office.new_page(), demo)
        panel.sign_in(OWNER_EMAIL, PASSWORD)
        panel.page.get_by_role("link", name="Harbor Dental").first.click()
        panel.page.get_by_role("link", name="New patient intake").click()
        panel.send()

        client = Client(home.new_page())
        page = client.page
        asked = read_mail(page, demo, f"{DANA} Action required")
        expect(asked).to_have_count(1)
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


def test_the_portal_in_the_demo(demo, browser):
    with visitor(browser) as home:
        page, mailbox = home.new_page(), home.new_page()
        page.goto(f"{demo}/portal/login")
        page.get_by_label("E-mail address").fill(KESTREL)
        page.get_by_role("button", name="Send me a code").click()
        read_mail(mailbox, demo, re.compile(rf"{KESTREL}.*code")).first.click()
        code = re.search(r"^\s*(\d{6})\s*$", mailbox.locator("pre").text_content(), re.MULTILINE)
        page.get_by_label("Six-digit code").fill(code.group(1))
        page.get_by_role("button", name="Sign in").click()

        broken, well = (page.get_by_role("row").filter(has_text=app) for app in ("HubSpot", "Mailchimp"))
        expect(broken).to_contain_text("Reconnection needed.")
        expect(well).to_contain_text("Connected and working.")
        well.get_by_role("button", name="Refresh").click()
        expect(page.locator("#toasts")).to_contain_text("is refreshed")
        broken.get_by_role("button", name="Reconnect").or_(broken.get_by_role("link", name="Reconnect")).click()
        page.get_by_label("E-mail").fill(KESTREL)
        page.get_by_role("button", name="Continue").click()
        answer(page, "Approve")
        expect(broken).to_contain_text("Connected and working.")

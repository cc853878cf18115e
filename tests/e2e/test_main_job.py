"""The main job, end to end: queue, send, open the mail, approve at an independent provider, connected on both sides."""

import json
import re
import sqlite3
import subprocess
import sys

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.e2e.client import Client
from tests.e2e.conftest import ROOT, Installation
from tests.e2e.staff import Panel
from tests.support.browser import TRUSTING, WITHOUT_JAVASCRIPT, visitor

PRIYA, DANA = "priya.nair@harbordental.example", "dana.reyes@harbordental.example"
LINK = "gets a sign-in link and has 7 days from when you send to connect"
PORTAL = "connects inside the portal and has 4 hours from when you send to connect"

REVEAL = """
import json, sys
from app import create_app
from app.tenancy import across_tenants
from app.extensions import db
from app.models import Connection
from app.services import secrets
app = create_app()
with app.app_context(), across_tenants("a test looks at every token"):
    rows = db.session.query(Connection).order_by(Connection.id).all()
    json.dump({row.app_key: secrets.reveal(row)["access_token"].reveal() for row in rows}, sys.stdout)
"""


def stored_tokens(installation: Installation) -> dict[str, str]:
    """What the vault holds, opened with the installation's key."""
    done = subprocess.run(
        [sys.executable, "-c", REVEAL],
        check=False,
        cwd=ROOT,
        env=installation.env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def link_in(message) -> str:
    """The link that stands alone on its line in the text part."""
    lines = [
        line for line in message.text.splitlines() if re.fullmatch(r"https?://\S+/l/[A-Za-z0-9_.-]+", line.strip())
    ]
    assert len(lines) == 1, message.text
    return lines[0].strip()


def watched(page: Page, address: str) -> list[str]:
    """What a page's answers at an address say, noted before the page moves on."""
    said: list[str] = []

    def note(route: Route) -> None:
        answer = route.fetch()
        said.append(answer.text())
        route.fulfill(response=answer)

    page.route(address, note)
    return said


def whole_way(installation: Installation, browser: Browser, **options) -> None:
    ann = installation.provider.people["ann"]
    with visitor(browser, **options) as office, visitor(browser, **options) as home:
        panel = Panel(office.new_page(), installation.url)
        panel.sign_in()
        panel.make_workspace("Harbor Dental")
        panel.add_member("Dana Reyes", DANA)
        panel.make_workflow("New patient intake")
        panel.add_node("Northdesk", "Find ticket")
        panel.add_node("Postwave", "Send campaign")
        panel.add_node("Farport", "Upload file")
        panel.add_node("Ledgerly", "Find invoice")
        panel.queue("Northdesk", PRIYA, note="So that reception sees new tickets at once.", channel=LINK)
        panel.queue("Postwave", PRIYA, channel=LINK)
        panel.queue("Farport", PRIYA, channel=LINK)
        panel.queue("Ledgerly", DANA, channel=PORTAL)
        panel.send()

        sent = installation.smtp.inbox.wait_for(3, quiet=1)
        invitation, to_dana, to_priya = sorted(
            sent, key=lambda each: (each.rcpt_tos, each.message["Subject"][0] == "A")
        )
        assert (invitation.rcpt_tos, to_dana.rcpt_tos, to_priya.rcpt_tos) == ((DANA,), (DANA,), (PRIYA,))
        assert "invites you" in invitation.message["Subject"]
        assert str(to_priya.message["Subject"]) == (
            "Action required: Northwind Studio needs you to connect Northdesk, Postwave and 1 more app"
        )
        assert f"{installation.url}/portal/" in to_dana.text
        assert "/l/" not in to_dana.text

        client = Client(home.new_page())
        first_link = link_in(to_priya)
        client.open(first_link)
        expect(client.page).to_have_title("Connect an app · Northwind Studio")
        expect(client.page.get_by_role("heading", level=1)).to_have_text("Northwind Studio needs you to connect 3 apps")
        client.sees(0, 3)
        client.connect("Northdesk", ann.email)
        client.sees(1, 3)
        expect(client.card("Northdesk")).to_contain_text("Connected")
        expect(panel.request(PRIYA, "Northdesk")).to_contain_text(f"Connected as {ann.email}")
        expect(panel.group(PRIYA)).to_contain_text("1 of 3 connected")
        expect(panel.node("Northdesk")).to_contain_text("Connected")

        client.decline("Farport", "Our IT company runs it.")
        expect(client.card("Farport")).to_contain_text("Declined")
        expect(panel.request(PRIYA, "Farport")).to_contain_text("Our IT company runs it.")

        client.connect("Postwave", ann.email, grant=["campaigns.read", "contacts.read"])
        expect(client.card("Postwave")).to_contain_text("Postwave granted 2 of the 3 permissions")
        client.sees(1, 3)
        client.connect("Postwave", ann.email, button="Grant the rest")
        client.sees(2, 3)
        expect(panel.request(PRIYA, "Postwave")).to_contain_text(f"Connected as {ann.email}")

        prefix = "__Host-" if installation.url.startswith("https://") else "gh_"
        cookies = [*office.cookies(installation.url), *home.cookies(installation.url)]
        assert cookies
        assert all(each["name"].startswith(prefix) and each["httpOnly"] for each in cookies), cookies

        tokens = stored_tokens(installation)
        assert set(tokens) == {"northdesk", "postwave"}
        for token in tokens.values():
            status, answer = installation.provider.call_api(token)
            assert status == 200, answer


@pytest.mark.both_databases
def test_the_main_job_goes_the_whole_way(installation, browser, database_kind):
    whole_way(installation, browser)


def test_the_main_job_goes_the_whole_way_over_https(https_installation, browser):
    whole_way(https_installation, browser, **TRUSTING)


def test_a_resend_kills_the_old_link(installation, browser, database_kind, tmp_path):
    """The wait of five minutes is passed by setting the last mail's time back, as a moved clock would."""
    with visitor(browser) as office, visitor(browser) as home:
        panel = Panel(office.new_page(), installation.url)
        panel.sign_in()
        panel.make_workspace("Harbor Dental")
        panel.make_workflow("New patient intake")
        panel.add_node("Northdesk", "Find ticket")
        panel.queue("Northdesk", PRIYA, channel=LINK)
        panel.send()
        old = link_in(installation.smtp.inbox.wait_for(1)[0])
        client = Client(home.new_page())
        client.open(old)
        client.sees(0, 1)
        row = panel.request(PRIYA, "Northdesk")
        expect(row.get_by_role("button", name=re.compile(r"Resend email \(available in [0-4]:\d\d\)"))).to_be_visible()

        with sqlite3.connect(tmp_path / "gatehouse.sqlite3") as database:
            database.execute("UPDATE recipient SET mailed_at = datetime(mailed_at, '-6 minutes')")
        panel.page.reload()
        row.get_by_role("button", name="Resend email (3 left)").click()
        new = link_in(installation.smtp.inbox.wait_for(2)[1])

        assert new != old
        expect(client.page.get_by_role("heading", name="This link can't be opened")).to_be_visible(timeout=10_000)
        client.open(old)
        expect(client.page.get_by_role("heading", name="This link can't be opened")).to_be_visible()
        client.open(new)
        client.sees(0, 1)


def test_a_client_without_javascript_connects_apps_with_fields_and_several_origins(
    installation, browser, database_kind
):
    ann = installation.provider.people["ann"]
    with visitor(browser) as office, visitor(browser, **WITHOUT_JAVASCRIPT) as home:
        panel = Panel(office.new_page(), installation.url)
        panel.sign_in()
        panel.make_workspace("Harbor Dental")
        panel.make_workflow("New patient intake")
        panel.add_node("Shoply", "New order")
        panel.add_node("Farport", "Upload file")
        panel.queue("Shoply", PRIYA, channel=LINK)
        panel.queue("Farport", PRIYA, channel=LINK)
        panel.send()
        client = Client(home.new_page())
        client.open(link_in(installation.smtp.inbox.wait_for(1)[0]))
        client.sees(0, 2)

        client.press("Shoply", "Connect Shoply", subdomain="not a shop!")
        expect(client.card("Shoply").locator(".invalid-feedback")).to_be_visible()
        expect(client.card("Shoply").locator("input[name=subdomain]")).to_have_value("not a shop!")
        left = watched(client.page, "**/start")
        client.press("Shoply", "Connect Shoply", subdomain="harbor")
        client.decide(ann.email)
        assert "Continue to Shoply" in left[-1]
        client.sees(1, 2)

        client.connect("Farport", ann.email)
        expect(client.page.get_by_role("heading", name="All 2 apps are connected")).to_be_visible()

"""The part of the tour that clients see: the mail, the page behind its link, and the portal."""

import re
from collections.abc import Iterator
from datetime import timedelta

from playwright.sync_api import Page, Route, expect
from sqlalchemy import select

from app.cli.demo_data import DANA, PRIYA
from app.database import transaction
from app.models import Bundle
from app.tenancy import across_tenants
from tests.support.demo import Demo
from tests.support.servers import wait_until

Stop = tuple[str, Page]


def mailbox(page: Page, demo: Demo) -> Iterator[Stop]:
    wait_until(lambda: PRIYA in dict(demo.mails()).values())
    page.goto(f"{demo.url}/demo/mail")
    expect(page.get_by_role("link", name=PRIYA)).to_be_visible()
    page.get_by_role("link", name=PRIYA).first.click()
    expect(page.frame_locator("iframe").get_by_role("link", name="Review and connect")).to_be_visible()
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
    expect(page.get_by_label("Connection Name")).to_be_visible()
    yield "portal-rename", page
    page.get_by_label("Connection Name").fill("")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".invalid-feedback")).to_be_visible()
    yield "portal-rename-error", page
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("link", name=re.compile("^Revoke ")).last.click()
    expect(page.get_by_role("button", name="Revoke")).to_be_visible()
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

"""Waits, caps and deadlines to the second: the server's clock and the browser's are moved together.

`clock` comes first in every test, so that nothing happens before it stands still.
"""

import re
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from email.message import EmailMessage
from zoneinfo import ZoneInfo

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests import factories
from tests.e2e import in_process
from tests.e2e.in_process import DANA, PRIYA, House, link_in
from tests.support.browser import visitor
from tests.support.clock import Clock

config, _, house, office, served = in_process.fixtures

SLACK, HUBSPOT = ("slack", "send_channel_message"), ("hubspot", "create_contact")
POLL = 3  # seconds between two
BERLIN = ZoneInfo("Europe/Berlin")
VIEWER = ZoneInfo("America/New_York")


class Paced:
    """A page whose time stands still until it is moved, and the server's with it."""

    def __init__(self, page: Page, clock: Clock) -> None:
        self.page, self.clock = page, clock
        page.add_init_script(
            "addEventListener('htmx:afterRequest', () => { window.answers = (window.answers ?? 0) + 1 })"
        )
        page.clock.install(time=clock.now - timedelta(minutes=1))
        page.clock.pause_at(clock.now)

    def goto(self, url: str) -> None:
        """Open a page and mark it, so that a reload is noticed."""
        self.page.goto(url)
        self.page.evaluate("window.isTheSame = true")

    @property
    def was_reloaded(self) -> bool:
        return not self.page.evaluate("window.isTheSame")

    def tick(self) -> None:
        """Let a second go by as it does; too short for a poll."""
        self.clock.forward(seconds=1)
        self.page.clock.run_for(1000)

    def jump(self, **by: float) -> None:
        """Move on at once, as after a sleep: every timer that is due fires once."""
        self.clock.forward(**by)
        self.page.clock.fast_forward(int(timedelta(**by).total_seconds() * 1000))

    def poll(self, **by: float) -> None:
        """Move on and wait for the answer to the page's one poll."""
        self._answered(lambda: self.jump(**by))

    def ask(self) -> None:
        """Have the page poll now, without time going by at the server."""
        self._answered(lambda: self.page.clock.fast_forward(POLL * 1000))

    def press(self, button: Locator, *, though_shut: bool = False) -> None:
        """Press a button and wait for the answer; one that the page holds shut as a forged request would."""
        forge = "(button) => { button.removeAttribute('aria-disabled'); button.click(); }"
        self._answered(lambda: button.evaluate(forge) if though_shut else button.click())

    def _answered(self, act: Callable[[], object]) -> None:
        before = self.page.evaluate("window.answers ?? 0")
        act()
        self.page.wait_for_function("(before) => window.answers > before || !window.isTheSame", arg=before)
        self.page.clock.run_for(50)  # what came is settled by timers


def resend_button(page: Page, app: str = "Slack") -> Locator:
    return page.locator(".gh-request").filter(has_text=app).locator("[id^=resend-]")


def label(text: str, app: str = "Slack") -> re.Pattern[str]:
    """The whole of a button's words, with those that only screen readers get."""
    return re.compile(rf"^\s*{re.escape(text)}\s+{app}\s*$")


# ── Resending ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("polls", [True, False], ids=["polled", "server out of reach"])
def test_the_cooldown_counts_down_to_the_second_and_ends_by_itself(clock: Clock, house: House, office, polls):
    workflow = house.workflow(SLACK)
    factories.make_sent(workflow, house.owner)
    assert len(house.deliver()) == 1
    paced = Paced(office.new_page(), clock)
    paced.goto(house.page_of(workflow))
    if not polls:
        office.route(house.page_of(workflow), lambda route: route.abort())
    jump = paced.poll if polls else paced.jump
    button = resend_button(paced.page)
    expect(button).to_have_text(label("Resend email (available in 5:00)"))

    jump(seconds=47)
    expect(button).to_have_text(label("Resend email (available in 4:13)"))
    paced.tick()
    expect(button).to_have_text(label("Resend email (available in 4:12)"))
    jump(seconds=192)
    expect(button).to_have_text(label("Resend email (available in 1:00)"))
    paced.tick()
    expect(button).to_have_text(label("Resend email (available in 0:59)"))
    jump(seconds=58)
    expect(button).to_have_text(label("Resend email (available in 0:01)"))
    expect(button).to_have_attribute("aria-disabled", "true")
    paced.tick()

    expect(button).to_have_text(label("Resend email (3 left)"))
    expect(button).not_to_have_attribute("aria-disabled", "true")
    paced.press(button)
    expect(button).to_have_text(label("Resend email (available in 5:00)"))
    expect(button).to_have_attribute("aria-disabled", "true")
    assert not paced.was_reloaded
    old, new = (link_in(message) for message in reversed(house.deliver()))
    assert old != new


def test_the_server_decides_when_the_cooldown_is_over(clock: Clock, house: House, office):
    workflow = house.workflow(SLACK)
    factories.make_sent(workflow, house.owner)
    house.deliver()
    paced = Paced(office.new_page(), clock)
    paced.goto(house.page_of(workflow))
    clock.forward(seconds=299)

    paced.press(resend_button(paced.page), though_shut=True)

    toast = paced.page.locator("#toasts .toast")
    expect(toast).to_contain_text("Nothing was changed")
    expect(toast).to_contain_text("Resend email (available in 0:01)")
    expect(resend_button(paced.page)).to_have_text(label("Resend email (available in 0:01)"))
    clock.forward(seconds=1)
    paced.press(resend_button(paced.page), though_shut=True)
    expect(resend_button(paced.page)).to_have_text(label("Resend email (available in 5:00)"))
    assert len(house.deliver()) == 2


def test_after_three_resends_none_is_left_and_others_still_carry_it(clock: Clock, house: House, office):
    workflow = house.workflow(SLACK)
    factories.make_sent(workflow, house.owner)
    house.deliver()
    paced = Paced(office.new_page(), clock)
    paced.goto(house.page_of(workflow))
    slack = resend_button(paced.page)
    for left in (3, 2, 1):
        paced.poll(minutes=5)
        expect(slack).to_have_text(label(f"Resend email ({left} left)"))
        paced.press(slack)
        assert len(house.deliver()) == 5 - left
    expect(slack).to_have_text(label("No resends left"))
    paced.poll(minutes=5)
    expect(slack).to_have_text(label("No resends left"))
    expect(slack).to_have_attribute("aria-disabled", "true")
    paced.press(slack, though_shut=True)
    expect(paced.page.locator("#toasts .toast").last).to_contain_text("No resends left")
    assert len(house.deliver()) == 4
    assert not paced.was_reloaded

    other = house.workflow(HUBSPOT, name="Recall reminders")
    factories.make_sent(other, house.owner)
    assert "Slack and HubSpot" in str(house.deliver()[0]["Subject"])
    paced.goto(house.page_of(other))
    paced.poll(minutes=5)
    hubspot = resend_button(paced.page, "HubSpot")
    expect(hubspot).to_have_text(label("Resend email (3 left)", "HubSpot"))
    paced.press(hubspot)
    expect(hubspot).to_have_text(label("Resend email (available in 5:00)", "HubSpot"))
    assert "Slack and HubSpot" in str(house.deliver()[0]["Subject"])
    paced.goto(house.page_of(workflow))
    expect(slack).to_have_text(label("No resends left"))


# ── Expiry ───────────────────────────────────────────────────────────────────


def moment(at: datetime, zone: ZoneInfo) -> str:
    """“20 November 2026, 09:31”."""
    return at.astimezone(zone).strftime("%-d %B %Y, %H:%M")


def in_berlin(at: datetime) -> str:
    """“Friday, 20 November 2026, 09:31 CET”, as the agency's mails have it."""
    return f"{at.astimezone(BERLIN):%A}, {moment(at, BERLIN)} {at.astimezone(BERLIN):%Z}"


def plain(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    return part.get_content() if part else ""


def expiry(panel: Paced, recipient: str) -> Locator:
    return panel.page.get_by_role("region", name=recipient).locator("header time")


def status(panel: Paced) -> Locator:
    return panel.page.locator(".gh-request .gh-status")


def members_page(house: House, home: BrowserContext, clock: Clock) -> Paced:
    """The workflow's page in the portal, open in the browser of Dana, who has signed in just now."""
    session_id = secrets.token_urlsafe(32)
    factories.signed_in_client(house.app, DANA, house.workspace, session_id=session_id)
    home.add_cookies([{"name": "gh_portal", "value": session_id, "url": house.url}])
    member = Paced(home.new_page(), clock)
    member.page.goto(f"{house.url}/portal/connections")
    member.page.get_by_role("link", name="Open New patient intake").click()
    member.page.wait_for_url("**/workflows/*")
    member.page.evaluate("window.isTheSame = true")
    return member


def sent_ten_minutes_late(house: House, panel: Paced, recipient: str, lifetime: timedelta) -> EmailMessage:
    """Send while no mail leaves; the panel's time follows once one does. Returns the mail."""
    workflow = house.workflow(SLACK)
    factories.make_sent(workflow, house.owner, recipient=recipient)
    panel.goto(house.page_of(workflow))
    when = expiry(panel, recipient)
    expect(when).to_have_attribute("title", re.compile(f"^{moment(panel.clock.now + lifetime, VIEWER)}"))
    panel.clock.forward(minutes=10)
    (mail,) = house.deliver()
    panel.ask()
    expect(when).to_have_attribute("title", re.compile(f"^{moment(panel.clock.now + lifetime, VIEWER)}"))
    assert not panel.was_reloaded
    return mail


def test_a_link_expires_seven_days_after_its_mail_was_handed_over(clock: Clock, house: House, browser: Browser):
    with visitor(browser, timezone_id=VIEWER.key) as office, visitor(browser, timezone_id=VIEWER.key) as home:
        house.admit(office)
        panel, client = Paced(office.new_page(), clock), Paced(home.new_page(), clock)
        mail = sent_ten_minutes_late(house, panel, PRIYA, timedelta(days=7))
        expires, link = clock.now + timedelta(days=7), link_in(mail)
        assert f"The link works until {in_berlin(expires)}." in plain(mail)
        expect(expiry(panel, PRIYA)).to_have_text(re.compile("^in 7 days"))

        clock.to(expires - timedelta(hours=1))
        house.admit(office)  # the session of a week ago is over
        panel.goto(panel.page.url)
        client.goto(link)
        expect(client.page.locator("#intake time")).to_have_text(in_berlin(expires).partition(", ")[2])
        expect(status(panel)).to_have_text("Pending")
        clock.to(expires - timedelta(seconds=1))
        panel.ask()
        client.ask()
        expect(status(panel)).to_have_text("Pending")
        expect(client.page.get_by_role("heading", level=1)).to_have_text("Northwind Studio needs you to connect 1 app")
        assert httpx2.get(link).status_code == 303

        clock.forward(seconds=1)
        panel.ask()
        client.ask()
        expect(status(panel)).to_have_text("Link expired")
        expect(panel.page.get_by_role("region", name=PRIYA).locator("header")).to_contain_text("Link, expired")
        expect(resend_button(panel.page)).to_have_text(label("Resend email (3 left)"))
        assert not panel.was_reloaded
        expect(client.page.get_by_role("heading")).to_have_text("This link can't be opened")
        assert httpx2.get(link).status_code == 404


def test_a_members_request_expires_four_hours_after_its_mail_was_handed_over(
    clock: Clock, house: House, browser: Browser
):
    factories.make_member(house.workspace, DANA)
    with visitor(browser, timezone_id=VIEWER.key) as office, visitor(browser, timezone_id=VIEWER.key) as home:
        house.admit(office)
        panel = Paced(office.new_page(), clock)
        mail = sent_ten_minutes_late(house, panel, DANA, timedelta(hours=4))
        expires = clock.now + timedelta(hours=4)
        assert f"Sign in as {DANA}. You have until {in_berlin(expires)}." in plain(mail)
        expect(expiry(panel, DANA)).to_have_text(re.compile("^in 4 hours"))

        clock.to(expires - timedelta(seconds=1))
        house.admit(office)
        panel.goto(panel.page.url)
        panel.ask()
        expect(status(panel)).to_have_text("Pending")
        member = members_page(house, home, clock)
        connect = member.page.get_by_role("button", name="Connect Slack")
        expect(connect).to_be_visible()
        clock.forward(seconds=1)
        panel.ask()
        member.ask()
        expect(status(panel)).to_have_text("Link expired")
        expect(panel.page.get_by_role("region", name=DANA).locator("header")).to_contain_text("Portal, expired")
        expect(member.page.get_by_text("This request expired")).to_be_visible()
        expect(connect).to_have_count(0)

        panel.press(resend_button(panel.page))
        assert len(house.deliver()) == 2
        member.ask()
        expect(connect).to_be_visible()
        expect(member.page.get_by_text("This request expired")).to_have_count(0)
        assert not panel.was_reloaded
        assert not member.was_reloaded


# ── Sessions of staff ────────────────────────────────────────────────────────


def test_polls_keep_no_session_awake(clock: Clock, house: House, office):
    workflow = house.workflow(SLACK)
    factories.make_sent(workflow, house.owner)
    panel = Paced(office.new_page(), clock)
    panel.goto(house.page_of(workflow))
    for _ in range(3):
        panel.poll(minutes=30)
    panel.poll(minutes=29, seconds=59)
    expect(status(panel)).to_have_text("Pending")
    assert not panel.was_reloaded

    clock.forward(seconds=1)
    panel.ask()

    expect(panel.page.get_by_role("heading", name="Sign in")).to_be_visible()


def sign_in(page: Page, house: House) -> None:
    page.get_by_label("E-mail address").fill(house.owner.email)
    page.get_by_label("Password", exact=True).fill(factories.PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="New patient intake")).to_be_visible()


def test_whoever_works_stays_signed_in_for_twelve_hours_at_most(clock: Clock, house: House, browser: Browser):
    url = house.page_of(house.workflow(SLACK))
    with visitor(browser) as office:
        page = office.new_page()
        page.goto(url)
        sign_in(page, house)
        ends = clock.now + timedelta(hours=12)
        for _ in range(6):
            clock.forward(hours=1, minutes=59, seconds=59)
            page.goto(url)
            expect(page.get_by_role("heading", name="New patient intake")).to_be_visible()
        clock.to(ends - timedelta(seconds=1))
        page.goto(url)
        expect(page.get_by_role("heading", name="New patient intake")).to_be_visible()

        clock.forward(seconds=1)
        page.goto(url)

        sign_in(page, house)

"""What a client does in the portal, said as they would say it."""

import re

from playwright.sync_api import Locator, Page, expect

from tests.e2e.client import Client
from tests.support.inbox import Inbox
from tests.support.servers import wait_until


class Portal(Client):
    """One person's portal in one browser tab."""

    def __init__(self, page: Page, url: str, inbox: Inbox) -> None:
        super().__init__(page)
        self.url, self._inbox = url, inbox

    def sign_in(self, email: str, *, at: str = "/portal/connections") -> None:
        """Ask for a code where one has to sign in first, and type it."""
        self.page.goto(f"{self.url}{at}")
        self.page.get_by_label("E-mail address").fill(email)
        self.page.get_by_role("button", name="Send me a code").click()
        expect(self.page.get_by_role("heading", name="Check your e-mail")).to_be_visible()
        wait_until(lambda: self._codes(email))
        (code,) = self._codes(email)
        self.page.get_by_label("Six-digit code").fill(code)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("button", name="Sign out")).to_be_visible()

    def _codes(self, email: str) -> list[str]:
        """The code of the last mail that has one."""
        found = [re.findall(r"^\s*(\d{6})\s*$", each.text, re.MULTILINE) for each in self._inbox.to(email)]
        return next((codes for codes in reversed(found) if codes), [])

    def show_connections(self) -> None:
        self.page.goto(f"{self.url}/portal/connections")

    def open_workflow(self, name: str) -> None:
        """“Open” in the inbox."""
        self.page.get_by_role("link", name=f"Open {name}").click()
        expect(self.page.get_by_role("heading", name=name, level=1)).to_be_visible()

    def row(self, name: str) -> Locator:
        """A connection's row, by its app, account or label."""
        return self.page.get_by_role("row").filter(has_text=name)

    def press_on(self, act: str, name: str) -> None:
        """One of the acts of a row."""
        act_name = f"{act} {name}"
        button = self.page.get_by_role("button", name=act_name, exact=True)
        button.or_(self.page.get_by_role("link", name=act_name, exact=True)).click()

    def rename(self, name: str, to: str) -> None:
        self.press_on("Rename", name)
        self.page.get_by_label("Connection Name").fill(to)
        self.page.get_by_role("button", name="Save").click()

    def revoke(self, name: str) -> None:
        self.press_on("Revoke", name)
        expect(self.page.get_by_role("heading", name=f"Revoke {name}?")).to_be_visible()
        self.page.get_by_role("button", name="Revoke").click()

    def show_activity(self) -> None:
        self.page.get_by_role("link", name="All activity").click()
        expect(self.page.get_by_role("heading", name="Activity", level=1)).to_be_visible()

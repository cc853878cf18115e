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

    def row(self, app: str) -> Locator:
        """The row of an app's connection."""
        return self.page.get_by_role("row").filter(has=self.page.get_by_role("rowheader", name=app))

    def label(self, app: str) -> str:
        """What an app's connection is called."""
        return self.row(app).get_by_role("cell").nth(1).inner_text().partition("\n")[0]  # then what it may do

    def press_on(self, act: str, app: str) -> None:
        """One of the acts of a row."""
        name = re.compile(f"^{act} ")
        row = self.row(app)
        row.get_by_role("button", name=name).or_(row.get_by_role("link", name=name)).click()

    def rename(self, app: str, to: str) -> None:
        self.press_on("Rename", app)
        self.page.get_by_label("Connection Name").fill(to)
        self.page.get_by_role("button", name="Save").click()

    def revoke(self, app: str) -> None:
        name = self.label(app)
        self.press_on("Revoke", app)
        expect(self.page.get_by_role("heading", name=f"Revoke {name}?")).to_be_visible()
        self.page.get_by_role("button", name="Revoke").click()

    def show_activity(self) -> None:
        self.page.get_by_role("link", name="All activity").click()
        expect(self.page.get_by_role("heading", name="Activity", level=1)).to_be_visible()

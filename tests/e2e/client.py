"""What a client does: open the mail's link, press a button, decide at the provider, come back."""

import re
from collections.abc import Collection

from playwright.sync_api import Locator, Page, expect


class Client:
    """A client in one browser."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def open(self, link: str) -> None:
        self.page.goto(link)

    def card(self, app: str) -> Locator:
        return self.page.locator("li.gh-app").filter(has=self.page.get_by_role("heading", name=app))

    def connect(
        self, app: str, email: str, *, grant: Collection[str] | None = None, button: str = "", **fields: str
    ) -> None:
        """Connect an app as this account, ticking all that is asked or only `grant`."""
        self.press(app, button or f"Connect {app}", **fields)
        self.decide(email, grant=grant)

    def press(self, app: str, button: str, **fields: str) -> None:
        card = self.card(app)
        for name, value in fields.items():
            card.locator(f"input[name={name}]").fill(value)
        card.get_by_role("button", name=button).click()

    def decide(self, email: str, *, grant: Collection[str] | None = None, answer: str = "Allow") -> None:
        """Sign in at the provider if it asks, and answer its consent screen."""
        allow = self.page.get_by_role("button", name="Allow")
        account = self.page.get_by_role("button", name=re.compile(re.escape(email) + r"\)?$"))
        expect(allow.or_(account).first).to_be_visible()
        if account.is_visible():
            account.click()
        expect(allow).to_be_visible()
        if grant is not None:
            for box in self.page.locator("input[name=grant]").all():
                box.set_checked(box.get_attribute("value") in grant)
        self.page.get_by_role("button", name=answer).click()

    def decline(self, app: str, reason: str) -> None:
        card = self.card(app)
        card.get_by_text("I can't connect this app").click()
        card.get_by_label("What stands in the way?").fill(reason)
        card.get_by_role("button", name=f"Decline {app}").click()

    def sees(self, done: int, total: int) -> None:
        expect(
            self.page.locator("#intake, main").first.get_by_text(f"{done} of {total} connected").first
        ).to_be_visible()

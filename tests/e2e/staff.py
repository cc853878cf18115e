"""What a member of staff does in the panel, said as they would say it."""

from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import OWNER, PASSWORD


class Panel:
    """One person's panel in one browser tab."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url

    def sign_in(self, email: str = OWNER, password: str = PASSWORD) -> None:
        self.page.goto(f"{self.url}/panel/")
        self.page.get_by_label("E-mail address").fill(email)
        self.page.get_by_label("Password", exact=True).fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("link", name="Home")).to_be_visible()

    def make_workspace(self, name: str) -> None:
        self.page.goto(f"{self.url}/panel/")
        self.page.get_by_role("button", name="New workspace").first.click()
        self.dialog.get_by_label("Name").fill(name)
        self.dialog.get_by_role("button").last.click()
        expect(self.page.get_by_role("heading", name=name, level=1)).to_be_visible()

    def add_member(self, name: str, email: str) -> None:
        self.page.get_by_role("button", name="Add member").first.click()
        self.dialog.get_by_label("Name").fill(name)
        self.dialog.get_by_label("E-mail").fill(email)
        self.dialog.get_by_role("button", name="Add").last.click()
        expect(self.page.get_by_role("rowheader", name=name)).to_be_visible()

    def make_workflow(self, name: str) -> None:
        self.page.get_by_role("button", name="New workflow").first.click()
        self.dialog.get_by_label("Name").fill(name)
        self.dialog.get_by_role("button").last.click()
        expect(self.page.get_by_role("heading", name=name, level=1)).to_be_visible()

    def add_node(self, app: str, action: str) -> None:
        before = self.page.locator(".gh-node").count()
        self.page.locator("#add-node").click()
        self.dialog.get_by_placeholder("Search apps...").fill(app)
        self.dialog.get_by_role("button", name=app).click()
        self.dialog.locator("select[name=action]").select_option(label=action)
        self.dialog.get_by_role("button", name="Add node").click()
        expect(self.page.locator(".gh-node")).to_have_count(before + 1)

    def queue(self, app: str, recipient: str, *, note: str = "", channel: str) -> None:
        """Let the client provide an app's connection, and ask this address for it."""
        node = self.node(app)
        node.get_by_label("Client provides the connection").check()
        node.get_by_role("button", name="Add to client request queue").click()
        expect(self.dialog.get_by_role("heading", name=f"Add {app} request to queue")).to_be_visible()
        self.dialog.get_by_label("Recipient email").fill(recipient)
        expect(self.dialog.get_by_text(channel)).to_be_visible()
        self.dialog.get_by_label("Note to client").fill(note)
        self.dialog.get_by_role("button", name="Add to queue").click()
        expect(self.dialog).to_be_hidden()
        expect(self.request(recipient, app)).to_contain_text("Queued (not yet sent)")

    def send(self) -> None:
        self.page.get_by_role("button", name="Send to client").click()
        expect(self.page.get_by_text("Sent requests to client")).to_be_visible()

    def node(self, app: str) -> Locator:
        return self.page.locator(".gh-node").filter(has=self.page.get_by_role("heading", name=app))

    def group(self, recipient: str) -> Locator:
        return self.page.locator(".gh-recipient").filter(has=self.page.get_by_role("heading", name=recipient))

    def request(self, recipient: str, app: str) -> Locator:
        return self.group(recipient).locator(".gh-request").filter(has_text=app)

    @property
    def dialog(self) -> Locator:
        return self.page.locator("#dialog")

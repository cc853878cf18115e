"""By keyboard alone: whoever looks after connections, in the portal and in the panel, needs no mouse."""

import re
from email.message import EmailMessage

from playwright.sync_api import BrowserContext, Page, expect

from app.database import transaction
from app.models import Health
from app.services import sending
from tests import factories
from tests.e2e import in_process
from tests.e2e.client import Client
from tests.e2e.in_process import DANA, House
from tests.e2e.test_live import tab_to
from tests.support.provider import Provider

_, home, house, office, served = in_process.fixtures
config, catalog = in_process.with_own_apps

NORTHDESK = ("northdesk", "find_ticket")


def code_in(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    (code,) = re.findall(r"^\s*(\d{6})\s*$", part.get_content(), re.MULTILINE)
    return code


def sign_in(page: Page, house: House) -> None:
    """Nothing but typing and Enter: the focus is where one types."""
    page.goto(f"{house.url}/portal/login")
    expect(page.get_by_label("E-mail address")).to_be_focused()
    page.keyboard.type(DANA)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Check your e-mail")).to_be_visible()
    expect(page.get_by_label("Six-digit code")).to_be_focused()
    page.keyboard.type(code_in(house.deliver()[0]))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Harbor Dental")).to_be_visible()


def test_a_member_signs_in_keeps_an_account_renames_and_revokes_it(
    house: House, home: BrowserContext, provider: Provider
):
    factories.make_member(house.workspace, DANA)
    workflow = house.workflow(NORTHDESK)
    asked = factories.make_request(workflow.slots[0], house.owner, recipient=DANA)
    with transaction():
        asked.expected_account = "office@client.example"
    sending.send(workflow, by=house.owner)
    page = home.new_page()
    sign_in(page, house)

    tab_to(page, page.get_by_role("link", name="Open New patient intake"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="New patient intake")).to_be_visible()
    tab_to(page, page.get_by_role("button", name="Connect Northdesk"))
    page.keyboard.press("Enter")
    Client(page).decide(provider.people["ann"].email)
    keep = page.get_by_role("button", name="Use this account anyway")
    expect(keep).to_be_visible()
    tab_to(page, keep)
    page.keyboard.press("Enter")
    expect(page.get_by_text("The app is connected.")).to_be_visible()

    tab_to(page, page.get_by_role("link", name="Back to your connections"))
    page.keyboard.press("Enter")
    row = page.get_by_role("row").filter(has_text="Northdesk")
    expect(row).to_contain_text("Connected and working.")
    tab_to(page, row.get_by_role("link", name=re.compile("^Rename ")))
    page.keyboard.press("Enter")
    expect(page.get_by_label("Connection Name")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("Front desk tickets")
    page.keyboard.press("Enter")
    expect(row).to_contain_text("Front desk tickets")

    tab_to(page, row.get_by_role("link", name=re.compile("^Revoke ")))
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Keep it")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Revoke")).to_be_focused()
    page.keyboard.press("Enter")
    expect(row).to_contain_text("Revoked. Workflows that depend on it are paused until you reconnect.")


def test_staff_find_a_connection_rename_it_look_at_a_request_and_revoke_it(house: House, office: BrowserContext):
    held = factories.make_connection(house.workspace, "northdesk", name="Front desk", health=Health.ERROR)
    factories.make_connection(house.workspace, "postwave", name="Newsletter")
    workflow = house.workflow(NORTHDESK)
    with transaction():
        workflow.slots[0].connection_id, held.owner_email = held.id, DANA
    page = office.new_page()
    page.goto(f"{house.url}/panel/")
    dialog, rows = page.locator("#dialog"), page.locator("#connections tbody tr")

    tab_to(page, page.get_by_role("link", name="Connections", exact=True))
    page.keyboard.press("Enter")
    expect(rows).to_have_count(2)
    tab_to(page, page.get_by_label("Search account, name, client"))
    page.keyboard.type("front")
    expect(rows).to_have_count(1)
    tab_to(page, rows.get_by_role("link", name="Front desk"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Front desk", level=1)).to_be_visible()

    tab_to(page, page.locator("#rename"))
    page.keyboard.press("Enter")
    expect(dialog.get_by_label("Connection Name")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("Reception")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Reception", level=1)).to_be_visible()

    ask = page.locator("#mend")
    tab_to(page, ask)
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Add to queue")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(ask).to_be_focused()

    tab_to(page, page.locator("#revoke"))
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
    tab_to(page, dialog.get_by_role("button", name="Revoke"))
    page.keyboard.press("Enter")
    expect(page.get_by_text("Revoked.").first).to_be_visible()
    expect(page.locator("#revoke")).to_have_count(0)

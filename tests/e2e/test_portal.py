"""The portal, end to end: a member signs in, connects what is asked of them, looks after it, and takes it back."""

import json

import pytest
from playwright.sync_api import expect

from tests.e2e.client import Client
from tests.e2e.conftest import Installation
from tests.e2e.portal import Portal
from tests.e2e.staff import Panel
from tests.e2e.test_main_job import DANA, LINK, PORTAL, PRIYA, link_in, stored_tokens
from tests.support.browser import WITHOUT_JAVASCRIPT, visitor
from tests.support.servers import wait_until

WORKFLOW = "New patient intake"


def ask(panel: Panel, *members: str) -> None:
    """Two apps of a member, and one of somebody who is none."""
    panel.sign_in()
    panel.make_workspace("Harbor Dental")
    for email in members:
        panel.add_member(email.partition(".")[0].title(), email)
    panel.make_workflow(WORKFLOW)
    panel.add_node("Northdesk", "Find ticket")
    panel.add_node("Postwave", "Send campaign")
    panel.add_node("Ledgerly", "Find invoice")
    panel.queue("Northdesk", DANA, channel=PORTAL)
    panel.queue("Postwave", DANA, channel=PORTAL)
    panel.queue("Ledgerly", PRIYA, channel=LINK)
    panel.send()


@pytest.mark.both_databases
def test_a_member_connects_and_looks_after_their_accounts(installation: Installation, browser, database_kind):
    ann = installation.provider.people["ann"]
    inbox = installation.smtp.inbox
    with visitor(browser) as office, visitor(browser) as home:
        panel = Panel(office.new_page(), installation.url)
        ask(panel, DANA)

        dana = Portal(home.new_page(), installation.url, inbox)
        dana.sign_in(DANA)
        expect(dana.page.get_by_text("2 apps awaiting connection")).to_be_visible()
        expect(dana.page.get_by_text("No connections yet")).to_be_visible()
        dana.open_workflow(WORKFLOW)
        dana.sees(0, 2)
        dana.connect("Northdesk", ann.email)
        dana.sees(1, 2)
        expect(panel.request(DANA, "Northdesk")).to_contain_text(f"Connected as {ann.email}")
        expect(panel.group(DANA)).to_contain_text("1 of 2 connected")
        dana.connect("Postwave", ann.email)
        dana.sees(2, 2)
        expect(dana.page.get_by_text("All 2 apps are connected.")).to_be_visible()
        expect(dana.page.get_by_text("still waits for an account")).to_be_visible()
        expect(panel.group(DANA)).to_contain_text("2 of 2 connected")

        dana.show_connections()
        expect(dana.page.get_by_text("No outstanding connection requests")).to_be_visible()
        for app in ("Northdesk", "Postwave"):
            expect(dana.row(app)).to_contain_text("Connected and working.")
        assert installation.provider.count()["token.refresh_token"] == 0
        dana.press_on("Refresh", "Northdesk")
        expect(dana.page.get_by_text("is refreshed")).to_be_visible()
        assert installation.provider.count()["token.refresh_token"] == 1
        dana.rename("Northdesk", "Front desk tickets")
        expect(dana.row("Northdesk")).to_contain_text("Front desk tickets")
        tokens = stored_tokens(installation)
        assert installation.provider.call_api(tokens["postwave"])[0] == 200
        dana.revoke("Postwave")
        expect(dana.row("Postwave")).to_contain_text(
            "Revoked. Workflows that depend on it are paused until you reconnect. Revoked at Postwave"
        )
        assert installation.provider.call_api(tokens["postwave"])[0] == 401
        assert installation.provider.call_api(tokens["northdesk"])[0] == 200
        expect(panel.request(DANA, "Postwave")).to_contain_text("Revoked")

        dana.page.reload()
        dana.show_activity()
        told = dana.page.get_by_role("listitem")
        expect(told.filter(has_text="Front desk tickets")).to_have_count(3)
        for act in ("connected by you", "refreshed by you", "renamed by you", "revoked by you"):
            expect(told.filter(has_text=act).first).to_be_visible()


@pytest.mark.both_databases
def test_somebody_who_was_asked_by_link_finds_their_own_connections_and_nothing_else(
    installation: Installation, browser, database_kind
):
    ann = installation.provider.people["ann"]
    inbox = installation.smtp.inbox
    with visitor(browser) as office, visitor(browser) as home, visitor(browser) as elsewhere:
        panel = Panel(office.new_page(), installation.url)
        ask(panel, DANA)
        client = Client(home.new_page())
        wait_until(lambda: inbox.to(PRIYA))
        client.open(link_in(inbox.to(PRIYA)[0]))
        client.connect("Ledgerly", ann.email)
        expect(client.page.get_by_role("heading", name="The app is connected")).to_be_visible()

        priya = Portal(home.new_page(), installation.url, inbox)
        priya.sign_in(PRIYA)
        expect(priya.row("Ledgerly")).to_contain_text("Connected and working.")
        expect(priya.page.get_by_role("row")).to_have_count(2)
        expect(priya.page.get_by_text("No outstanding connection requests")).to_be_visible()
        expect(priya.page.get_by_text("connected by you")).to_be_visible()
        for theirs in ("Northdesk", "Postwave", DANA):
            expect(priya.page.locator("main")).not_to_contain_text(theirs)

        dana = Portal(elsewhere.new_page(), installation.url, inbox)
        dana.sign_in(DANA)
        expect(dana.page.get_by_text("2 apps awaiting connection")).to_be_visible()
        expect(dana.page.locator("main")).not_to_contain_text("Ledgerly")


@pytest.mark.both_databases
def test_members_of_another_workspace_and_of_another_agency_see_none_of_it(
    installation: Installation, browser, database_kind
):
    ann = installation.provider.people["ann"]
    inbox = installation.smtp.inbox
    tess, otto, olu = "tess@bluefin-logistics.example", "otto@kestrelcoffee.example", "olu@southgate.example"
    southgate = json.loads(
        installation.flask(
            *("agency", "create", "--name", "Southgate Works", "--owner-email", olu), given="a long walk by the sea\n"
        )
    )["agency"]["slug"]
    with visitor(browser) as office, visitor(browser) as southgate_office, visitor(browser) as home:
        panel = Panel(office.new_page(), installation.url)
        ask(panel, DANA)
        panel.make_workspace("Bluefin Logistics")
        panel.add_member("Tess", tess)
        others = Panel(southgate_office.new_page(), installation.url)
        others.sign_in(olu, "a long walk by the sea")
        others.make_workspace("Kestrel Coffee")
        others.add_member("Otto", otto)
        dana = Portal(home.new_page(), installation.url, inbox)
        dana.sign_in(DANA)
        dana.open_workflow(WORKFLOW)
        page = dana.page.url
        dana.connect("Northdesk", ann.email)
        dana.sees(1, 2)

        for email, door in ((tess, "/portal/connections"), (otto, f"/portal/login/{southgate}")):
            with visitor(browser) as elsewhere:
                other = Portal(elsewhere.new_page(), installation.url, inbox)
                other.sign_in(email, at=door)
                expect(other.page.get_by_text("No connections yet")).to_be_visible()
                expect(other.page.get_by_text("No outstanding connection requests")).to_be_visible()
                expect(other.page.get_by_text("Nothing has happened yet")).to_be_visible()
                other.page.goto(page.partition("#")[0])
                expect(other.page.get_by_role("heading", name="There is nothing here")).to_be_visible()


def test_it_all_goes_without_javascript(installation: Installation, browser, database_kind):
    ann = installation.provider.people["ann"]
    inbox = installation.smtp.inbox
    with visitor(browser) as office, visitor(browser, **WITHOUT_JAVASCRIPT) as home:
        panel = Panel(office.new_page(), installation.url)
        ask(panel, DANA)
        dana = Portal(home.new_page(), installation.url, inbox)
        dana.sign_in(DANA)
        dana.open_workflow(WORKFLOW)
        dana.decline("Postwave", "We do not use it.")
        expect(dana.card("Postwave")).to_contain_text("Declined")
        dana.connect("Northdesk", ann.email)
        dana.sees(1, 2)

        dana.show_connections()
        dana.press_on("Refresh", "Northdesk")
        expect(dana.page.get_by_text("is refreshed")).to_be_visible()
        dana.rename("Northdesk", "Front desk tickets")
        dana.revoke("Northdesk")
        expect(dana.page.get_by_text("Front desk tickets is revoked")).to_be_visible()
        expect(dana.row("Northdesk")).to_contain_text("Revoked. Workflows that depend on it are paused")


@pytest.mark.parametrize("script", [True, False])
def test_reconnecting_says_what_came_of_it_where_one_sees_it(
    installation: Installation, browser, database_kind, script
):
    ann, ben = (installation.provider.people[name].email for name in ("ann", "ben"))
    with visitor(browser) as office, visitor(browser, **({} if script else WITHOUT_JAVASCRIPT)) as home:
        ask(Panel(office.new_page(), installation.url), DANA)
        dana = Portal(home.new_page(), installation.url, installation.smtp.inbox)
        dana.page.set_viewport_size({"width": 390, "height": 500})
        dana.sign_in(DANA)
        dana.open_workflow(WORKFLOW)
        dana.connect("Northdesk", ann)
        dana.sees(1, 2)
        dana.show_connections()

        for email, answer, said in (
            (ann, "Deny", "Access was not approved at Northdesk."),
            (ben, "Allow", "and this connection is of"),
            (ann, "Allow", "Northdesk is connected again"),
        ):
            home.clear_cookies(name="provider_session")
            dana.press_on("Reconnect", "Northdesk")
            dana.decide(email, answer=answer)
            expect(dana.page.get_by_text(said)).to_be_in_viewport()

        dana.rename("Northdesk", "Front desk tickets")
        expect(dana.page.get_by_text("Renamed to Front desk tickets")).to_be_in_viewport()
        dana.revoke("Northdesk")
        expect(dana.page.get_by_text("Front desk tickets is revoked")).to_be_in_viewport()


def test_the_keyboard_alone_will_do_and_what_is_pressed_stays_in_place(
    installation: Installation, browser, database_kind
):
    ann = installation.provider.people["ann"]
    inbox = installation.smtp.inbox
    with visitor(browser) as office, visitor(browser) as home:
        panel = Panel(office.new_page(), installation.url)
        ask(panel, DANA)
        dana = Portal(home.new_page(), installation.url, inbox)
        dana.sign_in(DANA)
        dana.open_workflow(WORKFLOW)
        dana.connect("Northdesk", ann.email)
        dana.sees(1, 2)
        dana.show_connections()
        dana.page.set_viewport_size({"width": 900, "height": 400})
        refresh = dana.row("Northdesk").get_by_role("button", name="Refresh")
        refresh.scroll_into_view_if_needed()
        refresh.focus()
        before = dana.page.evaluate("scrollY")

        dana.page.keyboard.press("Enter")

        expect(dana.page.get_by_text("is refreshed")).to_be_visible()
        expect(refresh).to_be_focused()
        assert dana.page.evaluate("scrollY") == before
        dana.page.keyboard.press("Tab")
        dana.page.keyboard.press("Tab")
        dana.page.keyboard.press("Tab")
        dana.page.keyboard.press("Enter")
        expect(dana.page.get_by_role("heading", name="Revoke")).to_be_visible()
        expect(dana.page.get_by_role("link", name="Keep it")).to_be_focused()
        dana.page.keyboard.press("Enter")
        expect(dana.row("Northdesk")).to_contain_text("Connected and working.")

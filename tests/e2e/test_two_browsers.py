"""A link and its flows in several browsers and tabs: only the one that began a flow can finish it."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

import httpx2
import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from app.extensions import db
from app.models import Connection, ConnectionRequest, Flow, FlowStatus, Secret, Status
from app.services import secrets
from tests import factories
from tests.e2e import in_process
from tests.e2e.client import Client
from tests.e2e.in_process import House
from tests.support.browser import visitor
from tests.support.clock import Clock
from tests.support.provider import Person, Provider
from tests.support.servers import Served, wait_until

_, home, house, _, served = in_process.fixtures
config, catalog = in_process.with_own_apps

NORTHDESK, POSTWAVE = ("northdesk", "find_ticket"), ("postwave", "send_campaign")
OPENINGS = 50
A_MINUTE = 30  # openings that one address has


@pytest.fixture
def ann(provider: Provider) -> Person:
    return provider.people["ann"]


@pytest.fixture
def asked(house: House) -> list[ConnectionRequest]:
    """Northdesk and Postwave, sent to Priya."""
    return factories.make_sent(house.workflow(NORTHDESK, POSTWAVE), house.owner)


def at_the_consent_screen(page: Page, app: str, email: str) -> Client:
    """Press “Connect” and sign in at the provider, but do not decide yet."""
    client = Client(page)
    client.press(app, f"Connect {app}")
    account, allow = page.get_by_role("button", name=email), page.get_by_role("button", name="Allow")
    expect(allow.or_(account).first).to_be_visible()
    if account.is_visible():
        account.click()
    expect(allow).to_be_visible()
    return client


def lost_callback(page: Page, served: Served) -> str:
    """Approve while the callback can't be reached; returns the address that the provider sends the browser back to."""
    lost: list[str] = []
    application = served.app
    assert application is not None

    def unplugged(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith("/oauth/callback/"):
            lost.append(f"{served.url}{environ['PATH_INFO']}?{environ['QUERY_STRING']}")
            start_response("503 Service Unavailable", [("Content-Length", "0")])
            return []
        return application(environ, start_response)

    served.app = unplugged
    page.get_by_role("button", name="Allow").click()
    wait_until(lambda: bool(lost))
    served.app = application
    return lost[0]


def read(query):
    """Rows as they are now."""
    db.session.rollback()
    db.session.expire_all()
    return db.session.scalars(query).all()


def test_a_flow_can_only_be_finished_in_the_browser_that_began_it(house, served, asked, ann, provider, browser, home):
    link = house.link_of(asked[0])
    page = home.new_page()
    page.goto(link)
    at_the_consent_screen(page, "Northdesk", ann.email)
    callback = lost_callback(page, served)
    with visitor(browser) as elsewhere, visitor(browser) as nowhere:
        thief, stranger = elsewhere.new_page(), nowhere.new_page()
        thief.goto(link)  # who has the link, and so a session of their own
        expect(thief.get_by_role("heading", level=1)).to_contain_text("needs you to connect 2 apps")
        for other in (thief, stranger):
            answer = other.goto(callback)
            assert answer is not None
            assert answer.status == 404
            expect(other.get_by_role("heading")).to_have_text("This link can't be opened")
        thief.goto(link)
        Client(thief).sees(0, 2)
    assert not provider.calls("token")
    assert not read(select(Connection))
    assert [flow.status for flow in read(select(Flow))] == [FlowStatus.STARTED]

    page.goto(callback)

    Client(page).sees(1, 2)
    (connection,) = read(select(Connection))
    assert (connection.app_key, connection.account) == ("northdesk", ann.email)


def test_a_link_opened_fifty_times_by_scanners_still_works(house, asked, ann, home, clock: Clock):
    link = house.link_of(asked[0])
    for number in range(OPENINGS):
        if number % (A_MINUTE - 5) == 0:
            clock.forward(minutes=1)
        follows = number % 5 == 0
        answer = httpx2.request("HEAD" if number % 2 else "GET", link, follow_redirects=follows)
        assert answer.status_code == (200 if follows else 303)
    assert [(row.status, row.transition) for row in read(select(ConnectionRequest))] == [(Status.PENDING, 1)] * 2
    assert not read(select(Flow))

    page = home.new_page()
    page.goto(link)
    at_the_consent_screen(page, "Northdesk", ann.email)
    page.get_by_role("button", name="Allow").click()

    Client(page).sees(1, 2)


def test_two_apps_in_two_tabs_both_finish(house, asked, ann, home):
    first, second = home.new_page(), home.new_page()
    for page in (first, second):
        page.goto(house.link_of(asked[0]))
    at_the_consent_screen(first, "Northdesk", ann.email)
    at_the_consent_screen(second, "Postwave", ann.email)

    second.get_by_role("button", name="Allow").click()
    Client(second).sees(1, 2)
    first.get_by_role("button", name="Allow").click()

    expect(first.get_by_role("heading", name="All 2 apps are connected")).to_be_visible()
    expect(second.get_by_role("heading", name="All 2 apps are connected")).to_be_visible()
    assert sorted(row.app_key for row in read(select(Connection))) == ["northdesk", "postwave"]
    assert {flow.status for flow in read(select(Flow))} == {FlowStatus.DONE}
    assert not home.cookies(house.url)[1:], "the flows' cookies are gone"


def test_the_same_app_in_two_tabs_makes_one_connection_with_the_later_grant(house, asked, ann, home, provider):
    first, second = home.new_page(), home.new_page()
    for page in (first, second):
        page.goto(house.link_of(asked[0]))
        at_the_consent_screen(page, "Northdesk", ann.email)

    second.get_by_role("button", name="Allow").click()
    Client(second).sees(1, 2)
    (connection,) = read(select(Connection))
    earlier = secrets.reveal(connection)["access_token"].reveal()
    first.get_by_role("button", name="Allow").click()
    Client(first).sees(1, 2)

    (connection,) = read(select(Connection))
    later = secrets.reveal(connection)["access_token"].reveal()
    assert later != earlier
    assert provider.call_api(later)[0] == 200
    assert [secret.version for secret in read(select(Secret))] == [2]
    assert [row.connection_id for row in read(select(ConnectionRequest).order_by(ConnectionRequest.id))] == [
        connection.id,
        None,
    ]

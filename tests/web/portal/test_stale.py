"""A tab of the portal that is out of date: whatever it still asks for, its reader is shown how things stand, never an error page (R16)."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from sqlalchemy import delete, select

from app.database import transaction
from app.extensions import db
from app.models import Health, PortalSession
from app.services import connection_requests, connections, handovers, members, revocations, sending
from app.services.audit import Actor
from app.tenancy import across_tenants
from tests import factories
from tests.services.settling import settle
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import HTMX
from tests.web.portal.conftest import DANA, Client

SAM = "sam@harbordental.example"
STEPS = (("slack", "send_channel_message"), ("hubspot", "create_contact"))
LIST, PLACES, SESSIONS = "/portal/connections", "/portal/workspaces", "/portal/sessions"
ONE, FLOW = LIST + "/{held}", LIST + "/workflows/{flow}"
CARD = FLOW + "/requests/{asked}"


@pytest.fixture
def world(app, agency, workspace, owner):
    """Dana, who is asked for two apps, owns a connection, is a member of two workspaces and signed in with two browsers."""
    factories.make_member(workspace, DANA)
    second = factories.make_workspace(agency, "Tidewater Physio")
    factories.make_member(second, DANA)
    flow = factories.make_workflow(workspace, owner, *STEPS)
    asked = factories.make_sent(flow, owner, recipient=DANA)
    held = factories.make_connection(workspace, "typeform", name="Front desk", owner_email=DANA)
    factories.signed_in_client(app, DANA, workspace)
    latest = select(PortalSession.public_id).order_by(PortalSession.id.desc()).limit(1)
    return SimpleNamespace(
        agency=agency,
        owner=owner,
        space=workspace,
        second=second,
        flow=flow,
        asked=asked,
        held=held,
        session=db.session.scalars(latest).one(),
        dana=Client(app, factories.signed_in_client(app, DANA, workspace)),
    )


def delete_connection(world):
    revocations.delete(world.agency, world.held.public_id, by=world.owner, confirmed=True)


def revoke(world):
    revocations.revoke(world.held, by=Actor.client(DANA))


def rename(world):
    connections.rename(world.held, "Reception", by=Actor.client(DANA))


def break_(world):
    with transaction():
        world.held.health, world.held.health_reason = Health.ERROR, "grant_ended"


def cancel(world):
    connection_requests.cancel(world.agency, world.asked[0].public_id, by=world.owner)


def cancel_all(world):
    for each in world.asked:
        connection_requests.cancel(world.agency, each.public_id, by=world.owner)


def give_to_sam(world):
    sending.change_recipient(world.agency, world.asked[0].public_id, recipient=SAM, by=world.owner)


def give_all_to_sam(world):
    for each in world.asked:
        sending.change_recipient(world.agency, each.public_id, recipient=SAM, by=world.owner)


def decline(world):
    connection_requests.decline(world.asked[0], reason="In another tab.")


def connect(world):
    held = factories.make_connection(world.space, "slack", scopes=["chat:write", "channels:read"], owner_email=DANA)
    settle(world.asked[0], held)


def hand_over(world):
    handovers.ask(world.asked[0].bundle, world.asked[0].public_id, SAM)


def leave_second(world):
    (member,) = members.page(world.second).items
    members.remove(world.second, member.public_id, by=world.owner)


def leave(world):
    """Removed from the workspace that is open, which ends the session there."""
    (member,) = members.page(world.space).items
    members.remove(world.space, member.public_id, by=world.owner)
    delete_connection(world)


def end_other(world):
    with across_tenants("a test's setting"), transaction() as session:
        session.execute(delete(PortalSession).where(PortalSession.public_id == world.session))


def sign_out_elsewhere(world):
    """With “Sign out everywhere” in another browser."""
    with transaction() as session:
        session.execute(delete(PortalSession).where(PortalSession.email == DANA))


def nothing(_world):
    """The same form sent again, after its first answer was lost."""


@dataclass(frozen=True)
class Stale:
    """What a form asks for, and what somebody did since its page was read; `leads` begins the address of where one lands."""

    endpoint: str
    path: str
    since: Callable[[SimpleNamespace], object]
    page: str = LIST
    leads: str = LIST
    data: tuple[tuple[str, str], ...] = ()

    def __str__(self):
        return f"{self.endpoint} after {self.since.__name__}"


ON_CARDS = {
    "start_flow": "start",
    "decline_request": "decline",
    "use_account": "use",
    "keep_account": "keep",
    "hand_over": "hand-over",
    "take_back": "take-back",
}
SINCE = (cancel, cancel_all, give_to_sam, give_all_to_sam, decline, connect, hand_over, leave, sign_out_elsewhere)
GIVEN = (("connection", "a" * 20), ("reason", "Not ours."), (handovers.FIELD, SAM))
NAME = (("name", "Desk"),)
CASES = [
    *[Stale("reconnect", f"{ONE}/reconnect", since) for since in (delete_connection, leave, sign_out_elsewhere)],
    *[
        Stale("rename_connection", f"{ONE}/rename", since, f"{ONE}/rename", LIST, NAME)
        for since in (delete_connection, rename, revoke, leave, sign_out_elsewhere)
    ],
    *[
        Stale("revoke_connection", f"{ONE}/revoke", since, f"{ONE}/revoke")
        for since in (delete_connection, revoke, break_, leave, sign_out_elsewhere)
    ],
    *[
        Stale("refresh_connection", f"{ONE}/refresh", since)
        for since in (delete_connection, revoke, break_, leave, sign_out_elsewhere)
    ],
    *[
        Stale(endpoint, f"{CARD}/{act}", since, FLOW, LIST, GIVEN)
        for endpoint, act in ON_CARDS.items()
        for since in SINCE
    ],
    *[
        Stale("end_session", SESSIONS + "/{session}/end", since, SESSIONS, SESSIONS)
        for since in (end_other, sign_out_elsewhere)
    ],
    *[Stale("pick_workspace", PLACES + "/{second}", since, PLACES, PLACES) for since in (leave_second,)],
    Stale("sign_out_everywhere", f"{SESSIONS}/end-all", sign_out_elsewhere, SESSIONS),
    Stale("sign_out", "/portal/sign-out", sign_out_elsewhere),
]
# What is asked of somebody who is not signed in says on its own page what is over: test_sign_in.py and test_sign_in_buttons.py.
AT_THE_DOOR = {"ask_for_code", "enter_code", "press_button"}


def test_every_form_of_the_portal_is_here(app):
    posts = {
        rule.endpoint.removeprefix("portal.")
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("portal.") and "POST" in rule.methods
    }

    assert {each.endpoint for each in CASES} | AT_THE_DOOR == posts


@pytest.mark.parametrize(("stale", "htmx"), [(case, number % 2 > 0) for number, case in enumerate(CASES)], ids=str)
def test_a_form_that_is_out_of_date_leads_to_how_things_stand(world, stale, htmx):
    names = {
        "held": world.held.public_id,
        "flow": world.flow.public_id,
        "asked": world.asked[0].public_id,
        "session": world.session,
        "second": world.second.public_id,
    }
    page, path, dana = stale.page.format(**names), stale.path.format(**names), world.dana
    assert dana.get(page).status_code == 200
    stale.since(world)
    came = {"HX-Current-URL" if htmx else "Referer": f"http://localhost{page}"}

    answer = dana.post(path, headers=came | (HTMX if htmx else {}), **dict(stale.data))

    if answer.status_code == 422:
        assert "<form" in answer.text, "a form that says what does not fit"
        return
    assert answer.status_code in (200, 303), answer.text[:500]
    to = answer.headers.get("HX-Redirect") or answer.headers.get("Location")
    if to is None or not to.startswith("/"):
        return  # how things stand, or on to the provider
    door = stale.since in (leave, sign_out_elsewhere)
    assert to.startswith("/portal/login" if door else (stale.leads, PLACES)), to
    landed = dana.get(urlsplit(to).path)
    while landed.status_code == 303:
        landed = dana.get(urlsplit(landed.headers["Location"]).path)
    assert landed.status_code == 200


def test_a_page_of_a_workflow_that_asks_nothing_any_more_leads_on_by_itself(world):
    """Its poll does, as nothing else happens in a tab that is left open."""
    page = FLOW.format(flow=world.flow.public_id)
    poll = {"X-Poll": "1", "HX-Current-URL": f"http://localhost{page}"} | HTMX
    assert world.dana.get(f"{page}/apps", **poll).status_code == 200
    give_all_to_sam(world)

    assert world.dana.get(f"{page}/apps", **poll).headers["HX-Redirect"] == LIST
    assert world.dana.get(page).status_code == 404


def test_without_a_page_to_go_back_to_it_is_an_error(world):
    delete_connection(world)
    path = f"{LIST}/{world.held.public_id}/revoke"

    assert world.dana.post(path).status_code == 404
    assert world.dana.post(path, headers={"Referer": "https://elsewhere.example/"}).status_code == 404

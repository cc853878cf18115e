"""Who gets into the portal, where they land, and what of it they reach."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, select, update

from app.database import transaction
from app.extensions import db
from app.models import AuditEvent, Connection, PortalSession
from app.services import members, portal_places, portal_sessions, portal_visitors
from app.tenancy import across_tenants
from tests import factories
from tests.support.statements import counted
from tests.web.portal import coming_in
from tests.web.portal.coming_in import HOME, is_in, session
from tests.web.portal.conftest import DANA, Client

pytestmark = pytest.mark.both_databases
second, signed_in = coming_in.fixtures


# ── Who ─────────────────────────────────────────────────────────────────────


def test_a_member_gets_in(signed_in):
    page = signed_in.get(HOME)

    assert page.status_code == 200
    assert "Dana Reyes, " in page.text
    assert "Harbor Dental" in page.text
    assert "Northwind Studio" in page.text


def test_a_stranger_is_asked_to_sign_in(anybody, app, workspace):
    assert anybody.get(HOME).headers["Location"] == "/portal/login?to=show_connections"
    stranger = Client(app, factories.signed_in_client(app, "stranger@elsewhere.example", workspace))

    assert stranger.get(HOME).headers["Location"] == "/portal/login"
    assert db.session.scalars(select(PortalSession)).all() == []


def test_the_session_of_staff_is_none_here(app, owner):
    assert factories.signed_in(app, owner).get(HOME).status_code == 303


def test_htmx_is_sent_to_the_door_with_the_whole_page(anybody):
    answer = anybody.get(HOME, **{"HX-Request": "true", "HX-Current-URL": f"http://localhost{HOME}"})

    assert answer.headers["HX-Redirect"] == "/portal/login?to=show_connections"


def test_a_form_of_one_who_was_signed_out_meanwhile_leads_back_to_its_page(signed_in):
    signed_in.get("/portal/sessions")
    with across_tenants("a test's setting"), transaction() as session:
        session.execute(delete(PortalSession))

    answer = signed_in.post("/portal/sessions/end-all", headers={"Referer": "http://localhost/portal/sessions"})

    assert answer.headers["Location"].endswith("?to=show_sessions")


def test_who_owns_a_connection_gets_in_for_as_long_as_there_is_something_to_read_of_it(app, workspace, clock):
    net_new = "priya@client.example"
    connection = factories.make_connection(workspace, owner_email=net_new)
    client = Client(app, factories.signed_in_client(app, net_new, workspace))
    assert is_in(client)

    for days, lets_in in ((0, True), (29, True), (30, False)):
        deleted_at = clock.now - timedelta(days=days)
        with transaction() as session:
            session.execute(update(Connection).where(Connection.id == connection.id).values(deleted_at=deleted_at))

        assert is_in(client) is lets_in
        with across_tenants("a test's eye"):
            found = portal_places.few(net_new, None)
        assert found == ([(workspace.id, workspace.public_id)] if lets_in else [])


def test_a_removed_member_is_out_at_once(signed_in, workspace, owner):
    factories.make_connection(workspace, owner_email=DANA)
    (member,) = members.page(workspace).items
    members.remove(workspace, member.public_id, by=owner)

    assert not is_in(signed_in)


def test_access_is_asked_anew_each_time(signed_in, workspace, clock):
    """Even where nobody ended the session."""
    assert is_in(signed_in)
    with transaction() as session:
        (member,) = members.page(workspace).items
        session.merge(member).removed_at = clock.now

    assert not is_in(signed_in)


def test_who_is_there_is_found_in_one_statement(app, agency, workspace, second, clock):
    for place in (workspace, second):
        factories.make_member(place, DANA)
    for number in range(20):
        factories.make_connection(second, owner_email=DANA, name=f"Account {number}")
    portal_sessions.start(DANA, agency_id=None, id_hash=b"1" * 32, at=clock.now)
    guest = portal_visitors.resume(b"1" * 32, at=clock.now)
    portal_sessions.pick(guest, workspace.public_id)

    with counted() as seen:
        visitor = portal_visitors.enter(b"1" * 32, at=clock.now)

    assert (visitor.workspace, visitor.is_member, visitor.has_other_places) == ("Harbor Dental", True, True)
    assert len(seen) == 1


# ── Where ───────────────────────────────────────────────────────────────────


def test_with_one_workspace_one_goes_straight_on(dana):
    assert dana.sign_in().headers["Location"] == HOME
    assert is_in(dana)


def test_with_several_one_picks(dana, workspace, second):
    factories.make_connection(second, owner_email=DANA)
    dana.sign_in()

    assert dana.get(HOME).headers["Location"] == "/portal/workspaces?to=show_connections"
    listed = dana.get("/portal/workspaces").text
    assert "Harbor Dental" in listed
    assert "Tidewater Physio" in listed
    assert dana.post(f"/portal/workspaces/{second.public_id}").headers["Location"] == HOME
    assert "Tidewater Physio" in dana.get(HOME).text
    dana.post(f"/portal/workspaces/{workspace.public_id}")
    assert "Harbor Dental" in dana.get(HOME).text
    entered = db.session.scalars(
        select(AuditEvent.workspace_id).where(AuditEvent.type == "portal.signed_in").order_by(AuditEvent.id)
    ).all()
    assert entered == [second.id, workspace.id]


def test_the_page_that_one_came_for_says_in_which_workspace(dana, workspace, second, owner):
    factories.make_member(second, DANA)
    workflow = factories.make_workflow(second, owner, ("slack", "send_channel_message"))
    factories.make_sent(workflow, owner, recipient=DANA)
    page = f"/portal/connections/workflows/{workflow.public_id}"
    door = f"/portal/login/northwind-studio?to=show_workflow.{workflow.public_id}"

    shown = dana.ask(door=door).headers["Location"]
    assert dana.post(shown, code=dana.code()).headers["Location"] == page
    assert dana.get(page).status_code == 200

    dana.post(f"/portal/workspaces/{workspace.public_id}")
    assert dana.get(page).status_code == 404
    assert dana.get(door).headers["Location"] == page
    assert dana.get(page).status_code == 200


def test_a_page_of_a_workspace_that_is_not_ones_own_changes_nothing(dana, second, owner):
    workflow = factories.make_workflow(second, owner, ("slack", "send_channel_message"))
    dana.sign_in()

    dana.get(f"/portal/login?to=show_workflow.{workflow.public_id}")

    assert "Harbor Dental" in dana.get(HOME).text


# ── What is not there ───────────────────────────────────────────────────────


def test_what_is_not_there_is_said_in_the_portals_looks_with_a_way_back(signed_in, second, owner):
    theirs = factories.make_workflow(second, owner, ("slack", "send_channel_message"))

    foreign, unknown = (
        signed_in.get(f"{HOME}/workflows/{each}") for each in (theirs.public_id, "a" * len(theirs.public_id))
    )

    assert (foreign.status_code, unknown.status_code) == (404, 404)
    assert foreign.data == unknown.data
    assert "Northwind Studio" in unknown.text
    assert f'<a class="btn btn-secondary" href="{HOME}">Back to your connections</a>' in unknown.text
    assert "Gatehouse" not in unknown.text
    assert signed_in.get("/portal/nowhere").data == unknown.data


def test_what_is_not_there_says_nothing_to_who_is_not_signed_in(anybody):
    answer = anybody.get("/portal/nowhere")

    assert answer.status_code == 404
    assert "Northwind" not in answer.text


def test_nobody_picks_what_is_not_theirs(signed_in, second, workspace):
    there, nowhere = (signed_in.post(f"/portal/workspaces/{name}") for name in (second.public_id, "a" * 20))

    assert there.status_code == nowhere.status_code == 404
    assert there.data == nowhere.data
    assert session().workspace_id == workspace.id


def test_the_workspaces_are_listed_by_the_page(app, agency):
    places = [factories.make_workspace(agency, f"Place {number:03}") for number in range(53)]
    for each in places:
        factories.make_member(each, DANA)
    client = Client(app, factories.signed_in_client(app, DANA))

    page = client.get("/portal/workspaces").text

    assert page.count("Open Place") == 50
    assert "Older" in page


def test_a_session_that_began_at_an_agencys_door_stays_there(app, workspace, agency, stranger):
    theirs = factories.make_workspace(stranger.agency, "Elsewhere")
    named = theirs.public_id
    for place in (workspace, theirs):
        factories.make_member(place, DANA)
    free = Client(app, factories.signed_in_client(app, DANA))
    confined = Client(app, factories.signed_in_client(app, DANA, confined_to=agency))

    assert "Southpaw Labs" in free.get("/portal/workspaces").text
    assert "Southpaw Labs" not in confined.get("/portal/workspaces").text
    assert confined.post(f"/portal/workspaces/{named}").status_code == 404
    assert free.post(f"/portal/workspaces/{named}").status_code == 303

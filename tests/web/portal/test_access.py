"""Who gets into the portal and for how long, what of it they reach, and how they leave."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, select, update

from app.database import transaction
from app.extensions import db
from app.models import AuditEvent, Connection, Member, PortalSession
from app.services import members, portal_places, portal_sessions, portal_visitors
from app.tenancy import across_tenants, acting_for
from app.web.sessions import hash_of
from tests import factories
from tests.support.statements import counted
from tests.web.portal.conftest import DANA, Client

HOME = "/portal/connections"
pytestmark = pytest.mark.both_databases


@pytest.fixture
def signed_in(app, workspace):
    """Dana, signed in at the workspace that she is a member of."""
    factories.make_member(workspace, DANA)
    return Client(app, factories.signed_in_client(app, DANA, workspace))


@pytest.fixture
def second(agency):
    """Another client of the same agency."""
    return factories.make_workspace(agency, "Tidewater Physio")


def is_in(client, **headers):
    return client.get(HOME, **headers).status_code == 200


def session():
    return db.session.scalars(select(PortalSession)).one()


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


# ── How long ────────────────────────────────────────────────────────────────


def test_half_an_hour_without_use_ends_a_session(signed_in, clock):
    clock.forward(minutes=29, seconds=59)
    assert is_in(signed_in)
    clock.forward(minutes=30)

    assert not is_in(signed_in)


def test_twelve_hours_end_it_whatever_is_done(app, workspace, clock):
    factories.make_member(workspace, DANA)
    client = Client(app, factories.signed_in_client(app, DANA, workspace))
    for _ in range(35):
        clock.forward(minutes=20)
        assert is_in(client)
    clock.forward(minutes=20)

    assert not is_in(client)


def test_a_page_that_asks_by_itself_keeps_nothing_awake(signed_in, clock):
    clock.forward(minutes=20)
    assert is_in(signed_in, **{"X-Poll": "1"})
    clock.forward(minutes=11)

    assert not is_in(signed_in, **{"X-Poll": "1"})


def test_who_is_signed_out_by_time_finds_the_door_of_their_agency(app, workspace, agency, stranger, clock):
    factories.make_member(workspace, DANA)
    client = Client(app, factories.signed_in_client(app, DANA, workspace, confined_to=agency))
    clock.forward(minutes=31)

    assert client.get(HOME).headers["Location"] == "/portal/login/northwind-studio?to=show_connections"


@pytest.mark.parametrize("end", ["elsewhere", "time", "removed"])
def test_who_was_signed_out_is_told_so_once_at_the_door(dana, workspace, owner, clock, end):
    dana.sign_in()
    assert is_in(dana)
    if end == "elsewhere":
        with transaction() as session:
            session.execute(delete(PortalSession))
    elif end == "time":
        clock.forward(minutes=31)
    else:
        (member,) = db.session.scalars(select(Member)).all()
        members.remove(owner.agency, member.public_id, by=owner)

    door = dana.get(HOME).headers["Location"]

    assert "<strong>You were signed out</strong>" in dana.get(door).text
    assert "You were signed out" not in dana.get(dana.get(HOME).headers["Location"]).text


def test_who_was_never_signed_in_or_left_by_themselves_was_not_signed_out(dana, anybody):
    anybody.get("/portal/login")
    assert "You were signed out" not in anybody.get(anybody.get(HOME).headers["Location"]).text
    dana.sign_in()
    dana.post("/portal/sign-out")
    dana.get("/portal/login")

    assert "You were signed out" not in dana.get(dana.get(HOME).headers["Location"]).text


def test_an_address_has_twenty_sessions_at_most(app, workspace, clock):
    factories.make_member(workspace, DANA)
    for number in range(22):
        clock.forward(seconds=1)
        portal_sessions.start(DANA, agency_id=None, id_hash=bytes([number]) * 32, at=clock.now)

    kept = {row.id_hash[0] for row in db.session.scalars(select(PortalSession))}
    assert kept == set(range(2, 22))


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


# ── Leaving ─────────────────────────────────────────────────────────────────


def test_signing_out_ends_this_browser_alone(signed_in, app, workspace):
    other = Client(app, factories.signed_in_client(app, DANA, workspace))

    assert signed_in.post("/portal/sign-out").headers["Location"] == "/portal/login/northwind-studio"

    assert not is_in(signed_in)
    assert is_in(other)


def test_ones_sessions_are_listed_and_ended_one_by_one(signed_in, app, workspace, second):
    other = Client(app, factories.signed_in_client(app, DANA, workspace))
    factories.make_member(second, "someone@else.example")
    someone = Client(app, factories.signed_in_client(app, "someone@else.example", second))
    of_dana = db.session.scalars(select(PortalSession).where(PortalSession.email == DANA)).all()
    of_someone = db.session.scalars(select(PortalSession).where(PortalSession.email != DANA)).one()

    page = signed_in.get("/portal/sessions").text
    assert page.count('/end"') == 2
    assert of_someone.public_id not in page
    assert signed_in.post(f"/portal/sessions/{of_someone.public_id}/end").status_code == 404
    assert signed_in.post(f"/portal/sessions/{of_dana[1].public_id}/end").headers["Location"] == "/portal/sessions"

    assert is_in(signed_in)
    assert not is_in(other)
    assert is_in(someone)


def test_signing_out_everywhere_ends_all_of_ones_sessions(signed_in, app, workspace):
    other = Client(app, factories.signed_in_client(app, DANA, workspace))

    signed_in.post("/portal/sessions/end-all")

    assert not is_in(signed_in)
    assert not is_in(other)
    acts = db.session.scalars(select(AuditEvent.type).where(AuditEvent.type.like("portal.%"))).all()
    assert acts == ["portal.signed_out_everywhere"]


# ── Between agencies ────────────────────────────────────────────────────────


@pytest.fixture
def both(app, agency, workspace, stranger):
    """Dana, a client of two agencies, signed in at the door of each and at the common one, there at each one's workspace."""
    with across_tenants("a test's setting"):
        theirs = stranger.agency
        factories.make_member(workspace, DANA)
    with acting_for(theirs.id):
        elsewhere = factories.make_workspace(theirs, "Elsewhere")
        factories.make_member(elsewhere, DANA)
    places = {
        "here": (workspace, agency),
        "there": (elsewhere, theirs),
        "free, here": (workspace, None),
        "free, there": (elsewhere, None),
    }
    return {
        name: Client(app, factories.signed_in_client(app, DANA, place, confined_to=confined_to))
        for name, (place, confined_to) in places.items()
    }


def named(both):
    """The public id of each one's session."""
    hashes = {hash_of(client.session_id): name for name, client in both.items()}
    return {hashes[row.id_hash]: row.public_id for row in db.session.scalars(select(PortalSession))}


SEEN = {
    "here": {"here", "free, here"},
    "there": {"there", "free, there"},
    "free, here": {"here", "there", "free, here", "free, there"},
}


@pytest.mark.parametrize("who", SEEN)
def test_a_session_of_an_agencys_door_shows_and_ends_what_is_there_alone(both, who):
    ids = named(both)
    page = both[who].get("/portal/sessions").text

    assert {name for name, public_id in ids.items() if public_id in page} == SEEN[who]
    answers = {
        name: both[who].post(f"/portal/sessions/{public_id}/end").status_code
        for name, public_id in ids.items()
        if name != who
    }
    assert {name for name, status in answers.items() if status == 303} == SEEN[who] - {who}
    assert set(answers.values()) <= {303, 404}
    assert set(named(both)) == {*both} - SEEN[who] | {who}


def test_signing_out_everywhere_is_everywhere_and_each_agency_learns_of_its_own_alone(both, agency, workspace):
    both["here"].post("/portal/sessions/end-all")

    assert not any(is_in(client) for client in both.values())
    with across_tenants("a test's eye"):
        events = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "portal.signed_out_everywhere")).all()
    assert len(events) == len({event.agency_id for event in events}) == 2
    for event in events:
        assert event.data == {}
        assert (event.agency_id == agency.id) == (event.workspace_id == workspace.id)


def test_removing_a_member_ends_no_session_at_another_agency(both, workspace, owner):
    (member,) = members.page(workspace).items
    members.remove(workspace, member.public_id, by=owner)

    assert {name for name, client in both.items() if is_in(client)} == {"there", "free, there"}

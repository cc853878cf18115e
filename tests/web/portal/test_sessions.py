"""Sessions at the portal: how long each lasts, and how it is left, here, everywhere and at another agency."""

import pytest
from sqlalchemy import delete, select

from app.database import transaction
from app.extensions import db
from app.models import AuditEvent, Member, PortalSession
from app.services import members, portal_sessions
from app.tenancy import across_tenants, acting_for
from app.web.sessions import hash_of
from tests import factories
from tests.web.portal import coming_in
from tests.web.portal.coming_in import HOME, is_in
from tests.web.portal.conftest import DANA, Client

pytestmark = pytest.mark.both_databases
second, signed_in = coming_in.fixtures


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

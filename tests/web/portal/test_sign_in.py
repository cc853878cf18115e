"""Signing in by a mailed code or its button, and what does not let anybody in."""

import pytest
from sqlalchemy import func, select

from app.extensions import db
from app.models import AuditEvent, OutboxItem, PortalCode, PortalSession
from app.services import letters, portal_codes
from app.tenancy import across_tenants, acting_for
from tests import factories
from tests.support.forms import cookies_of
from tests.web.portal.conftest import DANA, Client

pytestmark = pytest.mark.both_databases


def sessions():
    return db.session.scalars(select(PortalSession)).all()


def wrong(code):
    return f"{(int(code) + 1) % 10**6:06}"


# ── The door ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("door", ["/portal/login", "/portal/login/northwind-studio"])
def test_the_door_carries_the_agencys_brand(anybody, door):
    page = anybody.get(door)

    assert page.status_code == 200
    assert "Sign in · Northwind Studio" in page.text
    assert "Gatehouse" not in page.text


def test_where_several_agencies_live_only_the_one_that_is_named_shows(anybody, stranger):
    assert "Northwind" not in anybody.get("/portal/login").text
    assert "Southpaw Labs" in anybody.get("/portal/login/southpaw-labs").text
    assert "Southpaw" not in anybody.get("/portal/login/nobody").text


def test_an_address_that_is_none_is_refused_at_its_field(anybody):
    answer = anybody.ask("nothing")

    assert answer.status_code == 422
    assert "Write it like name@company.com." in answer.text
    assert db.session.scalar(select(func.count(PortalCode.id))) == 0


# ── The code ────────────────────────────────────────────────────────────────


def test_the_code_lets_its_asker_in_under_a_new_session(dana):
    dana.ask()
    before, asked = dana.session_id, dana.asked()

    page = dana.get("/portal/code")
    answer = dana.post("/portal/code", code=portal_codes.code_of(asked))

    assert DANA in page.text
    assert portal_codes.code_of(asked) not in page.text
    assert (answer.status_code, answer.headers["Location"]) == (303, "/portal/connections")
    assert dana.session_id != before
    assert dana.get("/portal/connections").status_code == 200
    assert [each.email for each in sessions()] == [DANA]


def test_a_code_may_be_typed_with_spaces(dana):
    dana.ask()
    code = dana.code()

    assert dana.post("/portal/code", code=f" {code[:3]} {code[3:]} ").status_code == 303


def test_who_is_signed_in_is_led_on_from_the_door(dana):
    dana.sign_in()

    assert dana.get("/portal/login").headers["Location"] == "/portal/connections"


def test_a_code_is_used_once(dana):
    dana.ask()
    asking, code = dana.session_id, dana.code()
    dana.post("/portal/code", code=code)
    dana.web.set_cookie("gh_portal", asking)

    again = dana.post("/portal/code", code=code)
    assert again.status_code == 422
    assert "It was used or replaced. Ask for a new one." in again.text
    assert len(sessions()) == 1
    assert dana.get("/portal/connections").status_code == 303, "the id from before the sign-in is worth nothing"


def test_a_code_is_no_good_in_another_browser(dana, anybody):
    dana.ask()
    anybody.ask("someone@else.example")
    code = portal_codes.code_of(db.session.scalars(select(PortalCode).where(PortalCode.email == DANA)).one())

    assert anybody.post("/portal/code", code=code).status_code in (303, 422)
    assert sessions() == []


def test_a_code_is_over_after_ten_minutes(dana, clock):
    dana.ask()
    clock.forward(minutes=9, seconds=59)
    assert dana.get("/portal/code").status_code == 200
    clock.forward(seconds=1)

    late = dana.post("/portal/code", code=dana.code())
    assert late.status_code == 422
    assert "It is older than ten minutes. Ask for a new one." in late.text
    assert f'value="{DANA}"' in late.text
    assert sessions() == []


def test_five_wrong_tries_end_a_code(dana):
    dana.ask()
    code = dana.code()
    answers = [dana.post("/portal/code", code=wrong(code)) for _ in range(5)]

    assert [each.status_code for each in answers] == [422] * 5
    for answer, left in zip(answers[:4], ("4 tries are", "3 tries are", "2 tries are", "One try is"), strict=True):
        assert f"This code does not match. {left} left." in answer.text
    assert "A wrong code was typed 5 times. Ask for a new one." in answers[4].text
    assert f'value="{DANA}"' in answers[4].text, "the address need not be typed again"
    assert 'action="/portal/login/northwind-studio"' in answers[4].text
    assert dana.post("/portal/code", code=code).status_code == 422
    assert sessions() == []


def test_tries_are_counted_alike_for_an_address_that_nobody_knows(dana, anybody):
    dana.ask()
    anybody.ask("nobody@client.example")

    known, unknown = (each.post("/portal/code", code="nonsense").text for each in (dana, anybody))

    assert "4 tries are left" in known
    assert "4 tries are left" in unknown


def test_asking_for_a_new_code_says_which_one_counts(dana):
    dana.ask()
    assert "You asked for a new code" not in dana.get("/portal/code").text

    dana.post("/portal/login/northwind-studio", email=DANA, again="yes")

    assert "<strong>You asked for a new code</strong>" in dana.get("/portal/code").text
    assert dana.post("/portal/code", code=dana.code()).status_code == 303


def test_the_fifth_try_may_still_be_right(dana):
    dana.ask()
    code = dana.code()
    for _ in range(4):
        dana.post("/portal/code", code=wrong(code))

    dana.post("/portal/code", code=code)

    assert len(sessions()) == 1


def test_asking_again_ends_the_code_before(dana):
    dana.ask()
    first = dana.code()
    dana.ask()

    assert first == dana.code() or dana.post("/portal/code", code=first).status_code == 422
    assert dana.post("/portal/code", code=dana.code()).status_code == 303


def test_an_owner_of_a_connection_who_is_no_member_gets_in(anybody, workspace):
    factories.make_connection(workspace, owner_email="net.new@client.example")

    anybody.sign_in("net.new@client.example")

    assert anybody.get("/portal/connections").status_code == 200


def test_nothing_that_lets_in_is_stored(dana):
    dana.ask()
    asked = dana.asked()
    code, button = portal_codes.code_of(asked), portal_codes.button_of(asked)
    stored = [str(vars(row)) for kind in (PortalCode, OutboxItem) for row in db.session.scalars(select(kind))]

    assert stored
    assert not any(code in each or button in each for each in stored)


def test_a_sign_in_is_in_the_audit_trail(dana, workspace):
    dana.sign_in()

    (event,) = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "portal.signed_in"))
    assert (event.actor, event.subject, event.workspace_id) == (DANA, workspace.public_id, workspace.id)


# ── The button ──────────────────────────────────────────────────────────────


def button(client):
    return f"/portal/enter/{portal_codes.button_of(client.asked())}"


def test_the_button_asks_before_it_lets_in(dana):
    dana.ask()
    opened = [dana.get(button(dana)) for _ in range(3)]

    assert {each.status_code for each in opened} == {200}
    assert 'method="post"' in opened[0].text
    assert sessions() == []
    assert dana.post(button(dana)).headers["Location"] == "/portal/connections"
    assert len(sessions()) == 1


def test_the_button_works_in_the_browser_that_asked_alone(dana, anybody):
    dana.ask()
    address = button(dana)
    anybody.get("/portal/login")

    opened, pressed = anybody.get(address), anybody.post(address)

    assert "Type the code instead" in opened.text
    assert 'method="post"' not in opened.text
    assert pressed.status_code == 422
    assert sessions() == []
    assert dana.post(address).status_code == 303, "and it is not spent by others"


def test_a_button_that_never_was_looks_the_same_as_one_of_another_browser(dana, anybody):
    dana.ask()
    anybody.get("/portal/login")

    assert anybody.get(button(dana)).data == anybody.get("/portal/enter/nothing").data


def test_the_button_is_pressed_once(dana):
    dana.ask()
    address, asking = button(dana), dana.session_id
    dana.post(address)
    dana.web.set_cookie("gh_portal", asking)

    assert dana.post(address).status_code == 422
    assert len(sessions()) == 1


def test_the_code_is_over_once_the_button_was_pressed(dana):
    dana.ask()
    code, asking = dana.code(), dana.session_id
    dana.post(button(dana))
    dana.web.set_cookie("gh_portal", asking)

    dana.post("/portal/code", code=code)

    assert len(sessions()) == 1


def test_the_button_says_as_whom_it_lets_in(dana):
    dana.ask()

    page = dana.get(button(dana)).text

    assert "d••••••••s@harbordental.example" in page
    assert DANA not in page


def test_a_button_leads_on_who_is_signed_in_already(dana):
    dana.ask()
    address = button(dana)
    dana.post("/portal/code", code=dana.code())

    assert dana.get(address).headers["Location"] == "/portal/connections"
    assert dana.get("/portal/code").headers["Location"] == "/portal/connections"
    assert dana.post(address).headers["Location"] == "/portal/connections"
    assert len(sessions()) == 1


# ── Where one lands ─────────────────────────────────────────────────────────


def test_one_lands_on_the_page_that_one_came_for(dana):
    asked = dana.get(f"/portal/connections/workflows/{'a' * 20}").headers["Location"]
    assert asked.startswith("/portal/login?to=show_workflow.")
    to = asked.partition("?")[2]
    dana.get(asked)
    shown = dana.post(asked, email=DANA).headers["Location"]
    assert shown == f"/portal/code?{to}"

    assert dana.post(shown, code=dana.code()).headers["Location"] == f"/portal/connections/workflows/{'a' * 20}"


@pytest.mark.parametrize(
    "to", ["https://evil.example", "//evil.example", "/panel/", "show_home", "sign_in.x.y", "a" * 900]
)
def test_what_is_no_key_of_a_page_leads_to_the_connections(dana, to):
    dana.ask()

    answer = dana.open("/portal/login", query_string={"to": to})
    assert "evil.example" not in (answer.headers.get("Location") or "")
    from tests.support.forms import cookies_of, csrf_token

    token = csrf_token(dana.app, "/portal/code", cookies_of(dana.web))
    landed = dana.open(
        "/portal/code", method="POST", query_string={"to": to}, data={"csrf_token": token, "code": dana.code()}
    )
    assert landed.headers["Location"] == "/portal/connections"


# ── Limits ──────────────────────────────────────────────────────────────────


def test_one_visitor_asks_for_an_address_five_times_in_a_while(anybody, clock):
    answers = [anybody.ask("someone@client.example") for _ in range(6)]

    assert [each.status_code for each in answers] == [303] * 5 + [429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert anybody.ask("another@client.example").status_code == 303


def mailed():
    """How many codes are to be mailed."""
    with across_tenants("a test's eye"):
        return db.session.scalar(select(func.count(OutboxItem.id)).where(OutboxItem.kind == letters.CODE))


def besiege(app, email=DANA, times=20):
    """Have strangers ask for an address, each from another network."""
    for number in range(times):
        stranger = Client(app, app.test_client())
        stranger.web.environ_base["REMOTE_ADDR"] = f"198.51.100.{number}"
        assert stranger.ask(email).status_code == 303


def test_strangers_together_have_an_address_mailed_ten_times_a_day(app, anybody, clock):
    besiege(app, "someone@client.example", 24)

    assert mailed() == 10
    anybody.ask("someone@client.example")
    assert "a code is on its way" in anybody.get("/portal/code").text
    assert mailed() == 10


def test_the_end_of_a_day_lets_strangers_ask_no_more_than_any_other_moment(app, anybody, clock):
    clock.to(clock.now.replace(hour=23, minute=55))
    besiege(app)
    clock.forward(minutes=10)
    besiege(app)
    assert mailed() == 10

    clock.forward(hours=24)
    besiege(app, times=3)
    assert mailed() == 13


def test_a_code_that_was_mailed_stays_good_in_its_browser_when_the_address_has_had_enough(dana, app, clock):
    dana.ask()
    code = dana.code()
    besiege(app)

    assert dana.ask().headers["Location"] == "/portal/code"
    assert dana.post("/portal/code", code=code).headers["Location"] == "/portal/connections"


def test_a_browser_that_asks_for_an_address_that_has_had_enough_forgets_the_one_before(dana, app, clock):
    besiege(app, "someone@client.example")
    dana.ask()
    code = dana.code()
    dana.ask("someone@client.example")

    assert "someone@client.example" in dana.get("/portal/code").text
    assert dana.post("/portal/code", code=code).status_code == 422


def test_who_signed_in_in_this_browser_before_is_not_shut_out_by_strangers(dana, app, clock):
    dana.sign_in()
    dana.post("/portal/sign-out")
    clock.forward(days=170)
    besiege(app)
    dana.web.environ_base["REMOTE_ADDR"] = "203.0.113.9"
    before = mailed()

    assert dana.sign_in().status_code == 303
    assert mailed() == before + 1


def test_a_mark_is_for_its_own_address_and_no_other(dana, app, workspace, clock):
    factories.make_member(workspace, "tom@harbordental.example")
    dana.sign_in()
    dana.post("/portal/sign-out")
    besiege(app, "tom@harbordental.example")
    before = mailed()

    assert dana.ask("tom@harbordental.example").status_code == 303
    assert mailed() == before


@pytest.mark.parametrize(
    "change", [lambda mark: "x" + mark, lambda mark: mark[:-1], lambda _: ".", lambda _: "☃", lambda _: ""]
)
def test_a_mark_that_was_altered_is_none(dana, app, clock, change):
    dana.sign_in()
    mark = cookies_of(dana.web)["gh_known"]
    dana.post("/portal/sign-out")
    besiege(app)
    dana.web.set_cookie("gh_known", change(mark))
    before = mailed()

    assert dana.ask().status_code == 303
    assert mailed() == before


def test_a_mark_lets_nobody_in_and_is_worth_ten_mails_a_day(dana, anybody, app, clock):
    dana.sign_in()
    besiege(app)
    before = mailed()
    for number in range(20):
        thief = Client(app, app.test_client())
        thief.web.set_cookie("gh_known", cookies_of(dana.web)["gh_known"])
        thief.web.environ_base["REMOTE_ADDR"] = f"203.0.113.{number}"
        assert thief.get("/portal/connections").status_code == 303
        assert thief.ask().status_code == 303

    assert mailed() == before + 10


def test_nobody_learns_by_the_limit_who_signed_in_behind_the_same_network(dana, app, clock):
    """One office, one address of it at the network's edge: one of two that ask there has been let in from there."""
    dana.sign_in()
    seen = []
    for email in (DANA, "nobody@harbordental.example"):
        besiege(app, email)
        before, colleague = mailed(), Client(app, app.test_client())
        seen.append((colleague.ask(email).status_code, mailed() - before))

    assert seen == [(303, 0), (303, 0)]


# ── What failed is in the trail ─────────────────────────────────────────────


def failures():
    with across_tenants("a test's eye"):
        return db.session.scalars(select(AuditEvent).where(AuditEvent.type == "portal.sign_in_failed")).all()


def test_wrong_codes_are_in_the_audit_trail_one_by_one(dana, workspace):
    dana.ask()
    for _ in range(7):
        dana.post("/portal/code", code=wrong(dana.code()))

    events = failures()
    assert len(events) == 5, "what comes after the last try tells nothing more"
    event = events[0]
    assert (event.actor_kind, event.actor, event.data) == ("anonymous", DANA, {"how": "code"})
    assert (event.subject, event.workspace_id, event.address) == (workspace.public_id, workspace.id, "127.0.0.1")


def test_a_button_pressed_in_another_browser_is_in_the_trail_as_often_as_a_code_can_be_tried(dana, anybody):
    dana.ask()
    address = button(dana)
    anybody.get("/portal/login")
    for _ in range(7):
        anybody.post(address)

    assert [(event.actor, event.data) for event in failures()] == [(DANA, {"how": "button"})] * 5


def test_a_failure_of_an_address_that_nobody_knows_is_in_no_trail(anybody):
    anybody.ask("nobody@client.example")
    anybody.post("/portal/code", code=wrong(anybody.code()))
    anybody.post("/portal/enter/nothing")

    assert failures() == []


@pytest.mark.parametrize(("door", "told"), [("/portal/login", 2), ("/portal/login/northwind-studio", 1)])
def test_an_agency_hears_of_what_failed_at_its_own_door_or_the_common_one(
    dana, agency, workspace, stranger, door, told
):
    factories.make_member(factories.make_workspace(agency, "Another"), DANA)
    with across_tenants("a test's setting"):
        theirs = stranger.agency
    with acting_for(theirs.id):
        place = factories.make_workspace(theirs, "Another")
        factories.make_member(place, DANA)
        elsewhere = place.id
    dana.ask(door=door)
    dana.post("/portal/code", code=wrong(dana.code()))

    events = failures()
    assert [event.workspace_id for event in events] == [workspace.id, elsewhere][:told]
    assert len({event.agency_id for event in events}) == told

"""Signing in by a mailed code, what does not let anybody in, and where one lands."""

import pytest
from sqlalchemy import func, select

from app.extensions import db
from app.models import AuditEvent, OutboxItem, PortalCode
from app.services import portal_codes
from tests import factories
from tests.web.portal.conftest import DANA
from tests.web.portal.signing_in import sessions, wrong

pytestmark = pytest.mark.both_databases


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


@pytest.mark.parametrize("slip", ["", "12", "1234567", "12345a", "１２３４５６", "nonsense"])
def test_what_is_no_code_costs_no_try(dana, anybody, slip):
    dana.ask()
    code = dana.code()
    anybody.ask("nobody@client.example")

    said = [each.post("/portal/code", code=slip) for each in (dana, anybody) for _ in range(6)]

    assert {answer.status_code for answer in said} == {422}
    assert all("tries are left" not in answer.text for answer in said)
    assert dana.post("/portal/code", code=f" {code[:3]}-{code[3:]} ").status_code == 303


def test_tries_are_counted_alike_for_an_address_that_nobody_knows(dana, anybody):
    dana.ask()
    wrong = f"{(int(dana.code()) + 1) % 10**6:06}"
    anybody.ask("nobody@client.example")

    known, unknown = (each.post("/portal/code", code=wrong).text for each in (dana, anybody))

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

"""Signing in by the button of a mailed code: in the browser that asked alone, and once."""

import pytest

from tests.web.portal.conftest import DANA
from tests.web.portal.signing_in import button, sessions

pytestmark = pytest.mark.both_databases


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

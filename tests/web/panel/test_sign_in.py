import re

import pytest

from app.services import staff, staff_sessions
from tests import factories
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import errors, one, page


def signing_in(browser, email, password=factories.PASSWORD, path="/panel/sign-in"):
    return browser.post(path, {"email": email, "password": password})


def cookie(answer):
    found = re.search(r"gh_staff=([^;]*);", "".join(answer.headers.getlist("Set-Cookie")))
    return found and found[1]


def test_the_page_asks_for_address_and_password(anybody):
    soup = page(anybody.get("/panel/sign-in"))

    assert one(soup, "#email")["autocomplete"] == "username"
    assert one(soup, "#password")["type"] == "password"
    assert one(soup, "#password")["autocomplete"] == "current-password"


def test_signing_in_leads_to_the_panel_under_a_new_id(anybody, owner):
    before = cookie(anybody.get("/panel/sign-in"))
    answer = signing_in(anybody, owner.email.upper())

    assert (answer.status_code, answer.headers["Location"]) == (303, "/panel/")
    assert cookie(answer) not in (None, before)
    assert anybody.get("/panel/workspaces").status_code == 200


def test_the_id_from_before_signing_in_opens_nothing(app, anybody, owner):
    before = cookie(anybody.get("/panel/sign-in"))
    signing_in(anybody, owner.email)

    other = app.test_client()
    other.set_cookie("gh_staff", before)
    assert other.get("/panel/workspaces").status_code == 303


@pytest.mark.parametrize("path", ["/panel/workspaces", "/panel/account", "/panel/people"])
def test_signing_in_leads_back_to_where_one_was(anybody, owner, path):
    to_sign_in = anybody.get(path)
    assert to_sign_in.status_code == 303
    where = to_sign_in.headers["Location"]
    assert path not in where

    form = one(page(anybody.get(where)), "form")
    assert signing_in(anybody, owner.email, path=form["action"]).headers["Location"] == path


def test_signing_in_leads_back_after_a_wrong_password_too(anybody, owner, workspace):
    where = anybody.get(f"/panel/workspaces/{workspace.public_id}").headers["Location"]
    form = one(page(signing_in(anybody, owner.email, "not the password", path=where), 422), "form")

    assert (
        signing_in(anybody, owner.email, path=form["action"]).headers["Location"]
        == f"/panel/workspaces/{workspace.public_id}"
    )


@pytest.mark.parametrize(
    "key",
    [
        "https://evil.example",
        "//evil.example",
        "/panel/people",
        "%2F%2Fevil.example",
        "show_workspace",
        "setup.start",
        "sign_out",
        "..",
        "a" * 5000,
        "",
    ],
)
def test_signing_in_leads_nowhere_else(anybody, owner, key):
    answer = signing_in(anybody, owner.email, path=f"/panel/sign-in?to={key}")

    assert (answer.status_code, answer.headers["Location"]) == (303, "/panel/")


@pytest.mark.parametrize(
    ("email", "password", "at"),
    [("", "", {"email", "password"}), ("maya", "x", {"email"}), ("maya@northwind.example", "", {"password"})],
)
def test_bad_input_is_told_at_its_field(anybody, email, password, at):
    assert set(errors(signing_in(anybody, email, password))) == at


def test_the_answer_to_nobody_is_that_to_a_wrong_password(anybody, owner):
    known, unknown = (
        signing_in(anybody, email, "not the password")
        for email in (owner.email, "x" * len(owner.email[:-8]) + "@n.example")
    )
    strip = re.compile(r'value="[^"]*"|CSRFToken": "[^"]*"')

    assert errors(known) == errors(unknown) == {"": "This e-mail address and password do not match."}
    assert strip.sub("", known.text) == strip.sub("", unknown.text)
    assert {name for name, _ in known.headers} == {name for name, _ in unknown.headers}


def test_what_was_typed_stays_but_the_password(anybody, owner):
    soup = page(signing_in(anybody, owner.email, "not the password"), 422)

    assert one(soup, "#email")["value"] == owner.email
    assert not one(soup, "#password").get("value")
    assert "not the password" not in str(soup)


def test_too_many_tries_are_told_on_the_form(anybody, owner):
    for _ in range(10):
        signing_in(anybody, owner.email, "not the password")
    answer = signing_in(anybody, owner.email)

    assert errors(answer, 429) == {"": "Too many tries. Wait a little, then try again."}
    assert 0 < int(answer.headers["Retry-After"]) <= 900


def test_somebody_signed_in_is_led_on(maya):
    assert maya.get("/panel/sign-in").headers["Location"] == "/panel/"


def test_signing_out_ends_the_session_here_and_on_the_server(app, maya, owner):
    elsewhere = factories.signed_in(app, owner)
    answer = maya.post("/panel/sign-out")

    assert answer.headers["Location"] == "/panel/sign-in"
    assert "gh_staff=;" in "".join(answer.headers.getlist("Set-Cookie"))
    assert maya.get("/panel/workspaces").status_code == 303
    assert elsewhere.get("/panel/workspaces").status_code == 200
    assert "You are signed out" in maya.get("/panel/sign-in").text


def test_signing_out_needs_a_token(maya):
    assert maya.open("/panel/sign-out", method="POST").status_code == 400
    assert maya.get("/panel/workspaces").status_code == 200


def test_a_one_time_password_opens_nothing_but_the_choice_of_another(app, agency, owner, anybody):
    person, password = staff.add(
        agency, name="Ines", email=f"ines@{agency.slug}.example", role=factories.Role.ADMIN, by=owner
    )
    signing_in(anybody, person.email, password.reveal())

    assert anybody.get("/panel/people").headers["Location"] == "/panel/choose-password"
    assert anybody.get("/panel/people", htmx=True).headers["HX-Redirect"] == "/panel/choose-password"
    token = re.search(r'CSRFToken": "([^"]+)"', anybody.get("/panel/choose-password").text)[1]

    def choose(new):
        return anybody.open("/panel/choose-password", method="POST", data={"csrf_token": token, "new": new})

    assert errors(choose("short")) == {"new": "This has 5 characters; 7 more are needed."}
    assert errors(choose(password.reveal())) == {"new": "This is the password that you have now."}
    assert choose("another harbour at dusk").headers["Location"] == "/panel/"
    assert anybody.get("/panel/people").status_code == 200
    assert staff_sessions.authenticate(person.email, "another harbour at dusk")


def test_choosing_a_password_is_for_those_with_a_one_time_one(maya):
    assert maya.post("/panel/choose-password", {"new": "another harbour at dusk"}).status_code == 409

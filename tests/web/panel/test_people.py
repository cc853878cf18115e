import re

import pytest

from app.models import Role
from app.services import staff, staff_sessions
from tests import factories
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import StaffBrowser, errors, one, page, toasts
from tests.support.statements import counted


@pytest.fixture
def ines(app, agency):
    return StaffBrowser(app, factories.make_staff(agency, "Ines Duarte", role=Role.ADMIN))


def given(agency, **changes):
    return {"name": "Lena Fischer", "email": f"lena@{agency.slug}.example", "role": "member"} | changes


def rows(answer):
    return {each.select_one("th").contents[0].strip(): each for each in page(answer).select("tbody tr")}


def test_the_list_shows_ones_own_people_and_what_one_may_do(maya, ines, tom, stranger):
    found = rows(maya.get("/panel/people"))

    assert set(found) == {"Maya Okafor", "Ines Duarte", "Tom Achterberg"}
    assert "you" in found["Maya Okafor"].text
    assert found["Maya Okafor"].select("button") == []
    assert [each.text for each in found["Tom Achterberg"].select("button")] == [
        "Change role",
        "New password",
        "Disable",
    ]
    assert rows(ines.get("/panel/people"))["Maya Okafor"].select("button") == []


def test_the_list_comes_alone_for_htmx(maya):
    assert one(page(maya.get("/panel/people", htmx=True)), "#people")["hx-trigger"] == "people-changed from:body"
    assert "<html" not in maya.get("/panel/people", htmx=True).text


def test_adding_a_person_shows_a_password_once_that_works(app, maya, agency):
    answer = maya.post("/panel/people", given(agency), htmx=True)

    password = one(page(answer), "#one-time").text
    assert re.fullmatch(r"([a-z0-9]{5}-){3}[a-z0-9]{5}", password)
    assert "people-changed" in toasts(answer)
    assert answer.headers["Cache-Control"] == "no-store"
    assert password not in maya.get("/panel/people").text
    assert staff_sessions.authenticate(f"lena@{agency.slug}.example", password).person.name == "Lena Fischer"


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"name": "", "email": ""}, {"name", "email"}),
        ({"name": "x" * 81}, {"name"}),
        ({"name": "Lena\u2029Fischer"}, {"name"}),
        ({"email": "lena@northwind"}, {"email"}),
        ({"email": "lena@northwind.example\nBcc: x@y.example"}, {"email"}),
        ({"role": "emperor"}, {"role"}),
        ({"role": ""}, {"role"}),
    ],
)
def test_bad_input_is_told_at_its_field_and_stays(maya, agency, changes, at):
    answer = maya.post("/panel/people", given(agency, **changes), htmx=True)

    assert set(errors(answer)) == at
    assert one(page(answer, 422), "#name").get("value", "") == given(agency, **changes)["name"] or "name" in at


def test_an_address_that_signs_in_already_is_told_at_its_field(maya, agency, teammate):
    answer = maya.post("/panel/people", given(agency, email=teammate.email), htmx=True)

    assert errors(answer) == {"email": "Somebody signs in with this address already."}


def test_admins_are_offered_no_owner_and_may_make_none(ines, agency):
    dialog = page(ines.get("/panel/people/new", htmx=True))

    assert [each["value"] for each in dialog.select("#role option")] == ["member", "admin"]
    assert set(errors(ines.post("/panel/people", given(agency, role="owner"), htmx=True))) == {"role"}


def test_changing_a_role_shows_in_the_list(maya, teammate):
    path = f"/panel/people/{teammate.public_id}/role"
    assert one(page(maya.get(path, htmx=True)), "#role option[selected]")["value"] == "member"

    answer = maya.post(path, {"role": "admin"}, htmx=True)

    assert "Admin" in rows(answer)["Tom Achterberg"].text
    assert "Tom Achterberg is now Admin" in toasts(answer)
    assert set(errors(maya.post(path, {"role": "emperor"}, htmx=True))) == {"role"}


def test_disabling_ends_the_session_at_once_and_enabling_gives_a_new_password(maya, tom, teammate):
    path = f"/panel/people/{teammate.public_id}"
    assert f"{teammate.email} is signed out everywhere" in page(maya.get(f"{path}/disable", htmx=True)).text
    answer = maya.post(f"{path}/disable", htmx=True)

    assert "Disabled" in rows(answer)["Tom Achterberg"].text
    assert tom.get("/panel/workspaces").status_code == 303
    assert maya.post(f"{path}/disable", htmx=True).status_code == 409

    password = one(page(maya.post(f"{path}/enable", htmx=True)), "#one-time").text
    assert staff_sessions.authenticate(teammate.email, password)


def test_a_new_password_ends_the_old_one(maya, tom, teammate):
    path = f"/panel/people/{teammate.public_id}/password"
    assert "Their password stops working" in page(maya.get(path, htmx=True)).text

    password = one(page(maya.post(path, htmx=True)), "#one-time").text

    assert tom.get("/panel/workspaces").status_code == 303
    assert staff_sessions.authenticate(teammate.email, password)


@pytest.mark.parametrize("what", ["role", "disable", "enable", "password"])
def test_nobody_changes_themselves_and_admins_no_owner(maya, ines, owner, what):
    path = f"/panel/people/{owner.public_id}/{what}"
    for browser in (maya, ines):
        answer = browser.post(path, {"role": "member"}, htmx=True)
        assert answer.status_code in (403, 422)
    assert staff.get(owner.agency, owner.public_id).role is Role.OWNER
    assert owner.disabled_at is None


def test_the_list_costs_the_same_however_long(maya, agency, owner):
    costs = []
    for number in (1, 9):
        for each in range(number):
            staff.add(agency, name="Lena", email=f"{number}-{each}@{agency.slug}.example", role=Role.MEMBER, by=owner)
        with counted() as statements:
            maya.get("/panel/people")
        costs.append(len(statements))

    assert costs[0] == costs[1]

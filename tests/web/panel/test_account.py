import pytest

from app.extensions import db
from app.models import Agency, Staff
from app.services import passwords, staff, staff_sessions
from app.tenancy import acting_for
from app.web.panel.account import browser_name
from tests import factories
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import errors, one, page


def changing(browser, **changes):
    return browser.post(
        "/panel/account/password", {"current": factories.PASSWORD, "new": "another harbour at dusk"} | changes
    )


def test_the_page_shows_oneself_and_where_one_is_signed_in(app, maya, owner):
    factories.signed_in(app, owner)
    soup = page(maya.get("/panel/account"))

    assert one(soup, "#name")["value"] == owner.name
    assert owner.email in one(soup, ".gh-head").text
    assert len(soup.select("tbody tr")) == 2
    assert len([row for row in soup.select("tbody tr") if "this one" in row.text]) == 1


def test_the_page_shows_nobody_elses_sessions(app, maya, teammate):
    factories.signed_in(app, teammate)

    assert len(page(maya.get("/panel/account")).select("tbody tr")) == 1


def test_ones_name_is_ones_own_to_change(tom, teammate):
    answer = tom.post("/panel/account/name", {"name": "Thomas Achterberg"})

    assert answer.headers["Location"] == "/panel/account"
    assert "Thomas Achterberg" in tom.get("/panel/account").text


@pytest.mark.parametrize("name", ["", "   ", "x" * 81, "a\u202eb", "a\x00b"])
def test_a_bad_name_is_told_at_its_field(tom, name):
    answer = tom.post("/panel/account/name", {"name": name})

    assert set(errors(answer)) == {"name"}


def test_changing_the_password_signs_out_everywhere_else(app, maya, owner):
    elsewhere = factories.signed_in(app, owner)
    answer = changing(maya)

    assert answer.headers["Location"] == "/panel/account"
    assert maya.get("/panel/account").status_code == 200
    assert elsewhere.get("/panel/account").status_code == 303
    assert staff_sessions.authenticate(owner.email, "another harbour at dusk")


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"current": ""}, {"current": "This is required."}),
        ({"current": "not the password"}, {"current": "This is not your current password."}),
        ({"new": "short"}, {"new": "This has 5 characters; 7 more are needed."}),
        ({"new": factories.PASSWORD}, {"new": "This is the password that you have now."}),
        (
            {"current": "", "new": ""},
            {"current": "This is required.", "new": "This has 0 characters; 12 more are needed."},
        ),
    ],
)
def test_a_bad_password_is_told_at_its_field_and_shown_nowhere(maya, changes, found):
    answer = changing(maya, **changes)

    assert errors(answer) == found
    assert factories.PASSWORD not in answer.text
    assert "not the password" not in answer.text


def test_a_change_that_a_reset_overtakes_leaves_the_reset_and_nobody_signed_in(
    app, tom, agency, owner, teammate, monkeypatch
):
    agency_id, owner_id, key, real = agency.id, owner.id, teammate.public_id, passwords.hashed

    def hashed(password):
        monkeypatch.setattr(passwords, "hashed", real)
        with app.app_context(), acting_for(agency_id):
            staff.renew_password(db.session.get_one(Agency, agency_id), key, by=db.session.get_one(Staff, owner_id))
        return real(password)

    monkeypatch.setattr(passwords, "hashed", hashed)
    answer = changing(tom)

    assert answer.status_code == 409
    assert "Your password was changed meanwhile. Sign in with the new one." in answer.text
    assert tom.get("/panel/").status_code == 303
    db.session.rollback()
    assert passwords.is_one_time(teammate.password_hash)


def test_the_current_password_can_not_be_guessed(maya):
    for _ in range(10):
        changing(maya, current="not the password")

    assert errors(changing(maya), 429) == {"": "Too many tries. Wait a little, then try again."}


def test_signing_out_everywhere_ends_every_session(app, maya, owner):
    elsewhere = factories.signed_in(app, owner)
    answer = maya.post("/panel/account/sign-out-everywhere")

    assert answer.headers["Location"] == "/panel/sign-in"
    for browser in (maya, elsewhere):
        assert browser.get("/panel/account").status_code == 303


def test_one_signs_out_nobody_else(tom, maya):
    tom.post("/panel/account/sign-out-everywhere")

    assert maya.get("/panel/account").status_code == 200


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("curl/8.0", "Another browser"),
        ("<script>", "Another browser"),
        (None, "Another browser"),
    ],
)
@pytest.mark.usefixtures("app_context")
def test_browser_name_says_what_the_browser_says(user_agent, name):
    assert browser_name(user_agent) == name

import pytest

from app.services import members
from tests import factories
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import errors, one, page, toasts


@pytest.fixture
def url(workspace):
    return f"/panel/workspaces/{workspace.public_id}"


def test_adding_a_member_shows_in_the_list_behind_the_dialog(tom, url):
    dialog = page(tom.get(f"{url}/members/new", htmx=True))
    assert one(dialog, "form")["hx-post"] == f"{url}/members"

    answer = tom.post(f"{url}/members", {"name": "Dana Reyes", "email": "Dana@HarborDental.example"}, htmx=True)

    assert answer.headers["HX-Retarget"] == "#members"
    assert "close-dialog" in toasts(answer)
    assert "Added Dana Reyes" in toasts(answer)
    assert "dana@harbordental.example" in one(page(answer), "#members").text


def test_adding_a_member_without_htmx_redirects(tom, url):
    answer = tom.post(f"{url}/members", {"name": "Dana Reyes", "email": "dana@harbordental.example"})

    assert (answer.status_code, answer.headers["Location"]) == (303, url)


@pytest.mark.parametrize(
    ("name", "email", "at"),
    [
        ("", "", {"name", "email"}),
        ("x" * 81, "dana@harbordental.example", {"name"}),
        ("Dana\u202e", "dana@harbordental.example", {"name"}),
        ("Dana\r\nTo: eve@elsewhere.example", "dana@harbordental.example", {"name"}),
        ("Dana", "dana@harbordental", {"email"}),
        ("Dana", "dana@harbordental.example\nBcc: eve@elsewhere.example", {"email"}),
        ("Dana", "a@b.example, c@d.example", {"email"}),
        ("Dana", "x" * 400 + "@b.example", {"email"}),
        ("Dana", "\x00@b.example", {"email"}),
    ],
)
def test_bad_input_is_told_at_its_field_and_stays(tom, url, name, email, at):
    answer = tom.post(f"{url}/members", {"name": name, "email": email}, htmx=True)

    assert set(errors(answer)) == at
    if (name + email).isprintable():
        soup = page(answer, 422)
        assert (one(soup, "#name").get("value", ""), one(soup, "#email").get("value", "")) == (name, email)


def test_a_member_that_there_is_is_told_at_its_field(tom, workspace, url):
    factories.make_member(workspace, "dana@harbordental.example")
    answer = tom.post(f"{url}/members", {"name": "Dana", "email": "DANA@harbordental.example"}, htmx=True)

    assert errors(answer) == {"email": "This address is a member already."}


def test_removing_a_member_says_what_it_does_and_does_it(tom, workspace, url):
    member = factories.make_member(workspace)
    path = f"{url}/members/{member.public_id}/remove"
    assert f"{member.email} can no longer sign in" in page(tom.get(path, htmx=True)).text

    answer = tom.post(path, htmx=True)

    assert "No members yet" in one(page(answer), "#members").text
    assert members.page(workspace).items == []
    assert tom.post(path, htmx=True).status_code == 404


def test_a_member_of_another_workspace_is_not_there(tom, agency, url):
    elsewhere = factories.make_member(factories.make_workspace(agency, "Tannery Row"))
    path = f"{url}/members/{elsewhere.public_id}/remove"

    assert tom.get(path).status_code == tom.post(path).status_code == 404

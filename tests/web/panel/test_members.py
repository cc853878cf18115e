from datetime import timedelta

import pytest

from app import clock as app_clock
from app.models import Health
from app.services import members, mending_requests
from tests import factories
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import errors, one, page, toasts

# The last noon: what is counted by the day is then counted in one, and nobody's session has run out by then.
NOON = (app_clock.now() - timedelta(hours=12)).replace(hour=12)


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


def test_removing_says_what_becomes_of_their_connections(tom, workspace, url):
    member = factories.make_member(workspace, "dana@harbordental.example")
    for _ in range(2):
        factories.make_connection(workspace, owner_email="dana@harbordental.example", name=f"Account {_}")
    path = f"{url}/members/{member.public_id}/remove"
    assert "nobody of this client can look after them" in page(tom.get(path, htmx=True)).text
    factories.make_member(workspace, "ann@harbordental.example", "Ann")
    assert "2 connections of theirs pass to the other members." in page(tom.get(path, htmx=True)).text

    assert "2 connections passed to the other members." in toasts(tom.post(path, htmx=True))


def test_removing_says_that_what_they_are_asked_to_mend_is_withdrawn(tom, workspace, url, owner):
    member = factories.make_member(workspace, "dana@harbordental.example")
    broken = factories.make_connection(workspace, owner_email=member.email, health=Health.ERROR)
    workflow = factories.make_workflow(workspace, owner, ("slack", "send_channel_message"))
    path, said = f"{url}/members/{member.public_id}/remove", "1 request to reconnect an account is withdrawn"
    assert said not in page(tom.get(path, htmx=True)).text
    mending_requests.queue(broken, workflow=workflow, by=owner)

    assert said in page(tom.get(path, htmx=True)).text


def test_the_list_says_how_far_each_member_has_come(app, tom, workspace, url):
    tom.post(f"{url}/members", {"name": "Dana Reyes", "email": "dana@harbordental.example"}, htmx=True)
    assert "Invitation on its way" in tom.get(url).text
    factories.signed_in_client(app, "dana@harbordental.example", workspace)

    shown = one(page(tom.get(url)), "#members")

    assert "Signed in" in shown.text
    assert "Send invitation again" not in shown.text


def test_an_invitation_is_sent_again_after_a_while_and_three_times_a_day(tom, workspace, url, clock):
    clock.to(NOON)
    tom.post(f"{url}/members", {"name": "Dana Reyes", "email": "dana@harbordental.example"}, htmx=True)
    (member,) = members.page(workspace).items
    path = f"{url}/members/{member.public_id}/invite"
    assert "less than five minutes ago" in toasts(tom.post(path, htmx=True))

    for _ in range(3):
        clock.forward(minutes=5)
        assert "Sent the invitation again" in toasts(tom.post(path, htmx=True))
    clock.forward(minutes=5)
    assert "three times today" in toasts(tom.post(path, htmx=True))

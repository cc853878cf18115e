"""The panel's connections: the list with its filters, and the page of each."""

from datetime import timedelta

import pytest

from app import clock as app_clock
from app.database import transaction
from app.models import Health, Revocation
from app.services import audit, connections
from app.services.audit import Actor
from tests import factories
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import one, page
from tests.support.statements import counted
from tests.web.panel import held as holding
from tests.web.panel.held import FULL, acts, at, names
from tests.web.panel.requests_screen import PRIYA, change, row, settle, words

held, broken = holding.fixtures


# ── The list ─────────────────────────────────────────────────────────────────


def test_without_any_the_list_says_what_will_be_here(maya, workspace):
    answer = maya.get("/panel/connections")

    assert "No connections yet" in answer.text
    assert not page(answer).select("form[role=search]")


def test_the_list_says_whose_each_is_how_it_stands_and_where_it_is_used(maya, workspace, broken, workflow):
    answer = maya.get("/panel/connections")
    [found] = page(answer).select("tbody tr")

    assert PRIYA.replace("@", "@<wbr>") in answer.text
    assert "Front desk Slack, desk@slack.example" in words(found)
    assert "Reconnection needed. Access was removed or ran out in Slack." in words(found)
    assert f"Harbor Dental {PRIYA}" in words(found)
    assert "New patient intake" in words(found)
    assert "Not used yet" in words(found)
    assert one(found, "button")["hx-get"] == at(broken, "/ask")


def test_the_menu_leads_there(maya, workspace):
    assert words(one(page(maya.get("/panel/connections")), ".gh-nav a[aria-current=page]")) == "Connections"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"Ours", "Bens", "Anns"}),
        ("q=ANN", {"Anns"}),
        ("q=bens@hubspot", {"Bens"}),
        ("q=%25", set()),
        ("app=hubspot", {"Bens"}),
        ("app=nothing", set()),
        ("workspace=agency", {"Ours"}),
        ("workspace=nothing", set()),
        ("status=error", {"Bens"}),
        ("status=ending", {"Anns"}),
        ("status=nothing", set()),
        ("owner=agency", {"Ours"}),
        ("owner=clients", {"Bens", "Anns"}),
        ("owner=ANN@x.example", {"Anns"}),
        ("owner=clients&app=slack", {"Anns"}),
    ],
)
def test_the_list_narrows_by_each_filter(maya, workspace, clock, query, found):
    soon = clock.now + timedelta(days=13)
    factories.make_connection(workspace, workspace_id=None, name="Ours", account=None)
    factories.make_connection(
        workspace,
        "hubspot",
        name="Bens",
        owner_email="ben@x.example",
        health=Health.ERROR,
        account="bens@hubspot.example",
    )
    factories.make_connection(workspace, name="Anns", owner_email="ann@x.example", grant_ends_at=soon)

    assert set(names(maya.get(f"/panel/connections?{query}"))) == found


def test_the_list_narrows_by_workspace_and_keeps_what_was_chosen(maya, agency, workspace, held):
    other = factories.make_workspace(agency, "Bluefin")
    factories.make_connection(other, name="Elsewhere")
    answer = maya.get(f"/panel/connections?workspace={other.public_id}&owner=zoe@x.example")

    assert names(answer) == []
    assert "No connection fits" in answer.text
    chosen = [each["value"] for each in page(answer).select("option[selected]")]
    assert chosen == [other.public_id, "zoe@x.example"]
    assert names(maya.get(f"/panel/connections?workspace={other.public_id}")) == ["Elsewhere"]


def test_a_filter_changes_the_list_alone_and_the_address_can_be_kept(maya, held):
    answer = maya.get("/panel/connections?q=front&workspace=&app=&status=active&owner=", htmx=True)

    assert page(answer).find()["id"] == "connections"
    assert answer.headers["HX-Push-Url"] == "/panel/connections?q=front&status=active"
    assert names(answer) == ["Front desk"]


def test_the_list_is_paged_and_keeps_its_filters(maya, workspace, monkeypatch):
    monkeypatch.setattr("app.services.paging.PAGE", 2)
    for number in range(3):
        factories.make_connection(workspace, name=f"Slack {number}")
    first = maya.get("/panel/connections?app=slack")
    older = one(page(first), "a[rel=next]")["href"]

    assert names(first) == ["Slack 2", "Slack 1"]
    assert "app=slack" in older
    assert names(maya.get(older)) == ["Slack 0"]


def test_deleted_ones_and_those_of_others_are_nowhere(maya, sam, held, clock):
    assert names(sam.get("/panel/connections")) == []
    for act in ("", "/rename", "/revoke", "/delete", "/ask"):
        assert sam.get(at(held, act)).status_code == 404
    for act in ("/rename", "/revoke", "/delete", "/ask"):
        assert sam.post(at(held, act), {"name": "Mine", "confirmed": "1"}, htmx=True).status_code == 404
    assert acts(held) == []
    change(held, deleted_at=clock.now)
    assert names(maya.get("/panel/connections")) == []
    assert maya.get(at(held)).status_code == 404


def test_nobody_gets_in_without_signing_in(anybody, held):
    assert "/panel/sign-in" in anybody.get("/panel/connections").headers["Location"]
    assert "/panel/sign-in" in anybody.get(at(held)).headers["Location"]


def test_the_list_asks_as_often_for_twenty_as_for_one(maya, agency, held):
    def statements():
        with counted() as found:
            maya.get("/panel/connections")
        return len(found)

    statements()
    before = statements()
    for number in range(20):
        factories.make_connection(
            factories.make_workspace(agency, f"Client {number}"),
            "hubspot" if number % 2 else "slack",
            owner_email=f"p{number}@x.example",
        )

    assert statements() == before


# ── The page of one ──────────────────────────────────────────────────────────


def test_the_page_tells_all_that_there_is(maya, workspace, workflow, held, owner):
    connections.rename(held, "Reception", by=owner)
    answer = maya.get(at(held))
    text = words(one(page(answer), "main"))

    for part in (
        "Reception",
        "Connected and working.",
        "desk@slack.example",
        "Harbor Dental",
        f"{PRIYA} , who alone can reconnect or refresh it",
        "Send messages",
        "chat:write",
        "New patient intake",
        f"Renamed by {owner.email}, before: Front desk",
    ):
        assert part in text, part


def test_the_page_tells_of_uses_by_workflow_and_key(maya, held, workflow):
    with transaction():
        audit.record("connection.used", held, by=Actor("api", "Make"), at=app_clock.now(), workflow=workflow.public_id)

    assert "Used by the API key “Make”, for the workflow New patient intake" in words(
        one(page(maya.get(at(held))), ".gh-timeline")
    )


def test_the_activity_is_paged(maya, held, owner, monkeypatch):
    monkeypatch.setattr("app.services.paging.PAGE", 2)
    for number in range(3):
        connections.rename(held, f"Name {number}", by=owner)
    first = page(maya.get(at(held)))

    assert len(first.select(".gh-timeline li")) == 2
    second = page(maya.get(one(first, "a[rel=next]")["href"]))
    assert "before: Front desk" in words(one(second, ".gh-timeline li"))


def test_a_working_connection_is_not_asked_for_first(maya, held):
    button = one(page(maya.get(at(held))), "#mend")

    assert words(button) == "Ask the client now"
    assert "btn-secondary" in button["class"]


def test_what_was_revoked_says_what_came_of_it(maya, held):
    change(held, health=Health.REVOKED, revocation=Revocation.CONFIRMED)
    answer = maya.get(at(held))

    assert "Revoked at Slack" in answer.text
    assert not page(answer).select("#revoke")


def test_an_account_that_was_kept_though_another_was_expected_is_flagged_everywhere(
    maya, workspace, workflow, owner, url
):
    [slack, _hubspot] = factories.make_sent(workflow, owner)
    held = factories.make_connection(workspace, scopes=FULL, owner_email=PRIYA)
    settle(slack, held)
    flag = "Another account than harbordental.example, kept by the client."
    change(slack, expected_account="harbordental.example")
    assert "kept by the client" not in maya.get(at(held)).text
    change(slack, other_account=True)

    assert flag in words(row(maya.get(url), slack))
    assert flag in words(page(maya.get(at(held))))
    assert flag in words(one(page(maya.get("/panel/connections")), "tbody tr"))


def test_the_acts_begin_with_what_helps_and_end_with_what_destroys(maya, held):
    found = [words(each) for each in page(maya.get(at(held))).select(".gh-head .gh-actions button")]

    assert found == ["Ask the client now", "Test", "Rename", "Revoke", "Delete"]


def test_workspaces_beyond_those_that_are_offered_are_searched_for(maya, agency, workspace, held, monkeypatch):
    assert "has only the first" not in maya.get("/panel/connections").text
    monkeypatch.setattr("app.services.connection_views.MOST_OFFERED", 1)
    far = factories.make_workspace(agency, "Zenith Mills")
    factories.make_connection(far, name="Far off")

    assert "The list of workspaces has only the first 1." in maya.get("/panel/connections").text
    assert names(maya.get("/panel/connections?q=zenith")) == ["Far off"]

import pytest

from app.extensions import db
from app.services import overview, workflows, workspaces
from tests import factories
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import errors, one, page, toasts
from tests.support.statements import counted

BAD_NAMES = ["", "   ", "x" * 81, "Harbor\nDental", "Harbor\x00Dental", "Harbor\u200bDental"]


@pytest.fixture
def url(workspace):
    return f"/panel/workspaces/{workspace.public_id}"


def names(answer):
    return [each.get_text(strip=True) for each in page(answer).select("tbody th a")]


def test_an_empty_panel_leads_to_the_first_workspace(maya):
    soup = page(maya.get("/panel/workspaces"))

    assert "No workspaces yet" in soup.text
    assert {each["hx-get"] for each in soup.select("button[hx-get]")} == {"/panel/workspaces/new"}


def test_the_list_shows_ones_own_workspaces(agency, maya, tom, sam):
    for name in ("Harbor Dental", "Tannery Row"):
        factories.make_workspace(agency, name)

    assert (
        names(maya.get("/panel/workspaces")) == names(tom.get("/panel/workspaces")) == ["Tannery Row", "Harbor Dental"]
    )
    assert names(sam.get("/panel/workspaces")) == []


def test_the_list_is_paged(agency, maya, monkeypatch):
    monkeypatch.setattr("app.services.paging.PAGE", 2)
    for number in range(5):
        factories.make_workspace(agency, f"Client {number}")

    seen, url = [], "/panel/workspaces"
    while url:
        answer = maya.get(url)
        seen += names(answer)
        older = page(answer).select("a[rel=next]")
        url = older[0]["href"] if older else None

    assert seen == [f"Client {number}" for number in (4, 3, 2, 1, 0)]
    newer = one(page(answer), "a[rel=prev]")["href"]
    assert names(maya.get(newer)) == ["Client 2", "Client 1"]


def test_the_list_is_searched(agency, maya):
    for name in ("Harbor Dental", "Tannery Row"):
        factories.make_workspace(agency, name)

    assert names(maya.get("/panel/workspaces?q=+tannery++row+")) == ["Tannery Row"]
    nothing = maya.get("/panel/workspaces?q=<b>%22'%00")
    assert names(nothing) == []
    assert "<b>" not in nothing.text


def test_the_list_costs_the_same_however_long(agency, maya):
    costs = []
    for number in (1, 15):
        for each in range(number):
            factories.make_workspace(agency, f"Client {number}-{each}")
        db.session.rollback()
        with counted() as statements:
            maya.get("/panel/workspaces")
        costs.append(len(statements))

    assert costs[0] == costs[1] <= 12


def test_adding_a_workspace_leads_to_its_page(maya, agency):
    dialog = page(maya.get("/panel/workspaces/new", htmx=True))
    assert one(dialog, "form")["hx-post"] == "/panel/workspaces"

    answer = maya.post("/panel/workspaces", {"name": " Harbor Dental "}, htmx=True)

    [made] = workspaces.page(agency).items
    assert answer.headers["HX-Redirect"] == f"/panel/workspaces/{made.public_id}"
    soup = page(maya.get(answer.headers["HX-Redirect"]))
    assert one(soup, "h1").text == "Harbor Dental"
    assert "Added Harbor Dental" in one(soup, "#toasts").text


def test_adding_a_workspace_without_htmx_redirects(maya):
    answer = maya.post("/panel/workspaces", {"name": "Harbor Dental"})

    assert answer.status_code == 303


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("what", ["", "/rename", "/workflows"])
def test_a_bad_name_is_told_at_its_field(maya, url, what, name):
    answer = maya.post(url + what if what else "/panel/workspaces", {"name": name}, htmx=True)

    assert set(errors(answer)) == {"name"}
    assert one(page(answer, 422), "form")["id"] == "dialog-content"
    if name.isprintable():
        assert one(page(answer, 422), "#name").get("value", "") == name


def test_a_name_that_there_is_is_told_at_its_field(maya, workspace, agency):
    other = factories.make_workspace(agency, "Tannery Row")
    for path in ("/panel/workspaces", f"/panel/workspaces/{other.public_id}/rename"):
        answer = maya.post(path, {"name": "harbor dental"}, htmx=True)
        assert errors(answer) == {"name": "You have a workspace of this name already."}
        assert one(page(answer, 422), "#name")["value"] == "harbor dental"


def test_only_named_fields_are_taken(maya, agency, stranger):
    maya.post(
        "/panel/workspaces",
        {"name": "Harbor Dental", "agency_id": stranger.agency_id, "public_id": "x", "archived_at": "1"},
    )

    [made] = workspaces.page(agency).items
    assert (made.agency_id, made.public_id == "x", made.archived_at) == (agency.id, False, None)


def test_the_page_shows_workflows_and_members(maya, workspace, owner, url):
    factories.make_member(workspace)
    workflow = workflows.create(workspace, "New patient intake", by=owner)
    soup = page(maya.get(url))

    assert f'href="{url}/workflows/{workflow.public_id}"' in str(one(soup, "#workflows"))
    assert "dana.reyes@harbordental.example" in one(soup, "#members").text
    assert one(soup, ".gh-crumbs a")["href"] == "/panel/workspaces"


def test_the_page_of_a_new_workspace_says_what_comes_first(maya, url):
    soup = page(maya.get(url))

    assert "No workflows yet" in soup.text
    assert "No members yet" in soup.text


def test_the_page_costs_the_same_however_much_is_on_it(maya, workspace, owner, url):
    costs = []
    for number in (1, 9):
        for each in range(number):
            workflows.create(workspace, f"Workflow {number}-{each}", by=owner)
            factories.make_member(workspace, f"{number}-{each}@harbordental.example")
        db.session.rollback()
        with counted() as statements:
            maya.get(url)
        costs.append(len(statements))

    assert costs[0] == costs[1] <= 12


def test_renaming_is_seen(maya, url):
    assert one(page(maya.get(f"{url}/rename", htmx=True)), "#name")["value"] == "Harbor Dental"
    answer = maya.post(f"{url}/rename", {"name": "Harbor Dental Group"}, htmx=True)

    assert answer.headers["HX-Redirect"] == url
    assert one(page(maya.get(url)), "h1").text == "Harbor Dental Group"


def test_archiving_says_what_it_does_and_can_be_undone(maya, url):
    assert "Nothing can be queued or sent" in page(maya.get(f"{url}/archive", htmx=True)).text
    assert maya.post(f"{url}/archive", htmx=True).headers["HX-Redirect"] == "/panel/workspaces"
    assert names(maya.get("/panel/workspaces")) == []
    assert names(maya.get("/panel/workspaces?archived=")) == ["Harbor Dental"]
    soup = page(maya.get(url))
    assert "This workspace is archived" in soup.text
    assert not soup.select("#new-workflow")
    assert maya.post(f"{url}/archive", htmx=True).status_code == 409

    maya.post(f"{url}/restore")

    assert names(maya.get("/panel/workspaces")) == ["Harbor Dental"]
    assert maya.post(f"{url}/restore").status_code == 409


def test_adding_a_workflow_leads_to_its_page(maya, workspace, url):
    assert one(page(maya.get(f"{url}/workflows/new", htmx=True)), "form")["hx-post"] == f"{url}/workflows"
    answer = maya.post(f"{url}/workflows", {"name": "New patient intake"}, htmx=True)

    [made] = overview.workflows_of(workspace).items
    assert answer.headers["HX-Redirect"] == f"{url}/workflows/{made.workflow.public_id}"


def test_an_archived_workspace_takes_no_workflow(maya, url):
    maya.post(f"{url}/archive")
    answer = maya.post(f"{url}/workflows", {"name": "New patient intake"}, htmx=True)

    assert answer.status_code == 409
    assert "This workspace is archived." in toasts(answer)

"""The portal's first page: the connections that are the visitor's own, how each stands, and however many there are."""

import re
from datetime import timedelta

import pytest

from app import clock
from app.extensions import db
from app.models import Health, Revocation
from app.services.audit import Actor
from tests import factories
from tests.services.settling import change
from tests.support.shared_app import foreign_workspace
from tests.support.statements import counted
from tests.web.portal import own_connections
from tests.web.portal.own_connections import DANA, PAGE, PRIYA, STEPS, TOM, note, row, visitor, words

pytestmark = pytest.mark.both_databases
dana, member, slack = own_connections.fixtures


# ── Whose ───────────────────────────────────────────────────────────────────


def test_a_member_sees_their_own_connections_and_those_whose_owner_was_removed(app, dana, workspace, slack):
    theirs = factories.make_connection(workspace, "hubspot", owner_email=TOM, name="Tom's own")
    left = factories.make_connection(workspace, "xero", owner_email=PRIYA, name="Left", owner_left_at=clock.now())
    agencys = factories.make_connection(workspace, "zendesk", name="The agency's")
    deleted = factories.make_connection(workspace, "notion", owner_email=DANA, name="Gone", deleted_at=clock.now())

    html = dana.get(PAGE)

    assert row(html, slack)
    assert row(html, left)
    for each in (theirs, agencys, deleted):
        assert each.public_id not in html
        assert each.name not in html
        for act in ("refresh", "reconnect", "rename", "revoke"):
            assert dana.post(f"{PAGE}/{each.public_id}/{act}", name="Mine").status_code == 404


def test_an_owner_who_is_no_member_sees_their_own_alone(app, workspace, slack, owner):
    own = factories.make_connection(workspace, "hubspot", owner_email=PRIYA, name="Priya's own")
    left = factories.make_connection(workspace, "xero", owner_email=TOM, name="Left", owner_left_at=clock.now())
    factories.make_sent(factories.make_workflow(workspace, owner, STEPS[0]), owner, recipient=DANA)

    html = visitor(app, PRIYA, workspace).get(PAGE)

    assert row(html, own)
    assert "No outstanding connection requests" in words(html)
    for each in (slack, left):
        assert each.public_id not in html
    assert "New patient intake" not in html


def test_an_owner_who_was_removed_has_nothing_left_here(app, workspace):
    factories.make_connection(workspace, "xero", owner_email=TOM, name="Left", owner_left_at=clock.now())

    answer = visitor(app, TOM, workspace).ask("GET", PAGE)

    assert answer.status_code == 303


def test_what_was_granted_is_told_to_whoever_looks_after_it_and_to_nobody_else(app, workspace, member, slack):
    change(slack, scopes=["chat:write"])
    factories.make_member(workspace, TOM, "Tom Hale")
    pages = {email: visitor(app, email, workspace) for email in (DANA, TOM)}
    said = "What it may do , Front desk Send messages as the app"
    assert [said in words(each.get(PAGE)) for each in pages.values()] == [True, False]

    change(slack, owner_left_at=clock.now())
    assert said in words(pages[TOM].get(PAGE)), "it is looked after by the others"
    change(slack, scopes=[])
    assert "What it may do , Front desk Slack did not say which." in words(pages[TOM].get(PAGE))
    change(slack, health=Health.REVOKED)
    assert "What it may do" not in words(pages[TOM].get(PAGE))


@pytest.mark.parametrize("act", ["refresh", "reconnect", "rename", "revoke"])
def test_neither_another_workspace_nor_another_agency_reaches_a_connection(
    app, agency, workspace, slack, stranger, act
):
    elsewhere = factories.make_workspace(agency, "Bluefin Logistics")
    foreign = foreign_workspace(stranger)
    for place in (elsewhere, foreign):
        factories.make_member(place, DANA)
        other = visitor(app, DANA, place)
        assert slack.public_id not in other.get(PAGE)
        assert other.post(f"{PAGE}/{slack.public_id}/{act}", name="Mine").status_code == 404
        if act in ("rename", "revoke"):
            assert other.ask("GET", f"{PAGE}/{slack.public_id}/{act}").status_code == 404
    db.session.refresh(slack)
    assert slack.name == "Front desk"
    assert slack.health is Health.ACTIVE


# ── How each stands ─────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"health": Health.ACTIVE}, "Active Connected and working. Last"),
        ({"health": Health.PENDING}, "Pending Waiting for the first sync. Last"),
        (
            {"health": Health.ERROR, "health_reason": "grant_ended"},
            "Error Reconnection needed. Access was removed or ran out in Slack.",
        ),
        (
            {"health": Health.REVOKED, "revocation": Revocation.CONFIRMED},
            "Revoked Revoked. Workflows that depend on it are paused until you reconnect. Revoked at Slack",
        ),
        (
            {"health": Health.REVOKED, "revocation": Revocation.UNSUPPORTED},
            "We stopped using it and deleted it here; Slack offers no revocation: remove it in your Slack settings",
        ),
        (
            {"health": Health.REVOKED, "revocation": Revocation.UNCONFIRMED},
            "We stopped using it and deleted it here; Slack did not confirm that it is revoked: remove it in your Slack settings",
        ),
        (
            {"health": Health.REVOKED, "revocation": Revocation.KEPT_FOR_SIBLING},
            "We stopped using it and deleted it here; Slack was not asked to revoke it: that would end another connection of the account",
        ),
    ],
)
def test_a_row_says_how_the_connection_stands(dana, slack, values, said):
    change(slack, **values)

    assert said.removesuffix(" Last") in row(dana.get(PAGE), slack)


@pytest.mark.parametrize(
    ("revocation", "links"),
    [
        (Revocation.UNSUPPORTED, ["Slack settings"]),
        (Revocation.UNCONFIRMED, ["Slack settings"]),
        (Revocation.KEPT_FOR_SIBLING, []),
        (Revocation.CONFIRMED, []),
        (Revocation.PENDING, []),
    ],
)
def test_a_row_leads_to_the_app_where_its_owner_has_to_end_the_access_there(catalog, dana, slack, revocation, links):
    change(slack, health=Health.REVOKED, revocation=revocation)
    where = catalog.get("slack").revoke_help

    html = dana.get(PAGE)

    assert where.startswith("https://")
    assert re.findall(rf'<a href="{re.escape(where)}" rel="noreferrer noopener">([^<]+)</a>', html) == links


def test_a_row_names_app_account_label_and_last_use(dana, slack):
    assert row(dana.get(PAGE), slack).startswith("Sl Slack someone@slack.example Front desk What it may do")
    assert "Not used yet" in row(dana.get(PAGE), slack)
    change(slack, used_at=clock.now() - timedelta(minutes=4))

    assert "4 minutes ago" in row(dana.get(PAGE), slack)


@pytest.mark.parametrize(
    ("health", "acts"),
    [
        (Health.ACTIVE, ["Refresh", "Reconnect", "Rename", "Revoke"]),
        (Health.ERROR, ["Reconnect", "Rename", "Revoke"]),
        (Health.REVOKED, ["Reconnect", "Rename"]),
    ],
)
def test_a_row_has_the_acts_that_make_sense(dana, slack, health, acts):
    change(slack, health=health)

    html = dana.get(PAGE)

    assert re.findall(r'aria-label="(\w+) Front desk, Slack"', html) == acts


def test_the_list_asks_for_itself_only_while_a_revocation_is_on_its_way(dana, slack):
    assert 'hx-get="/portal/connections/list"' not in dana.get(PAGE)
    change(slack, health=Health.REVOKED, revocation=Revocation.PENDING)

    assert 'hx-get="/portal/connections/list" hx-trigger="every 3s"' in dana.get(PAGE)
    answer = dana.ask("GET", f"{PAGE}/list", headers={"HX-Request": "true", "X-Poll": "1"})
    assert "has yet to confirm" in words(answer.text)
    assert "<html" not in answer.text


# ── However much there is ───────────────────────────────────────────────────


def test_the_page_takes_as_many_statements_for_much_as_for_little(app, dana, workspace, owner, slack):
    def fill(number: int) -> None:
        workflow = factories.make_workflow(workspace, owner, *STEPS, name=f"Workflow {number}")
        factories.make_sent(workflow, owner, recipient=DANA)
        another = factories.make_connection(workspace, "xero", owner_email=DANA, name=f"Books {number}")
        note(another, "connection.used", Actor("system", "runner"), workflow=workflow.public_id)

    fill(0)
    dana.get(PAGE)
    with app.app_context(), counted() as few:
        dana.web.get(PAGE)
    for number in range(1, 6):
        fill(number)
    with app.app_context(), counted() as many:
        answer = dana.web.get(PAGE)

    assert answer.text.count("0 of 2 connected</p>") == 6
    assert len(many) == len(few) <= 10


def test_the_connections_are_paged(dana, workspace):
    for number in range(53):
        factories.make_connection(workspace, "slack", owner_email=DANA, name=f"Account {number}")

    first = dana.get(PAGE)
    assert first.count('<tr role="row" id=') == 50
    older = re.search(r'href="(/portal/connections\?after=\w+)#connections-list"', first)[1]
    second = dana.get(older)
    assert second.count('<tr role="row" id=') == 3
    connection = re.search(r'id="connection-(\w+)"', second)[1]
    place = older.partition("?")[2]
    assert f"/portal/connections/{connection}/refresh?{place}" in second


def test_what_broke_stands_on_top_and_what_was_revoked_keeps_its_place(dana, workspace):
    older, middle, newest = (
        factories.make_connection(workspace, "slack", owner_email=DANA, name=name, created_at=clock.now())
        for name in ("Older", "Middle", "Newest")
    )
    change(older, health=Health.ERROR)
    change(middle, health=Health.REVOKED, revocation=Revocation.CONFIRMED)

    html = dana.get(PAGE)

    places = [html.index(f'id="connection-{each.public_id}"') for each in (older, newest, middle)]
    assert places == sorted(places)

"""The panel's connections: the list with its filters, the page of each, what staff may do with one."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from app import clock as app_clock
from app.database import transaction
from app.errors import ProviderFailed
from app.extensions import db
from app.models import AuditEvent, ConnectionRequest, Health, Kind, Revocation, Secret
from app.oauth.faults import Fault
from app.services import audit, connections, credentials, freshness, sending, slots
from app.services.audit import Actor
from tests import factories
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import errors, one, page, toasts
from tests.support.statements import counted
from tests.web.panel.requests_screen import DANA, PRIYA, change, row, settle, words

FULL = ["chat:write", "channels:read"]


@pytest.fixture
def held(workspace, workflow, owner):
    """Priya's Slack, used by the workflow."""
    held = factories.make_connection(
        workspace, name="Front desk", scopes=FULL, owner_email=PRIYA, account="desk@slack.example"
    )
    slots.use_connection(workflow.slots[0], held.public_id, by=owner)
    return held


@pytest.fixture
def broken(held):
    change(held, health=Health.ERROR, health_reason=Fault.GRANT_ENDED, broken_at=app_clock.now())
    return held


def at(connection, act=""):
    return f"/panel/connections/{connection.public_id}{act}"


def names(answer):
    return [words(each) for each in page(answer).select("tbody th a")]


def asked_to_mend(connection):
    found = select(ConnectionRequest).where(
        ConnectionRequest.kind == Kind.REAUTHORIZE, ConnectionRequest.connection_id == connection.id
    )
    return db.session.scalars(found.order_by(ConnectionRequest.id)).all()


def acts(connection):
    found = select(AuditEvent.type).where(AuditEvent.subject == connection.public_id).order_by(AuditEvent.id)
    return db.session.scalars(found).all()


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


# ── Acts ─────────────────────────────────────────────────────────────────────


def test_rename_and_a_clash_at_the_field(maya, workspace, held):
    factories.make_connection(workspace, name="Reception")
    dialog = one(page(maya.get(at(held, "/rename"), htmx=True)), "#name")
    assert dialog["value"] == "Front desk"

    refused = maya.post(at(held, "/rename"), {"name": "reception"}, htmx=True)
    assert errors(refused) == {"name": "Another Slack connection of this workspace has this name already."}
    assert "Rename Front desk" in refused.text

    done = maya.post(at(held, "/rename"), {"name": "Main desk"}, htmx=True)
    assert done.headers["HX-Redirect"] == at(held)
    assert names(maya.get("/panel/connections"))[-1] == "Main desk"


def test_revoke_names_what_pauses_and_says_what_comes_of_it(maya, workflow, held):
    change(workflow, version=1)
    dialog = maya.get(at(held, "/revoke"), htmx=True)
    assert "Revoke Front desk?" in dialog.text
    assert [words(each) for each in page(dialog).select(".gh-list li")] == ["New patient intake"]

    assert maya.post(at(held, "/revoke"), htmx=True).headers["HX-Redirect"] == at(held)

    db.session.refresh(held)
    assert held.health is Health.REVOKED


def test_delete_is_refused_with_the_workflows_unless_confirmed(maya, workflow, held):
    dialog = maya.get(at(held, "/delete"), htmx=True)
    assert "New patient intake uses this connection and loses it." in dialog.text
    assert one(page(dialog), "input[name=confirmed]")["value"] == "1"

    refused = maya.post(at(held, "/delete"), htmx=True)
    assert "New patient intake uses this connection and loses it." in refused.text
    db.session.refresh(held)
    assert held.deleted_at is None

    done = maya.post(at(held, "/delete"), {"confirmed": "1"}, htmx=True)
    assert done.headers["HX-Redirect"] == "/panel/connections"
    db.session.refresh(held)
    assert held.deleted_at is not None


def test_revoke_says_whether_the_app_is_asked_and_who_can_connect_again(maya, workspace, held, clock):
    def said(connection):
        return words(page(maya.get(at(connection, "/revoke"), htmx=True)))

    assert "Slack can't be asked to end the access: its owner has to do that there." in said(held)
    asked = factories.make_connection(
        workspace, endpoints={"revoke": "https://slack.example/revoke"}, owner_email=PRIYA
    )
    secret = Secret(
        agency_id=asked.agency_id,
        workspace_id=asked.workspace_id,
        purpose="x",
        owner="x",
        blob=b"x",
        sealed_at=clock.now,
    )
    with transaction() as session:
        session.add(secret)
    change(asked, secret_id=secret.id)
    assert "and Slack is asked to end the access." in said(asked)
    assert f"Only {PRIYA} can connect it again." in said(asked)
    change(asked, owner_left_at=clock.now)
    assert f"Only {PRIYA}" not in said(asked)
    assert "only a member of the workspace can connect it again" in said(asked)


def test_delete_of_what_nothing_uses_asks_once_and_needs_no_more(maya, workspace):
    held = factories.make_connection(workspace)
    assert not page(maya.get(at(held, "/delete"), htmx=True)).select("input[name=confirmed]")

    assert maya.post(at(held, "/delete"), htmx=True).headers["HX-Redirect"] == "/panel/connections"


def test_delete_says_what_became_of_it_at_the_provider(maya, workspace):
    held = factories.make_connection(workspace, name="Front desk")
    maya.post(at(held, "/delete"), htmx=True)

    shown = one(page(maya.get("/panel/connections")), ".gh-toasts > .toast")
    assert "Deleted Front desk We stopped using it and deleted it here; Slack did not confirm" in words(shown)


@pytest.mark.parametrize("act", ["/rename", "/revoke", "/delete"])
def test_what_is_the_whole_agencys_is_for_owners_and_admins(maya, tom, workspace, act):
    ours = factories.make_connection(workspace, workspace_id=None)

    assert tom.get(at(ours, act), htmx=True).status_code == 403
    assert tom.post(at(ours, act), {"name": "Mine"}, htmx=True).status_code == 403
    assert not page(tom.get(at(ours))).select("#rename, #revoke, #delete")
    assert maya.get(at(ours, act), htmx=True).status_code == 200


@pytest.mark.parametrize("act", ["/rename", "/revoke", "/delete"])
def test_a_teammate_may_change_what_is_a_clients(tom, held, act):
    assert tom.get(at(held, act), htmx=True).status_code == 200


# ── Asking to reconnect ──────────────────────────────────────────────────────


def test_the_dialog_names_the_owner_and_lets_nobody_else_be_chosen(maya, workspace, broken):
    dialog = maya.get(at(broken, "/ask"), htmx=True)

    assert "Ask to reconnect Slack" in dialog.text
    assert PRIYA in dialog.text
    assert "gets a sign-in link and has 7 days" in dialog.text
    assert not page(dialog).select("[name=recipient]")
    assert "chat:write" in dialog.text


def test_asking_from_the_list_leads_to_the_workflow_where_it_waits(maya, workflow, broken, url):
    done = maya.post(at(broken, "/ask"), {"note": "Please.", "broken": "1"}, htmx=True)

    assert done.headers["HX-Redirect"] == url
    [asked] = asked_to_mend(broken)
    assert (asked.recipient, asked.note, asked.workflow_id) == (PRIYA, "Please.", workflow.id)
    listed = str(page(maya.get("/panel/connections")))
    assert f"Asked of {PRIYA} to reconnect it: Queued (not yet sent)" in listed
    assert "Ask to reconnect" not in listed


def test_asking_from_the_workflow_changes_that_page(maya, workflow, broken, url, here):
    screen = maya.get(url)
    button = one(page(screen), "#node-1 .gh-slot button")
    assert (words(button), button["hx-get"]) == ("Ask to reconnect", f"{url}/connections/{broken.public_id}/ask")
    form = one(page(maya.get(button["hx-get"], htmx=True)), "form")
    assert form["action"] == button["hx-get"]

    answer = maya.post(form["action"], {"broken": "1"}, htmx=True, **here)

    [asked] = asked_to_mend(broken)
    assert "To reconnect desk@slack.example" in words(row(answer, asked))
    assert f"Asked of {PRIYA} to reconnect it Queued (not yet sent)" in words(one(page(answer), "#node-1 .gh-slot"))
    assert "Slack is in the queue" in toasts(answer)
    assert not page(answer).select("#node-1 .gh-slot button[hx-get$=ask]")


def test_asking_twice_says_so_and_asks_once(maya, broken, url, here):
    for _ in range(2):
        answer = maya.post(f"{url}/connections/{broken.public_id}/ask", {"broken": "1"}, htmx=True, **here)

    assert "is asked already to reconnect this account" in toasts(answer)
    assert len(asked_to_mend(broken)) == 1


def test_what_was_mended_meanwhile_asks_nobody(maya, held):
    answer = maya.post(at(held, "/ask"), {"broken": "1"}, htmx=True)

    assert answer.headers["HX-Redirect"] == at(held)
    assert asked_to_mend(held) == []


def test_once_the_owner_was_removed_a_member_is_chosen(maya, workspace, broken, clock):
    factories.make_member(workspace, DANA, "Dana Reyes")
    change(broken, owner_left_at=clock.now)
    dialog = page(maya.get(at(broken, "/ask"), htmx=True))
    assert [each["value"] for each in dialog.select("[name=recipient] option")] == [DANA]

    refused = maya.post(at(broken, "/ask"), {"recipient": "sam@cobalt-it.example"}, htmx=True)
    assert errors(refused) == {"recipient": f"{PRIYA} was removed, so a member has to reconnect it. Choose one."}
    maya.post(at(broken, "/ask"), {"recipient": DANA}, htmx=True)
    assert [each.recipient for each in asked_to_mend(broken)] == [DANA]


def test_a_note_that_is_too_long_comes_back(maya, broken):
    assert set(errors(maya.post(at(broken, "/ask"), {"note": "x" * 257}, htmx=True))) == {"note"}


def test_an_act_on_it_at_another_workflow_stays_on_that_page(maya, workspace, broken, owner, url):
    other = factories.make_workflow(workspace, owner, ("slack", "send_channel_message"), name="Another")
    change(other.slots[0], connection_id=broken.id)
    maya.post(f"{url}/connections/{broken.public_id}/ask", htmx=True)
    [asked] = asked_to_mend(broken)
    there = f"/panel/workspaces/{workspace.public_id}/workflows/{other.public_id}"
    here = {"HX-Current-URL": f"http://localhost{there}"}
    assert ", asked from New patient intake" in words(row(maya.get(there), asked))

    sent = maya.post(f"{there}/send", htmx=True, **here)
    assert "Sent requests to client" in toasts(sent)
    assert words(one(row(sent, asked), ".gh-status")) == "Pending"

    dialog = maya.get(f"/panel/requests/{asked.public_id}/cancel", htmx=True)
    assert "Workflows that use the account stay as they are." in dialog.text
    cancelled = maya.post(f"/panel/requests/{asked.public_id}/cancel", htmx=True, **here)
    assert one(page(cancelled), "h1").text == "Another"
    assert not page(cancelled).select(f"#request-{asked.public_id}")


def test_a_fulfilled_request_of_it_offers_to_ask(maya, workspace, workflow, owner, url):
    [slack, _hubspot] = factories.make_sent(workflow, owner)
    held = factories.make_connection(workspace, scopes=FULL, owner_email=PRIYA)
    settle(slack, held)
    change(held, health=Health.ERROR)
    found = row(maya.get(url), slack)

    assert words(one(found, ".gh-status")) == "Reconnection needed"
    assert one(found, f"#mend-{slack.public_id}")["hx-get"] == f"{url}/connections/{held.public_id}/ask"


def test_change_recipient_is_not_offered_while_the_owner_is_there(maya, workflow, broken, owner, url, here):
    maya.post(f"{url}/connections/{broken.public_id}/ask", htmx=True, **here)
    sending.send(workflow, by=owner)
    [asked] = asked_to_mend(broken)

    assert "Change recipient" not in words(row(maya.get(url), asked))


# ── The banner, and the forecast ─────────────────────────────────────────────


def test_every_page_has_the_banner_but_where_they_are_listed(maya, workspace, broken):
    for path in ("/panel/workspaces", "/panel/connections", "/panel/apps", at(broken), "/panel/account"):
        banner = one(page(maya.get(path)), "main > .gh-note.is-bad")
        assert words(banner).startswith("A connection needs to be reauthorized")
        assert one(banner, "a")["href"] == at(broken)
        assert words(one(banner, "a")) == "Slack at Harbor Dental"
    for path in ("/panel/", "/panel/attention/connections"):
        assert not page(maya.get(path)).select("main > .gh-note.is-bad")


def test_the_banner_counts_and_names_the_first_few(maya, workspace):
    for number in range(7):
        factories.make_connection(workspace, name=f"Slack {number}", health=Health.ERROR)
    banner = one(page(maya.get("/panel/workspaces")), "main > .gh-note.is-bad")

    assert words(banner).startswith("7 connections need to be reauthorized")
    assert len(banner.select("a")) == 6
    assert banner.select("a")[-1]["href"] == "/panel/attention/connections"


def test_the_banner_costs_one_statement_and_none_while_all_is_well(maya, workspace):
    def statements():
        with counted() as found:
            maya.get("/panel/account")
        return len(found)

    statements()
    before = statements()
    for number in range(7):
        factories.make_connection(workspace, name=f"Slack {number}", health=Health.ERROR)

    assert statements() == before + 1


def test_home_warns_of_what_ends_soon_and_offers_to_ask(maya, held, clock):
    change(held, grant_ends_at=clock.now + timedelta(days=15))
    assert "Nothing needs attention" in maya.get("/panel/").text
    change(held, grant_ends_at=clock.now + timedelta(days=10))
    answer = maya.get("/panel/")

    assert words(one(page(answer), "h1")) == "1 thing needs attention"
    assert words(one(page(answer), "#ending")) == "A connection ends soon"
    button = one(page(answer), "section[aria-labelledby=ending] button")
    assert (words(button), button["hx-get"]) == ("Ask the client now", at(held, "/ask"))
    assert "Ends soon" in maya.get("/panel/connections").text

    maya.post(at(held, "/ask"), htmx=True)
    assert [each.kind for each in asked_to_mend(held)] == [Kind.REAUTHORIZE]
    assert f"Asked of {PRIYA} to reconnect it" in maya.get("/panel/").text


def test_nobody_is_offered_to_be_asked_for_what_nothing_uses(maya, workspace, workflow, held, clock):
    unused = factories.make_connection(workspace, owner_email=PRIYA, grant_ends_at=clock.now + timedelta(days=2))
    broken = factories.make_connection(workspace, name="Torn", owner_email=PRIYA, health=Health.ERROR)
    for each in (unused, broken):
        maya.post(at(each, "/ask"), htmx=True)
        assert asked_to_mend(each) == []
        assert not page(maya.get(at(each))).select("#mend")
    change(workflow, archived_at=clock.now)
    change(held, grant_ends_at=clock.now + timedelta(days=2))
    assert not page(maya.get("/panel/")).select("section[aria-labelledby=ending] button")
    assert not page(maya.get("/panel/")).select("section[aria-labelledby=broken] button")


def test_what_ends_first_stands_first_and_an_archived_workspace_warns_of_nothing(maya, agency, workspace, clock):
    for days in (9, 3, 6):
        factories.make_connection(
            workspace, name=f"In {days}", owner_email=PRIYA, grant_ends_at=clock.now + timedelta(days=days)
        )
    put_away = factories.make_workspace(agency, "Put away")
    factories.make_connection(put_away, name="In 1", grant_ends_at=clock.now + timedelta(days=1))
    change(put_away, archived_at=clock.now)

    home = page(maya.get("/panel/")).select("section[aria-labelledby=ending] .gh-row")
    ends = [one(each, "time")["datetime"] for each in home]
    assert len(ends) == 3
    assert ends == sorted(ends)
    assert names(maya.get("/panel/connections?status=ending")) == ["In 3", "In 6", "In 9"]


def test_those_that_end_first_are_paged_both_ways(maya, workspace, clock, monkeypatch):
    monkeypatch.setattr("app.services.paging.PAGE", 2)
    for days in (9, 3, 6, 6, 5):
        name = f"In {days} {clock.now}" if days == 6 else f"In {days}"
        clock.forward(seconds=1)
        factories.make_connection(workspace, name=name, grant_ends_at=clock.now + timedelta(days=days))

    def days(answer):
        return [int(each.split()[1]) for each in names(answer)]

    first = maya.get("/panel/connections?status=ending")
    second = maya.get(one(page(first), "a[rel=next]")["href"])
    third = maya.get(one(page(second), "a[rel=next]")["href"])
    assert [days(each) for each in (first, second, third)] == [[3, 5], [6, 6], [9]]
    assert days(maya.get(one(page(third), "a[rel=prev]")["href"])) == [6, 6]


def test_an_end_that_use_puts_off_is_said_to_be(maya, workspace, clock):
    idle = factories.make_connection(
        workspace, "jira", refreshable=True, token_at=clock.now, grant_ends_at=clock.now + timedelta(days=90)
    )
    assert "unless it is used or refreshed before" in maya.get(at(idle)).text
    change(idle, grant_ends_at=clock.now + timedelta(days=80))
    assert "unless it is approved anew" in maya.get(at(idle)).text


def test_what_broke_is_no_longer_said_to_end(maya, broken, clock):
    change(broken, grant_ends_at=clock.now)

    assert not page(maya.get("/panel/")).select("#ending")
    assert "Ends soon" not in words(one(page(maya.get("/panel/connections")), "tbody"))


# ── Testing and refreshing ───────────────────────────────────────────────────


@pytest.fixture
def asked_of(monkeypatch):
    """What is asked of the app, and by whom, instead of asking it."""
    found = []
    for act in ("test", "refresh_now"):

        def note(connection, *, by, act=act):
            found.append((act, connection.public_id, by.name))
            return f"{act} went well."

        monkeypatch.setattr(credentials, act, note)
    return found


def test_a_clients_connection_is_only_tested(maya, owner, held, asked_of):
    assert words(one(page(maya.get(at(held))), "#refresh")) == "Test"

    answer = maya.post(at(held, "/refresh"), htmx=True)

    assert answer.headers["HX-Redirect"] == at(held)
    assert asked_of == [("test", held.public_id, owner.email)]
    assert "test went well." in maya.get(at(held)).text


def test_the_agencys_own_is_refreshed(maya, owner, workspace, asked_of):
    ours = factories.make_connection(workspace)
    assert words(one(page(maya.get(at(ours))), "#refresh")) == "Refresh"

    maya.post(at(ours, "/refresh"), htmx=True)

    assert asked_of == [("refresh_now", ours.public_id, owner.email)]


@pytest.mark.parametrize("act", ["test", "refresh_now"])
def test_what_somebody_else_is_at_is_said_as_no_failure(maya, held, workspace, monkeypatch, act):
    def is_under_way(_connection, *, by):
        raise freshness.UnderWay("It is being refreshed just now.")

    shown_at = held if act == "test" else factories.make_connection(workspace)
    monkeypatch.setattr(credentials, act, is_under_way)
    assert maya.post(at(shown_at, "/refresh"), htmx=True).headers["HX-Redirect"] == at(shown_at)

    shown = one(page(maya.get(at(shown_at))), ".gh-toasts > .toast")
    assert "It is being refreshed just now." in words(shown)
    assert "Not done" not in words(shown)


def test_what_was_not_tested_is_said_to_be_neither_done_nor_failed(maya, held, monkeypatch):
    def finds_nothing(_connection, *, by):
        raise credentials.Untested("Slack can't be asked without using it.")

    monkeypatch.setattr(credentials, "test", finds_nothing)
    maya.post(at(held, "/refresh"), htmx=True)

    shown = one(page(maya.get(at(held))), ".gh-toasts > .toast")
    assert shown["data-kind"] == "note"
    assert "Not tested: Front desk Slack can't be asked without using it." in words(shown)
    assert not shown.select(".gh-is-connected, .gh-is-error")


def test_what_does_not_work_is_said(maya, held, monkeypatch):
    def fails(_connection, *, by):
        raise ProviderFailed(f"Slack does not answer {by.name}.")

    monkeypatch.setattr(credentials, "test", fails)
    maya.post(at(held, "/refresh"), htmx=True)

    shown = one(page(maya.get(at(held))), ".gh-toasts > .toast")
    assert "Front desk Slack does not answer maya@" in words(shown)


def test_neither_a_stranger_nor_a_teammate_refreshes_what_is_not_theirs(tom, sam, workspace, held, asked_of):
    ours = factories.make_connection(workspace, workspace_id=None)

    assert sam.post(at(held, "/refresh"), htmx=True).status_code == 404
    assert tom.post(at(ours, "/refresh"), htmx=True).status_code == 403
    assert asked_of == []


def test_what_is_broken_or_revoked_is_not_tested(maya, broken):
    assert not page(maya.get(at(broken))).select("#refresh")

"""The portal's first page: what waits, the connections that are the visitor's own, and what they do with each."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select

from app import clock
from app.database import transaction
from app.errors import Conflict
from app.extensions import db
from app.models import AuditEvent, Connection, Flow, FlowSurface, Health, Revocation, Status
from app.services import audit, connection_requests, credentials, members, mending_requests, revocations, sending
from app.services.audit import Actor
from tests import factories
from tests.support.shared_app import foreign_workspace
from tests.support.statements import counted
from tests.support.visitor import Visitor

DANA, PRIYA, TOM = (f"{name}@harbordental.example" for name in ("dana.reyes", "priya.nair", "tom.hale"))
PAGE = "/portal/connections"
STEPS = (("slack", "send_channel_message"), ("hubspot", "create_contact"))
pytestmark = pytest.mark.both_databases


@pytest.fixture
def member(workspace):
    return factories.make_member(workspace, DANA)


@pytest.fixture
def dana(app, workspace, member) -> Visitor:
    return Visitor(factories.signed_in_client(app, DANA, workspace))


@pytest.fixture
def slack(workspace) -> Connection:
    """Dana's own."""
    return factories.make_connection(workspace, "slack", owner_email=DANA, name="Front desk")


def visitor(app, email, workspace) -> Visitor:
    return Visitor(factories.signed_in_client(app, email, workspace))


def words(html: str) -> str:
    """What a page says, without tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", html.replace("<wbr>", "")).split())


def row(html: str, connection: Connection) -> str:
    """What the connection's row says."""
    found = re.search(rf'<tr role="row" id="connection-{connection.public_id}">.*?</tr>', html, re.DOTALL)
    assert found, "no such row"
    return words(found[0])


def change(connection: Connection, **values: object) -> None:
    with transaction():
        for name, value in values.items():
            setattr(connection, name, value)


# ── What waits ──────────────────────────────────────────────────────────────


def test_nothing_outstanding_says_so(dana):
    said = words(dana.get(PAGE))

    assert "Outstanding connection requests No outstanding connection requests Connections" in said
    assert "awaiting connection" not in said


def test_what_waits_is_grouped_by_workflow_with_progress_and_its_end(dana, workspace, owner):
    one = factories.make_workflow(workspace, owner, *STEPS)
    two = factories.make_workflow(workspace, owner, ("xero", "create_invoice"), name="Recall reminders")
    for each in (one, two):
        factories.make_sent(each, owner, recipient=DANA)
    connection = factories.make_connection(workspace, "slack", owner_email=DANA)
    (slack, _hubspot) = db.session.scalars(select(connection_requests.ConnectionRequest).filter_by(workflow_id=one.id))
    with transaction():
        slack.status, slack.connection_id = Status.FULFILLED, connection.id

    html = dana.get(PAGE)

    said = words(html)
    assert "2 apps awaiting connection" in said
    assert "New patient intake HubSpot · expires in 4 hours" in said
    assert "1 of 2 connected Open" in said
    assert "Recall reminders Xero · expires in 4 hours" in said
    assert "0 of 1 connected Open" in said
    assert f'href="/portal/connections/workflows/{one.public_id}"' in html


def test_an_empty_inbox_looks_out_for_what_comes(dana, workspace, owner):
    empty = dana.get(PAGE)
    assert 'hx-get="/portal/connections/outstanding" hx-trigger="every 10s"' in empty

    factories.make_sent(factories.make_workflow(workspace, owner, STEPS[0]), owner, recipient=DANA)

    part = dana.ask("GET", f"{PAGE}/outstanding", headers={"HX-Request": "true", "X-Poll": "1"}).text
    assert "1 app awaiting connection" in words(part)
    assert 'hx-trigger="every 3s"' in part


def test_one_app_is_said_in_the_singular(dana, workspace, owner):
    factories.make_sent(factories.make_workflow(workspace, owner, STEPS[0]), owner, recipient=DANA)

    assert "1 app awaiting connection" in words(dana.get(PAGE))


def test_an_expired_request_still_waits_and_says_when_it_expired(dana, workspace, owner):
    (asked,) = factories.make_sent(factories.make_workflow(workspace, owner, STEPS[0]), owner, recipient=DANA)
    with transaction():
        asked.bundle.expires_at -= timedelta(hours=6)

    said = words(dana.get(PAGE))

    assert "1 app awaiting connection" in said
    assert "Slack · expired 2 hours ago" in said


def test_what_was_declined_does_not_await_but_can_be_opened(dana, workspace, owner):
    (asked,) = factories.make_sent(factories.make_workflow(workspace, owner, STEPS[0]), owner, recipient=DANA)
    connection_requests.decline(asked, reason="")

    said = words(dana.get(PAGE))

    assert "No outstanding connection requests What you declined and can still connect New patient intake" in said
    assert "You declined Slack" in said


def test_what_is_queued_or_cancelled_or_asked_of_others_does_not_show(dana, workspace, owner):
    workflow = factories.make_workflow(workspace, owner, *STEPS, ("xero", "create_invoice"))
    one, two, _three = workflow.slots
    factories.make_request(one, owner, recipient=PRIYA)
    cancelled = factories.make_request(two, owner, recipient=DANA)
    sending.send(workflow, by=owner)
    connection_requests.cancel(owner.agency, cancelled.public_id, by=owner)
    factories.make_request(two, owner, recipient=DANA)

    assert "No outstanding connection requests" in words(dana.get(PAGE))


def test_requests_show_to_their_address_though_they_are_no_member(app, workspace, owner):
    """Priya was asked by link, and owns a connection here by now."""
    factories.make_connection(workspace, "hubspot", owner_email=PRIYA)
    factories.make_sent(factories.make_workflow(workspace, owner, STEPS[0]), owner, recipient=PRIYA)

    assert "1 app awaiting connection" in words(visitor(app, PRIYA, workspace).get(PAGE))


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
    ],
)
def test_a_row_says_how_the_connection_stands(dana, slack, values, said):
    change(slack, **values)

    assert said.removesuffix(" Last") in row(dana.get(PAGE), slack)


def test_a_row_names_app_account_label_and_last_use(dana, slack):
    assert row(dana.get(PAGE), slack).startswith("Sl Slack someone@slack.example Front desk Active")
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


# ── What is done ────────────────────────────────────────────────────────────


def test_rename(dana, slack):
    dana.get(f"{PAGE}/{slack.public_id}/rename")

    answer = dana.post(f"{PAGE}/{slack.public_id}/rename", name="Reception")

    assert answer.status_code == 303
    db.session.refresh(slack)
    assert slack.name == "Reception"
    assert row(dana.get(PAGE), slack).count("Reception") == 1
    assert "Reception renamed by you, before: Front desk" in words(dana.get(PAGE))


def test_a_name_that_is_taken_is_said_at_the_field(dana, slack, workspace):
    factories.make_connection(workspace, "slack", owner_email=DANA, name="Reception")
    dana.get(f"{PAGE}/{slack.public_id}/rename")

    answer = dana.post(f"{PAGE}/{slack.public_id}/rename", name=" reception ")

    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text
    assert "has this name already" in answer.text
    db.session.refresh(slack)
    assert slack.name == "Front desk"


def test_revoking_asks_first_and_names_the_workflows_that_pause(dana, slack, workspace, owner):
    live = factories.make_workflow(workspace, owner, STEPS[0])
    draft = factories.make_workflow(workspace, owner, STEPS[0], name="Only a draft")
    with transaction():
        live.version = 1
        for each in (live, draft):
            each.slots[0].connection_id = slack.id

    said = words(dana.get(f"{PAGE}/{slack.public_id}/revoke"))

    assert "Revoke Front desk?" in said
    assert "This workflow pauses until you reconnect New patient intake" in said
    assert "Only a draft" not in said
    db.session.refresh(slack)
    assert slack.health is Health.ACTIVE


def test_revoke_ends_all_use_and_says_what_became_of_it(dana, slack):
    dana.get(f"{PAGE}/{slack.public_id}/revoke")

    answer = dana.ask("POST", f"{PAGE}/{slack.public_id}/revoke", data={"csrf_token": dana.token()})

    assert (answer.status_code, answer.headers["Location"]) == (303, PAGE)  # where no anchor scrolls past the note
    db.session.refresh(slack)
    assert slack.health is Health.REVOKED
    html = dana.get(PAGE)
    assert "Front desk is revoked We stopped using it and deleted it here; Slack did not confirm" in words(html)
    assert "Revoked. Workflows that depend on it are paused until you reconnect." in row(html, slack)
    assert "Front desk revoked by you" in words(html)
    (event,) = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "connection.revoked"))
    assert (event.actor_kind, event.actor) == ("client", DANA)


def test_what_a_provider_has_yet_to_confirm_is_said_by_the_row_alone_which_follows_it(dana, slack, monkeypatch):
    monkeypatch.setattr(revocations, "standing_of", lambda _connection: Revocation.PENDING)
    dana.get(f"{PAGE}/{slack.public_id}/revoke")

    dana.ask("POST", f"{PAGE}/{slack.public_id}/revoke", data={"csrf_token": dana.token()})

    html = dana.get(PAGE)
    assert "Front desk is revoked It is not used any more. Its row says what comes of it at Slack." in words(html)
    assert words(html).count("Slack has yet to confirm that it is revoked there") == 1


def test_a_form_to_revoke_that_comes_too_late_leads_back(dana, slack):
    change(slack, health=Health.REVOKED, revocation=Revocation.CONFIRMED)

    assert dana.ask("GET", f"{PAGE}/{slack.public_id}/revoke").status_code == 303
    dana.get(PAGE)
    assert dana.post(f"{PAGE}/{slack.public_id}/revoke").status_code == 303
    db.session.refresh(slack)
    assert slack.revocation is Revocation.CONFIRMED


def test_refresh_says_the_result(dana, slack, monkeypatch):
    asked = []
    monkeypatch.setattr(credentials, "refresh_now", lambda given, *, by: asked.append((given.id, by)) or "It works.")
    dana.get(PAGE)

    dana.post(f"{PAGE}/{slack.public_id}/refresh")

    assert asked == [(slack.id, Actor.client(DANA))]
    assert "Front desk is refreshed It works." in words(dana.get(PAGE))


def test_a_refresh_that_fails_says_why_on_the_page(dana, slack, monkeypatch):
    def refuse(_connection, *, by):
        raise Conflict("Slack no longer accepts it.")

    monkeypatch.setattr(credentials, "refresh_now", refuse)
    dana.get(PAGE)

    answer = dana.post(f"{PAGE}/{slack.public_id}/refresh")

    assert answer.status_code == 303
    assert "Front desk was not refreshed Slack no longer accepts it." in words(dana.get(PAGE))


def test_reconnect_leads_to_the_provider_for_the_same_connection(dana, slack):
    change(slack, health=Health.ERROR, health_reason="grant_ended")
    dana.get(PAGE)

    answer = dana.post(f"{PAGE}/{slack.public_id}/reconnect")

    assert answer.headers["HX-Redirect"].startswith("https://slack.com/")
    flow = db.session.scalars(select(Flow)).one()
    assert (flow.connection_id, flow.surface, flow.recipient) == (slack.id, FlowSurface.PORTAL, DANA)


def test_reconnect_without_a_script_shows_a_page_that_moves_on(dana, slack):
    dana.get(PAGE)

    answer = dana.ask("POST", f"{PAGE}/{slack.public_id}/reconnect", data={"csrf_token": dana.token()})

    assert answer.status_code == 200
    assert "Continue to Slack" in answer.text
    assert 'http-equiv="refresh"' in answer.text


# ── Activity ────────────────────────────────────────────────────────────────


def note(connection: Connection, act: str, by: Actor, **told: object) -> None:
    with transaction():
        audit.record(act, connection, by=by, at=clock.now(), **told)


def test_the_activity_says_what_was_done_and_by_whom(dana, slack, workspace, owner):
    workflow = factories.make_workflow(workspace, owner, STEPS[0])
    note(slack, "connection.created", Actor.client(DANA))
    note(slack, "connection.used", Actor("system", "runner"), workflow=workflow.public_id)
    note(slack, "connection.used", Actor("api_key", "Nightly export"))
    note(slack, "connection.refreshed", audit.SYSTEM)
    note(slack, "connection.broken", audit.SYSTEM, cause="grant_ended")
    note(slack, "connection.revoked", Actor("staff", "maya@northwind-studio.example"))

    said = words(dana.get(f"{PAGE}/activity"))

    for told in (
        "Front desk connected by you",
        "Front desk used by the workflow New patient intake",
        "Front desk used by the API key “Nightly export”",
        "Front desk refreshed automatically, ahead of expiry",
        "Front desk failed Access was removed or ran out in Slack.",
        "Front desk revoked by Northwind Studio",
    ):
        assert told in said
    assert said.index("revoked by Northwind") < said.index("connected by you")
    assert "maya@" not in said


def test_the_activity_says_when_staff_asked_for_a_reconnection(dana, slack, workspace, owner):
    workflow = factories.make_workflow(workspace, owner, STEPS[0])
    with transaction():
        slack.health, workflow.slots[0].connection_id = Health.ERROR, slack.id
    mending_requests.queue(slack, by=owner)
    assert "asked to be" not in words(dana.get(f"{PAGE}/activity")), "what is queued is not for the client to see"

    sending.send(workflow, by=owner)

    said = words(dana.get(f"{PAGE}/activity"))
    assert "Front desk asked to be reconnected by Northwind Studio" in said
    assert "maya@" not in said


def test_the_activity_says_of_whom_a_reconnection_was_asked_where_that_is_another(dana, slack, owner):
    told = {"request": "a" * 20, "recipient": TOM}
    note(slack, "connection.reauthorize_asked", Actor("staff", owner.email), **told)

    assert f"asked to be reconnected by Northwind Studio, of {TOM}" in words(dana.get(f"{PAGE}/activity"))


def test_the_activity_tells_of_a_revocation_and_what_came_of_it_in_one_line(dana, slack, monkeypatch):
    monkeypatch.setattr(revocations, "standing_of", lambda _connection: Revocation.CONFIRMED)
    revocations.revoke(slack, by=Actor.client(DANA))
    with transaction():
        audit.record("connection.discarded", slack, by=audit.SYSTEM, at=clock.now(), outcome="confirmed")

    assert "Slack · Front desk revoked by you. Revoked at Slack, and deleted here." in words(dana.get(PAGE))
    assert words(dana.get(PAGE)).count("Slack · Front desk") == 1

    change(slack, health=Health.ACTIVE, revoked_at=None, revocation=None)  # connected again since
    assert "Slack · Front desk revoked by you. Revoked at Slack, and deleted here." in words(dana.get(PAGE))


def test_what_staff_deleted_stays_in_its_owners_activity_for_a_while(app, agency, workspace, owner, slack):
    """And in that of nobody else; what can be done with it is nothing."""
    slack = factories.make_connection(workspace, owner_email=PRIYA, name="Own desk")
    note(slack, "connection.used", Actor("api_key", "Nightly export"))
    priya = visitor(app, PRIYA, workspace)
    revocations.delete(agency, slack.public_id, by=owner)

    listed, said = priya.get(PAGE), words(priya.get(f"{PAGE}/activity"))

    assert f'id="connection-{slack.public_id}"' not in listed
    assert "Own desk deleted by Northwind Studio" in said
    assert "Own desk revoked by Northwind Studio. Deleted here; Slack did not confirm that it is revoked there." in said
    assert "Own desk used by the API key “Nightly export”" in said
    assert owner.email not in said
    assert "Own desk" not in words(visitor(app, DANA, workspace).get(f"{PAGE}/activity"))
    for act in ("refresh", "reconnect", "rename", "revoke"):
        assert priya.post(f"{PAGE}/{slack.public_id}/{act}", name="Mine").status_code == 404
    own = factories.make_connection(workspace, "hubspot", owner_email=PRIYA, name="Another")
    change(slack, deleted_at=clock.now() - timedelta(days=30))
    assert own.public_id in priya.get(PAGE)
    assert "Own desk" not in words(priya.get(f"{PAGE}/activity"))


def test_the_activity_says_which_workflows_a_failure_pauses_as_long_as_it_does(dana, slack, workspace, owner):
    live = [factories.make_workflow(workspace, owner, STEPS[0], name=name) for name in ("Intake", "Recall reminders")]
    draft = factories.make_workflow(workspace, owner, STEPS[0], name="Draft")
    with transaction():
        for each in (*live, draft):
            each.version, each.slots[0].connection_id = int(each is not draft), slack.id
        slack.health, slack.broken_at = Health.ERROR, clock.now()
        audit.record("connection.broken", slack, by=audit.SYSTEM, at=slack.broken_at, cause="grant_ended")

    failed = "failed Access was removed or ran out in Slack."
    assert f"{failed} Intake and Recall reminders are paused." in words(dana.get(f"{PAGE}/activity"))

    change(slack, health=Health.ACTIVE, broken_at=None)
    said = words(dana.get(f"{PAGE}/activity"))
    assert failed in said
    assert "are paused" not in said


def test_the_activity_says_from_where_it_was_connected(dana, slack):
    with transaction():
        for surface in ("intake", "portal"):
            audit.record("connection.updated", slack, by=Actor.client(DANA), at=clock.now(), surface=surface)

    said = words(dana.get(f"{PAGE}/activity"))

    assert "connected again by you, from the portal" in said
    assert said.count("from the portal") == 1


def test_the_activity_tells_members_that_a_removed_ones_connection_is_theirs_now(app, dana, workspace, owner):
    tom = factories.make_member(workspace, TOM)
    factories.make_connection(workspace, "hubspot", owner_email=TOM, name="Tom's own")

    members.remove(owner.agency, tom.public_id, by=owner)

    said = "HubSpot · Tom's own passed to the members of Harbor Dental"
    assert f"{said} {TOM} was removed" in words(dana.get(f"{PAGE}/activity")).replace("&#39;", "'")


def test_the_activity_follows_what_is_done_in_the_list(dana, slack):
    dana.get(PAGE)
    change(slack, name="Front desk of Harbor Dental")
    with transaction():
        audit.record("connection.refreshed", slack, by=Actor.client(DANA), at=clock.now())

    part = dana.ask("GET", f"{PAGE}/list", headers={"HX-Request": "true"}).text

    assert re.search(r'<section class="gh-section" id="recent-activity"[^>]* hx-swap-oob="true">', part)
    assert "Slack · Front desk of Harbor Dental refreshed by you" in words(part)
    assert "hx-swap-oob" not in dana.get(PAGE)


def test_the_activity_of_others_connections_does_not_show(app, dana, slack, workspace):
    theirs = factories.make_connection(workspace, "hubspot", owner_email=TOM, name="Tom's own")
    note(theirs, "connection.created", Actor.client(TOM))

    assert "Tom" not in words(dana.get(f"{PAGE}/activity"))
    assert "Nothing has happened yet" in words(dana.get(PAGE))


def test_the_activity_is_short_on_the_page_and_paged_on_its_own(dana, slack):
    for number in range(60):
        note(slack, "connection.renamed", Actor.client(DANA), before=f"number {number:02}")

    html = dana.get(PAGE)
    assert html.count("before: number") == 6
    assert "number 59" in html
    first = dana.get(f"{PAGE}/activity")
    assert first.count("before: number") == 50
    older = re.search(r'href="(/portal/connections/activity\?after=\w+)"', first)[1]
    second = dana.get(older)
    assert second.count("before: number") == 10
    newer = re.search(r'href="(/portal/connections/activity\?before=\w+)"', second)[1]
    assert dana.get(newer).count("before: number") == 50


def test_a_place_in_somebody_elses_activity_is_none(dana, slack, workspace):
    theirs = factories.make_connection(workspace, "hubspot", owner_email=TOM)
    note(slack, "connection.created", Actor.client(DANA))
    note(theirs, "connection.created", Actor.client(TOM))
    foreign = db.session.scalar(select(AuditEvent.public_id).where(AuditEvent.subject == theirs.public_id))

    assert "Front desk connected by you" in words(dana.get(f"{PAGE}/activity?before={foreign}"))


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

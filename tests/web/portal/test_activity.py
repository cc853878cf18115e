"""What happened to the connections of a visitor of the portal, on the first page and on a page of its own."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select

from app import clock
from app.database import transaction
from app.extensions import db
from app.models import AuditEvent, Health, Revocation
from app.services import audit, members, mending_requests, revocations, sending
from app.services.audit import Actor
from tests import factories
from tests.services.settling import change
from tests.web.portal import own_connections
from tests.web.portal.own_connections import DANA, PAGE, PRIYA, STEPS, TOM, note, visitor, words

pytestmark = pytest.mark.both_databases
dana, member, slack = own_connections.fixtures


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

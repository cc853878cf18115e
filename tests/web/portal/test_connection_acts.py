"""What visitors of the portal do with a connection of theirs: rename, revoke, refresh and reconnect it."""

import re

import pytest
from sqlalchemy import select

from app.database import transaction
from app.errors import Conflict
from app.extensions import db
from app.models import AuditEvent, Flow, FlowSurface, Health, Revocation
from app.oauth.faults import Fault, OAuthError
from app.services import credentials, flows, revocations
from app.services.audit import Actor
from tests import factories
from tests.services.settling import change
from tests.web.portal import own_connections
from tests.web.portal.own_connections import DANA, PAGE, PRIYA, STEPS, row, words

pytestmark = pytest.mark.both_databases
dana, member, slack = own_connections.fixtures


def test_rename(dana, slack):
    dana.get(f"{PAGE}/{slack.public_id}/rename")

    answer = dana.post(f"{PAGE}/{slack.public_id}/rename", name="Reception")

    assert answer.status_code == 303
    db.session.refresh(slack)
    assert slack.name == "Reception"
    shown = row(dana.get(PAGE), slack)
    assert " someone@slack.example Reception " in shown
    assert "Front desk" not in shown
    assert "Reception renamed by you, before: Front desk" in words(dana.get(PAGE))


@pytest.mark.parametrize("act", ["rename", "revoke"])
def test_headings_divide_an_address_nowhere_but_after_its_at(dana, slack, act):
    change(slack, name=PRIYA)

    heading = re.search(r"<h1>(.*?)</h1>", dana.get(f"{PAGE}/{slack.public_id}/{act}"))[1]

    assert PRIYA.replace("@", "@<wbr>") in heading


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


def test_reconnect_says_on_the_list_why_it_can_not_begin(dana, slack, monkeypatch):
    change(slack, health=Health.ERROR, health_reason="grant_ended")

    def fail(*_, **__):
        raise OAuthError(Fault.UNAVAILABLE)

    monkeypatch.setattr(flows.authorize, "begin", fail)
    dana.get(PAGE)

    answer = dana.ask("POST", f"{PAGE}/{slack.public_id}/reconnect", data={"csrf_token": dana.token()})

    assert (answer.status_code, answer.headers["Location"]) == (303, PAGE)
    assert "Front desk was not reconnected Slack can&#39;t be reached just now. Try again." in words(dana.get(PAGE))
    for _ in range(flows.MOST_STARTS):
        answer = dana.post(f"{PAGE}/{slack.public_id}/reconnect")
    assert answer.status_code == 303
    assert "Front desk was not reconnected Too many tries" in words(dana.get(PAGE))


def test_reconnect_without_a_script_shows_a_page_that_moves_on(dana, slack):
    dana.get(PAGE)

    answer = dana.ask("POST", f"{PAGE}/{slack.public_id}/reconnect", data={"csrf_token": dana.token()})

    assert answer.status_code == 200
    assert "Continue to Slack" in answer.text
    assert 'http-equiv="refresh"' in answer.text

"""The portal's page of a workflow: the same cards as the branded page, for whoever is signed in."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import select

from app.database import transaction
from app.extensions import db
from app.models import Connection, Flow, FlowSurface, Health, Recipient, Slot, Source, Status
from app.services import connection_requests, sending
from tests import factories
from tests.support import provided
from tests.support.statements import counted
from tests.support.visitor import Visitor
from tests.web.portal import workflow_page
from tests.web.portal.own_connections import DANA, PRIYA, words

catalog, config, visitor = provided.own
person, workflow = provided.fixtures[1:]
asked, dana, member, page = workflow_page.fixtures
pytestmark = pytest.mark.both_databases


def expire(asked) -> None:
    with transaction():
        asked.bundle.expires_at -= timedelta(hours=4, minutes=1)


def test_it_shows_a_card_for_each_app_and_how_far_it_is(dana, page):
    said = words(dana.get(page))

    assert "New patient intake" in said
    assert "0 of 2 connected" in said
    assert "The request expires in 4 hours" in said
    assert said.count("Awaiting authorisation") == 2
    assert "Connect Northdesk" in said
    assert "Connect Postwave" in said


def test_an_app_is_connected_and_the_browser_lands_on_the_page(dana, page, asked, person):
    dana.get(page)

    answer = dana.approve(dana.start(page, asked[0]), person)

    assert answer.status_code == 303
    assert answer.headers["Location"] == f"{page}#app-{asked[0].public_id}"
    flow = db.session.scalars(select(Flow)).one()
    assert flow.surface is FlowSurface.PORTAL
    assert flow.recipient == DANA
    assert "1 of 2 connected" in words(dana.get(page))
    connection = db.session.scalars(select(Connection)).one()
    assert connection.owner_email == DANA
    assert connection.health is Health.ACTIVE


def test_it_says_that_the_workflow_is_unblocked_when_all_is_connected(dana, page, asked, person):
    for each in asked:
        dana.get(page)
        dana.approve(dana.start(page, each), person)

    html = dana.get(page)

    said = words(html)
    assert "2 of 2 connected" in said
    assert "All 2 apps are connected." in said
    assert "The workflow New patient intake is unblocked." in said
    assert 'hx-trigger="every' not in html


def test_it_does_not_say_so_while_somebody_else_is_asked(app, dana, page, workspace, owner, person, asked):
    with transaction() as session:
        session.add(Slot(agency_id=workspace.agency_id, workspace_id=workspace.id, workflow_id=asked[0].workflow_id, app_key="slack"))  # fmt: skip
    for each in asked:
        dana.get(page)
        dana.approve(dana.start(page, each), person)

    said = words(dana.get(page))

    assert "All 2 apps are connected." in said
    assert "is unblocked" not in said
    assert "still waits for an account; if it is yours to give" in said
    with transaction() as session:
        session.add(Slot(agency_id=workspace.agency_id, workspace_id=workspace.id, workflow_id=asked[0].workflow_id, app_key="hubspot"))  # fmt: skip
    assert "still waits for 2 accounts; Northwind Studio asks you for those that are yours" in words(dana.get(page))
    assert '<a class="btn btn-secondary" id="back-to-connections" href="/portal/connections">' in dana.get(page)


def test_an_expired_request_says_so_and_whom_to_ask_and_starts_nothing(dana, page, asked, agency):
    html = dana.get(page)
    expire(asked[0])

    shown = dana.get(page)
    answer = dana.start(page, asked[0])

    said = words(shown)
    assert "This request expired 1 minute ago" in said
    assert "Ask Maya Okafor at Northwind Studio to send it again: help@northwind-studio.example" in said
    assert said.count("Expired") == 2
    assert "Connect Northdesk" not in said
    assert "Connect Northdesk" in words(html)
    assert answer.status_code == 303
    assert db.session.scalar(select(Flow)) is None


def test_what_staff_resend_shows_in_the_fragment_by_itself(dana, page, asked, owner):
    expire(asked[0])
    with transaction() as session:
        session.scalars(select(Recipient)).one().mailed_at -= timedelta(minutes=6)
    html = dana.get(page)
    assert f'hx-get="{page}/apps" hx-trigger="every 3s"' in html
    sending.resend(owner.agency, asked[0].public_id, by=owner)

    answer = dana.ask("GET", f"{page}/apps", headers={"HX-Request": "true", "X-Poll": "1"})

    said = words(answer.text)
    assert "expired" not in said
    assert "Connect Northdesk" in said


def test_declining_is_kept_on_the_card_and_can_be_taken_back(dana, page, asked, person):
    dana.get(page)
    answer = dana.post(f"{page}/requests/{asked[0].public_id}/decline", reason="No admin here")
    assert answer.status_code == 303
    db.session.refresh(asked[0])
    assert asked[0].status is Status.DECLINED
    assert asked[0].declined_reason == "No admin here"
    assert "Declined" in words(dana.get(page))

    dana.approve(dana.start(page, asked[0]), person)

    db.session.refresh(asked[0])
    assert asked[0].status is Status.FULFILLED


def test_permissions_granted_in_part_are_said_on_the_card(dana, workspace, owner, person):
    workflow = factories.make_workflow(workspace, owner, ("northdesk", "answer_ticket"), name="Answering")
    (asked,) = factories.make_sent(workflow, owner, recipient=DANA)
    page = f"/portal/connections/workflows/{workflow.public_id}"
    dana.get(page)

    answer = dana.approve(dana.start(page, asked), person, grant={"tickets.read"})

    assert answer.headers["Location"].startswith(page)
    said = words(dana.get(page))
    assert "Northdesk granted 1 of the 2 permissions" in said
    assert "Grant the rest" in said
    assert db.session.scalar(select(Connection)) is None


def test_another_account_than_was_expected_waits_for_a_word(dana, page, asked, person):
    with transaction():
        asked[0].expected_account = "boss@harbordental.example"
    dana.get(page)
    dana.approve(dana.start(page, asked[0]), person)
    said = words(dana.get(page))
    assert "Northwind Studio expected boss@harbordental.example." in said
    assert "Use this account anyway" in said

    answer = dana.post(f"{page}/requests/{asked[0].public_id}/keep")

    assert answer.status_code == 303
    db.session.refresh(asked[0])
    assert asked[0].status is Status.FULFILLED
    assert asked[0].other_account


def test_only_the_cards_of_this_workflow_are_there(dana, page, workspace, owner):
    other = factories.make_workflow(workspace, owner, provided.STEPS[0], name="Recall reminders")
    factories.make_sent(other, owner, recipient=DANA)

    assert words(dana.get(page)).count("Awaiting authorisation") == 2
    elsewhere = words(dana.get(f"/portal/connections/workflows/{other.public_id}"))
    assert elsewhere.count("Awaiting authorisation") == 1
    assert "0 of 1 connected" in elsewhere


def test_what_was_connected_over_an_earlier_bundle_counts(dana, page, asked, person, workflow, owner):
    """All of a bundle was settled, so that the next request opened another."""
    connection_requests.cancel(owner.agency, asked[1].public_id, by=owner)
    dana.get(page)
    dana.approve(dana.start(page, asked[0]), person)
    (again,) = [slot for slot in workflow.slots if slot.connection_id is None]
    factories.make_request(again, owner, recipient=DANA)
    sending.send(workflow, by=owner)
    db.session.refresh(asked[0])

    said = words(dana.get(page))

    assert "1 of 2 connected" in said
    assert "Connect Postwave" in said


def test_a_request_that_was_sent_before_the_recipient_was_a_member_shows_too(app, workflow, owner, workspace, visitor):
    factories.make_sent(workflow, owner, recipient=PRIYA)
    factories.make_member(workspace, PRIYA, "Priya Nair")
    priya = Visitor(factories.signed_in_client(app, PRIYA, workspace))

    said = words(priya.get(f"/portal/connections/workflows/{workflow.public_id}"))

    assert "Connect Northdesk" in said
    assert "The request expires in 7 days" in said


def test_a_card_that_was_cancelled_meanwhile_leads_to_the_page_as_it_is(dana, page, asked, owner):
    dana.get(page)
    for each in asked:
        connection_requests.cancel(owner.agency, each.public_id, by=owner)

    answer = dana.ask(
        "POST",
        f"{page}/requests/{asked[0].public_id}/start",
        data={"csrf_token": dana.token()},
        headers={"Referer": f"http://localhost{page}"},
    )

    assert answer.status_code == 303
    assert answer.headers["Location"] == page
    said = words(dana.get(page))
    assert "The requests for Northdesk and Postwave were cancelled. There is nothing that you have to do" in said
    assert "0 of" not in said


def test_a_request_that_was_cancelled_beside_others_is_said_to_be_until_it_is_asked_again(dana, owner, page, asked):
    connection_requests.cancel(owner.agency, asked[0].public_id, by=owner)
    assert "The request for Northdesk was cancelled." in words(dana.get(page))
    assert "0 of 1 connected" in words(dana.get(page))

    again = connection_requests.request_again(owner.agency, asked[0].public_id, by=owner)
    sending.send(again.workflow, by=owner)

    assert "was cancelled" not in words(dana.get(page))


def test_other_members_and_other_workspaces_do_not_find_it(app, agency, owner, dana, page, asked, workspace):
    factories.make_member(workspace, "tom@harbordental.example", "Tom")
    elsewhere = factories.make_workspace(agency, "Bluefin Logistics")
    factories.make_member(elsewhere, DANA)
    teammate = Visitor(factories.signed_in_client(app, "tom@harbordental.example", workspace))
    stranger = Visitor(factories.signed_in_client(app, DANA, elsewhere))
    for other in (teammate, stranger):
        assert other.ask("GET", page).status_code == 404
        other.get("/portal/connections")
        for act in ("start", "decline", "use", "keep"):
            assert other.post(f"{page}/requests/{asked[0].public_id}/{act}").status_code == 404, act
    db.session.refresh(asked[0])
    assert asked[0].status is Status.PENDING


def test_the_page_takes_as_many_statements_for_many_apps(dana, page, app, workspace, owner):
    steps = [("northdesk", "find_ticket"), ("postwave", "send_campaign"), ("shoply", "new_order")]
    larger = factories.make_workflow(workspace, owner, *steps, name="Larger")
    for _again in range(3):
        factories.nodes.add(larger, app_key="northdesk", action_key="answer_ticket", separate=True, by=owner)
    with transaction():
        for slot in larger.slots:
            slot.source = Source.CLIENT
    factories.make_sent(larger, owner, recipient=DANA)
    larger_page = f"/portal/connections/workflows/{larger.public_id}"
    dana.get(page)

    with app.app_context(), counted() as few:
        dana.web.get(page)
    with app.app_context(), counted() as many:
        answer = dana.web.get(larger_page)

    assert answer.text.count("Awaiting authorisation") == 6
    assert len(many) == len(few) <= 6


def test_an_account_that_tells_no_address_waits_for_a_word_where_one_was_expected(dana, page, asked, person, provider):
    with transaction():
        asked[0].expected_account = "harbordental.example"
    body = json.dumps({"id": "77", "email": "Harbor Dental"})
    dana.get(page)
    provider.misbehave("api", status=200, body=body, content_type="application/json", times=1)
    dana.approve(dana.start(page, asked[0]), person)

    said = words(dana.get(page))
    assert "You connected Harbor Dental. Northwind Studio expected harbordental.example." in said
    assert "Use this account anyway" in said
    db.session.refresh(asked[0])
    assert asked[0].status is Status.PENDING


def test_staff_who_are_members_too_are_told_that_a_client_connected_it_and_change_nothing(
    app, dana, page, asked, workspace, owner, person
):
    dana.get(page)
    dana.approve(dana.start(page, asked[0]), person)
    factories.make_member(workspace, owner.email, "Maya")
    other = factories.make_workflow(workspace, owner, ("northdesk", "find_ticket"), name="Ours")
    (mine,) = factories.make_sent(other, owner, recipient=owner.email)
    maya = Visitor(factories.signed_in_client(app, owner.email, workspace))
    theirs = f"/portal/connections/workflows/{other.public_id}"
    maya.get(theirs)

    maya.approve(maya.start(theirs, mine), person)

    assert "Somebody of the client connected this Northdesk account, and it is theirs" in words(maya.get(theirs))
    db.session.refresh(mine)
    assert mine.status is Status.PENDING
    assert [each.owner_email for each in db.session.scalars(select(Connection))] == [DANA]

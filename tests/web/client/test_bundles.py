import re

import pytest
from bs4 import BeautifulSoup
from sqlalchemy import select

from app.extensions import db
from app.models import AuditEvent, Connection, Flow, FlowStatus, Health, Notice, OutboxItem, Secret, Status
from app.services import accounts, connection_requests, flows, grants, link_tokens, secrets, sending
from tests import factories

pytestmark = pytest.mark.both_databases


def fresh(row):
    db.session.rollback()
    db.session.refresh(row)
    return row


def test_a_client_connects_an_app_and_the_token_works(visitor, agency, asked, person, provider):
    northdesk = asked[0]
    page = visitor.open(northdesk)
    html = visitor.get(page)
    assert f"{agency.name} needs you to connect 2 apps" in html
    assert "0 of 2 connected" in html

    landed = visitor.approve(visitor.start(page, northdesk), person)

    assert landed.status_code == 303
    assert landed.headers["Location"] == f"{page}#app-{northdesk.public_id}"
    assert "1 of 2 connected" in visitor.get(page)
    assert fresh(northdesk).status is Status.FULFILLED
    connection = northdesk.connection
    assert (connection.health, connection.account) == (Health.ACTIVE, person.email)
    assert connection.owner_email == northdesk.recipient
    assert northdesk.slot.connection_id == connection.id
    token = secrets.reveal(connection)["access_token"].reveal()
    assert provider.call_api(token)[0] == 200


def test_a_partial_grant_is_not_connected_until_the_rest_is_granted(visitor, asked, person):
    postwave = asked[1]
    page = visitor.open(postwave)
    visitor.get(page)

    visitor.approve(visitor.start(page, postwave), person, grant=["campaigns.read", "contacts.read"])

    assert fresh(postwave).notice is Notice.PARTIAL
    assert postwave.status is Status.PENDING
    html = visitor.get(page)
    assert "Postwave granted 2 of the 3 permissions" in html
    assert "Grant the rest" in html
    assert not db.session.scalars(select(Connection)).all()

    visitor.approve(visitor.start(page, postwave), person)

    assert fresh(postwave).status is Status.FULFILLED
    assert "1 of 2 connected" in visitor.get(page)


def test_a_denial_leaves_the_app_open_and_says_so(visitor, asked, person):
    page = visitor.open(asked[0])
    visitor.get(page)

    visitor.approve(visitor.start(page, asked[0]), person, deny=True)

    assert fresh(asked[0]).status is Status.PENDING
    assert "Access was not approved at Northdesk" in visitor.get(page)


def test_the_same_account_again_updates_its_connection(visitor, asked, workflow, workspace, owner, person):
    page = visitor.open(asked[0])
    visitor.get(page)
    visitor.approve(visitor.start(page, asked[0]), person)
    first = fresh(asked[0]).connection
    other = factories.make_workflow(workspace, owner, ("northdesk", "find_ticket"), name="Recall reminders")
    again = factories.make_sent(other, owner)[0]
    page = visitor.open(again)
    visitor.get(page)

    visitor.approve(visitor.start(page, again), person)

    assert fresh(again).connection_id == first.id
    assert len(db.session.scalars(select(Connection)).all()) == 1
    assert [secret.version for secret in db.session.scalars(select(Secret))] == [2]


def test_once_connected_the_account_is_offered_for_another_workflow(visitor, asked, workspace, owner, person):
    other = factories.make_workflow(workspace, owner, ("northdesk", "find_ticket"), name="Recall reminders")
    second = factories.make_sent(other, owner)[0]
    page = visitor.open(second)
    visitor.get(page)
    visitor.approve(visitor.start(page, asked[0]), person)

    html = visitor.get(page)
    assert f"Use {person.email}" in html
    use = f"{page}/requests/{second.public_id}/use"
    assert visitor.post(use, connection="a" * 20).status_code == 422
    assert visitor.post(use, connection=fresh(asked[0]).connection.public_id).status_code == 303

    assert fresh(second).connection_id == fresh(asked[0]).connection_id


def test_declined_then_connected_after_all(visitor, asked, person):
    page = visitor.open(asked[0])
    visitor.get(page)

    answer = visitor.post(f"{page}/requests/{asked[0].public_id}/decline", reason="Our IT company runs it.")
    assert answer.status_code == 303
    assert (fresh(asked[0]).status, asked[0].declined_reason) == (Status.DECLINED, "Our IT company runs it.")
    assert "Declined" in visitor.get(page)

    visitor.approve(visitor.start(page, asked[0]), person)
    assert fresh(asked[0]).status is Status.FULFILLED


def test_declining_says_what_was_declined_with_the_reason_and_keeps_the_card(visitor, agency, asked):
    page = visitor.open(asked[0])
    visitor.get(page)
    decline = f"{page}/requests/{asked[0].public_id}/decline"

    answer = visitor.ask("POST", decline, data={"csrf_token": visitor.token(), "reason": "IT <runs> it."})

    assert answer.headers["Location"] == f"{page}#app-{asked[0].public_id}"
    html = visitor.get(page)
    assert f"You declined Northdesk, and {agency.name} has been told." in html
    assert "“IT &lt;runs&gt; it.”" in html
    assert f"{agency.name} needs you to connect 2 apps" in html
    part = visitor.ask("GET", f"{page}/apps", headers={"HX-Request": "true"}).text
    assert "0 of 2 connected. You declined Northdesk</span>" in part


def test_once_all_is_declined_the_page_does_not_ask_for_it_any_more(visitor, agency, asked):
    page = visitor.open(asked[0])
    visitor.get(page)
    for each in asked:
        visitor.post(f"{page}/requests/{each.public_id}/decline")

    html = visitor.get(page)

    assert "<h1>You declined Northdesk and Postwave</h1>" in html
    assert f"{agency.name} has been told and sends no reminders." in html
    assert "needs you to connect" not in html
    assert "Connect Northdesk" in html


def test_who_declined_and_then_tried_sees_what_came_of_that(visitor, asked, person):
    page = visitor.open(asked[0])
    visitor.get(page)
    visitor.post(f"{page}/requests/{asked[0].public_id}/decline")

    visitor.approve(visitor.start(page, asked[0]), person, deny=True)

    card = BeautifulSoup(visitor.get(page), "html.parser").find(id=f"app-{asked[0].public_id}").get_text(" ")
    assert "Access was not approved at Northdesk" in card
    assert "Awaiting authorisation" in card
    assert "eclined" not in card
    assert fresh(asked[0]).status is Status.DECLINED


def test_a_reason_that_is_too_long_keeps_what_was_typed(visitor, asked):
    page = visitor.open(asked[0])
    visitor.get(page)
    answer = visitor.post(f"{page}/requests/{asked[0].public_id}/decline", reason="x" * 300)

    assert answer.status_code == 422
    assert "At most 256 characters; this has 300." in answer.text
    assert "x" * 300 in answer.text


def test_when_all_is_connected_the_page_says_so_and_the_link_dies(visitor, asked, person):
    page = visitor.open(asked[0])
    token = link_tokens.of(asked[0].bundle)
    visitor.get(page)
    for each in asked:
        visitor.approve(visitor.start(page, each), person)

    html = visitor.get(page)
    assert "All 2 apps are connected" in html
    assert "Looking after them, or taking access back" in html
    assert "hx-trigger" not in html
    assert visitor.web.get(f"/l/{token}").status_code == 404


@pytest.mark.parametrize("act", ["cancel", "change_recipient"])
def test_a_flow_that_was_overtaken_makes_no_connection(visitor, agency, asked, owner, person, provider, act):
    page = visitor.open(asked[0])
    visitor.get(page)
    started = visitor.start(page, asked[0])
    if act == "cancel":
        connection_requests.cancel(agency, asked[0].public_id, by=owner)
    else:
        sending.change_recipient(agency, asked[0].public_id, recipient="it@cobalt-it.example", by=owner)

    visitor.approve(started, person)

    assert "Northdesk is no longer asked for" in visitor.ask("GET", page).text
    assert fresh(asked[0]).status in (Status.CANCELLED, Status.PENDING)
    assert asked[0].connection_id is None
    assert not db.session.scalars(select(Connection)).all()
    flow = db.session.scalars(select(Flow)).one()
    assert (flow.status, flow.outcome) == (FlowStatus.FAILED, "withdrawn")
    assert db.session.scalars(select(OutboxItem).where(OutboxItem.kind == "grant.discard")).one().key == flow.public_id


@pytest.mark.parametrize("act", ["resend", "send"])
def test_a_flow_that_began_while_the_link_lived_may_finish(visitor, agency, asked, owner, person, clock, act):
    page = visitor.open(asked[0])
    visitor.get(page)
    started = visitor.start(page, asked[0])
    clock.forward(minutes=6)
    if act == "resend":
        sending.resend(agency, asked[1].public_id, by=owner)
    else:
        extra = factories.make_workflow(asked[0].workflow.workspace, owner, ("farport", "upload_file"), name="Files")
        factories.make_sent(extra, owner)

    visitor.approve(started, person)

    assert fresh(asked[0]).status is Status.FULFILLED
    assert visitor.web.get(page).status_code == 404


def test_a_flow_cannot_be_finished_in_another_browser(app, visitor, asked, person, provider):
    from tests.support.consent import consent

    page = visitor.open(asked[0])
    visitor.get(page)
    started = visitor.start(page, asked[0])
    back = consent(started.headers["HX-Redirect"], person)
    address = back.pop("redirect_uri").removeprefix(factories.BASE_URL)
    thief = app.test_client()
    thief.get(f"/l/{link_tokens.of(asked[0].bundle)}")
    calls = len(provider.calls("token"))

    assert thief.get(address, query_string=back).status_code == 404
    assert len(provider.calls("token")) == calls
    assert fresh(asked[0]).status is Status.PENDING

    assert visitor.web.get(address, query_string=back).status_code == 303
    assert fresh(asked[0]).status is Status.FULFILLED


def test_a_link_opened_by_scanners_still_works(app, asked):
    token = link_tokens.of(asked[0].bundle)
    for number in range(50):
        scanner = app.test_client()
        answer = scanner.get(f"/l/{token}", environ_base={"REMOTE_ADDR": f"203.0.113.{number}"})
        assert answer.status_code == 303
    assert fresh(asked[0].bundle).epoch == 1


def test_no_link_or_secret_is_in_the_audit_trail(visitor, asked, person):
    page = visitor.open(asked[0])
    visitor.get(page)
    visitor.approve(visitor.start(page, asked[0]), person)
    token = link_tokens.of(asked[0].bundle)
    written = [repr((event.type, event.data)) for event in db.session.scalars(select(AuditEvent))]

    assert {"link.opened", "flow.started", "connection.created", "request.fulfilled"} <= {
        event.type for event in db.session.scalars(select(AuditEvent))
    }
    assert not [line for line in written if token in line or re.search("eyJ|token", line)]


def test_a_thrown_away_grant_is_given_back_and_the_kept_one_still_works(visitor, agency, asked, person, provider):
    page = visitor.open(asked[1])
    visitor.get(page)
    visitor.approve(visitor.start(page, asked[1]), person, grant=["campaigns.read"])
    visitor.approve(visitor.start(page, asked[1]), person)
    partial = db.session.scalars(select(Flow).where(Flow.status == FlowStatus.FAILED)).one()
    due = db.session.scalars(select(OutboxItem).where(OutboxItem.kind == "grant.discard")).one()
    assert due.due_at <= fresh(partial).expires_at
    before = len(provider.calls("revoke"))

    grants.discard(partial.id, agency_id=agency.id)

    assert len(provider.calls("revoke")) == before + 1
    assert fresh(partial).grant is None
    token = secrets.reveal(fresh(asked[1]).connection)["access_token"].reveal()
    assert provider.call_api(token)[0] == 200


def test_a_grant_whose_account_can_not_be_told_is_given_back(visitor, asked, person, provider):
    page = visitor.open(asked[0])
    visitor.get(page)
    started = visitor.start(page, asked[0])
    provider.misbehave("api", status=500, times=1)

    visitor.approve(started, person)

    assert fresh(asked[0]).status is Status.PENDING
    assert "Nothing was connected, and you can try again." in visitor.get(page)
    flow = db.session.scalars(select(Flow)).one()
    assert flow.grant is not None
    assert db.session.scalars(select(OutboxItem).where(OutboxItem.kind == "grant.discard")).one().key == flow.public_id


def test_a_second_flow_with_another_account_makes_no_second_connection(app, visitor, asked, provider):
    page = visitor.open(asked[0])
    visitor.get(page)
    first, second = visitor.start(page, asked[0]), visitor.start(page, asked[0])

    visitor.approve(first, provider.people["ann"])
    visitor.approve(second, provider.people["ben"])

    assert [each.account for each in db.session.scalars(select(Connection))] == [provider.people["ann"].email]
    due = db.session.scalars(select(OutboxItem).where(OutboxItem.kind == "grant.discard")).all()
    assert len(due) == 1


def test_a_grant_is_given_back_when_storing_it_fails(visitor, asked, person, monkeypatch):
    def fail(*_args, **_more):
        raise RuntimeError("the disk is full")

    page = visitor.open(asked[0])
    visitor.get(page)
    started = visitor.start(page, asked[0])
    monkeypatch.setattr(accounts, "store", fail)
    monkeypatch.setattr(visitor.web.application, "testing", False)

    assert visitor.approve(started, person).status_code == 500
    assert fresh(asked[0]).status is Status.PENDING
    flow = db.session.scalars(select(Flow)).one()
    assert (flow.status, flow.outcome) == (FlowStatus.FAILED, "internal")
    assert db.session.scalars(select(OutboxItem).where(OutboxItem.kind == "grant.discard")).one().key == flow.public_id


def test_flows_of_a_bundle_are_counted(visitor, asked, monkeypatch):
    monkeypatch.setattr(flows, "MOST_STARTS", 2)
    page = visitor.open(asked[0])
    visitor.get(page)

    assert [visitor.start(page, asked[0]).status_code for _ in range(3)] == [200, 200, 429]

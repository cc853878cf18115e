"""The portal's first page: what waits for the visitor to connect it."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.database import transaction
from app.extensions import db
from app.models import Status
from app.services import connection_requests, sending
from tests import factories
from tests.web.portal import own_connections
from tests.web.portal.own_connections import DANA, PAGE, PRIYA, STEPS, visitor, words

pytestmark = pytest.mark.both_databases
dana, member, slack = own_connections.fixtures


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

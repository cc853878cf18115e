"""Requests of the kind `reauthorize`: one live per connection, for its owner alone, queued, sent and settled."""

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app import clock as app_clock
from app.database import transaction
from app.errors import Conflict, NotFound, Refused
from app.extensions import db
from app.models import AuditEvent, Channel, ConnectionRequest, Health, Kind, Source, Status
from app.services import (
    connection_requests,
    fulfilment,
    intake,
    mending_requests,
    nodes,
    outgoing,
    revocations,
    scopes,
    sending,
)
from app.services.audit import Actor
from tests import factories
from tests.services import broken
from tests.services.broken import DANA, PRIYA, ask, asked_of_many, cards, mails
from tests.services.settling import change
from tests.support.rows import rows_of
from tests.support.shared_app import *  # noqa: F403
from tests.support.statements import counted

pytestmark = pytest.mark.both_databases
held, other = broken.fixtures


# ── Queueing ─────────────────────────────────────────────────────────────────


def test_queue_asks_the_owner_at_the_workflow_and_fills_no_slot(workflow, held, owner):
    asked = ask(held, owner, workflow=workflow, note="Your admin took it away.")

    assert (asked.kind, asked.status, asked.recipient) == (Kind.REAUTHORIZE, Status.QUEUED, PRIYA)
    assert (asked.slot_id, asked.connection_id, asked.workflow_id) == (None, held.id, workflow.id)
    assert asked.note == "Your admin took it away."
    assert len(mails()) == 0
    event = db.session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc())).first()
    assert (event.type, event.data["kind"], event.data["connection"]) == (
        "request.queued",
        Kind.REAUTHORIZE,
        held.public_id,
    )


def test_queue_takes_no_other_recipient_than_the_owner(held, owner):
    assert ask(held, owner, recipient=DANA).recipient == PRIYA


def test_queue_without_a_workflow_takes_the_latest_that_is_published(workspace, workflow, other, held, owner):
    assert mending_requests.workflow_for(held).id == other.id
    change(workflow, version=1)
    assert mending_requests.workflow_for(held).id == workflow.id
    change(workflow, archived_at=app_clock.now())

    assert ask(held, owner).workflow_id == other.id


def test_queue_refuses_what_no_workflow_uses(workflow, held, owner):
    change(workflow.slots[0], connection_id=None)
    with pytest.raises(Conflict, match="No workflow uses this connection"):
        ask(held, owner)


def test_queue_asks_once_in_words_and_in_the_database(workflow, held, owner):
    first = ask(held, owner)
    with pytest.raises(Conflict, match=f"{PRIYA} is asked already to reconnect this account"):
        ask(held, owner)

    same = ("agency_id", "workspace_id", "workflow_id", "connection_id", "app_key", "kind", "recipient", "created_at")
    twin = ConnectionRequest(**{name: getattr(first, name) for name in same})
    with pytest.raises(IntegrityError), transaction() as session:
        session.add(twin)


@pytest.mark.parametrize("changes", [{"owner_email": None}, {"workspace_id": None}])
def test_queue_refuses_what_is_the_agencys(workspace, owner, changes):
    held = factories.make_connection(workspace, **{"owner_email": PRIYA, "health": Health.ERROR, **changes})

    with pytest.raises(Refused, match="The agency owns this connection"):
        ask(held, owner)


def test_queue_refuses_an_app_without_a_client(workspace, owner):
    held = factories.make_connection(workspace, "quickbooks", owner_email=PRIYA, health=Health.ERROR)

    with pytest.raises(Refused, match="not configured for OAuth2"):
        ask(held, owner)


def test_queue_refuses_what_is_gone_archived_or_of_another_workspace(agency, workspace, workflow, held, owner, clock):
    elsewhere = factories.make_workflow(factories.make_workspace(agency, "Bluefin"), owner, name="Elsewhere")
    with pytest.raises(NotFound):
        ask(held, owner, workflow=elsewhere)
    change(workspace, archived_at=clock.now)
    with pytest.raises(Conflict, match="archived"):
        ask(held, owner, workflow=workflow)
    change(workspace, archived_at=None)
    change(held, deleted_at=clock.now)
    with pytest.raises(NotFound):
        ask(held, owner)


def test_queue_asks_nobody_for_what_was_mended_meanwhile(held, owner):
    change(held, health=Health.ACTIVE)
    with pytest.raises(Conflict, match="works again"):
        ask(held, owner, was_broken=True)

    assert ask(held, owner).status is Status.QUEUED  # in time, before it breaks


def test_once_the_owner_was_removed_a_member_is_chosen(workspace, workflow, held, owner, clock):
    factories.make_member(workspace, DANA, "Dana Reyes")
    assert mending_requests.who_may(held) == []
    change(held, owner_left_at=clock.now)
    assert [each.email for each in mending_requests.who_may(held)] == [DANA]

    for whom in (PRIYA, "sam@cobalt-it.example"):
        with pytest.raises(Refused, match="was removed, so a member has to reconnect it") as refused:
            ask(held, owner, recipient=whom)
        assert refused.value.field == "recipient"
    assert ask(held, owner, recipient=f" {DANA.upper()}").recipient == DANA


# ── Sending and moving ───────────────────────────────────────────────────────


def test_send_asks_for_what_it_holds_and_what_all_slots_need(workspace, workflow, other, held, owner):
    change(held, scopes=["channels:read"])
    asked = ask(held, owner, workflow=workflow)

    sending.send(workflow, by=owner)

    needed = set(scopes.needed_of(held)) | {"channels:read"}
    assert {"chat:write", "users:read.email"} <= needed
    assert set(asked.sent_scopes) == needed
    assert {each.scope: each.is_new for each in mending_requests.wanted(held)}["chat:write"]
    assert not {each.scope: each.is_new for each in mending_requests.wanted(held)}["channels:read"]


def test_send_from_another_workflow_that_uses_it_sends_it_too(workflow, other, held, owner):
    asked = ask(held, owner, workflow=workflow)
    assert sending.preview(other) == "Sends 1 queued request to 1 recipient."

    sent = sending.send(other, by=owner)

    assert (sent.recipients, sent.requests) == (1, 1)
    db.session.refresh(asked)
    assert asked.status is Status.PENDING
    assert sending.send(workflow, by=owner).requests == 0
    assert len(mails()) == 1


def test_send_asks_as_often_for_twenty_as_for_one(workspace, owner):
    def statements(count):
        workflow = asked_of_many(workspace, owner, count)
        with counted() as found:
            sending.send(workflow, by=owner)
        return len([each for each in found if each.startswith("SELECT")])

    statements(1)  # opens the bundle
    assert statements(2) == statements(20)


def test_the_mail_says_which_account(workflow, held, owner):
    ask(held, owner, workflow=workflow)
    sending.send(workflow, by=owner)

    [asked] = outgoing.read(mails()[0].payload["bundle"]).asked
    assert (asked.is_mending, asked.account) == (True, "priya@slack.example")


def test_change_recipient_is_refused_while_the_owner_can_mend_it(agency, workspace, workflow, held, owner, clock):
    factories.make_member(workspace, DANA, "Dana Reyes")
    asked = ask(held, owner, workflow=workflow)
    with pytest.raises(Refused, match=f"Only {PRIYA} can reconnect this account") as refused:
        sending.change_recipient(agency, asked.public_id, recipient=DANA, by=owner)
    assert refused.value.field == "recipient"
    sending.send(workflow, by=owner)
    with pytest.raises(Refused, match="Only"):
        sending.change_recipient(agency, asked.public_id, recipient=DANA, by=owner)

    change(held, owner_left_at=clock.now)
    with pytest.raises(Refused, match="a member has to"):
        sending.change_recipient(agency, asked.public_id, recipient="sam@cobalt-it.example", by=owner)
    assert sending.change_recipient(agency, asked.public_id, recipient=DANA, by=owner).bundle.channel is Channel.PORTAL


def test_cancel_changes_no_slot(agency, workflow, held, owner):
    asked = ask(held, owner, workflow=workflow)
    sending.send(workflow, by=owner)

    connection_requests.cancel(agency, asked.public_id, by=owner)

    db.session.refresh(workflow.slots[0])
    assert (workflow.slots[0].connection_id, workflow.slots[0].source) == (held.id, Source.CLIENT)
    assert asked.bundle.closed_at is not None
    with pytest.raises(Conflict, match="ask for that at the connection"):
        connection_requests.request_again(agency, asked.public_id, by=owner)
    assert ask(held, owner).status is Status.QUEUED


def test_a_declined_one_may_be_resent_unless_it_is_asked_anew(agency, workflow, held, owner, clock):
    asked = ask(held, owner, workflow=workflow)
    sending.send(workflow, by=owner)
    connection_requests.decline(asked, reason="Not now.")
    again = ask(held, owner, workflow=workflow)
    clock.forward(minutes=6)
    with pytest.raises(Conflict, match="in the queue or pending"):
        sending.resend(agency, asked.public_id, by=owner)

    connection_requests.cancel(agency, again.public_id, by=owner)

    assert sending.resend(agency, asked.public_id, by=owner).status is Status.PENDING


def test_an_expired_one_is_resent_as_any_other(agency, workflow, held, owner, clock):
    asked = ask(held, owner, workflow=workflow)
    sending.send(workflow, by=owner)
    clock.forward(days=8)
    assert asked.is_expired(clock.now)

    assert not sending.resend(agency, asked.public_id, by=owner).is_expired(clock.now)


def test_a_revoked_connection_is_not_asked_for_any_more(agency, workflow, held, owner):
    asked = ask(held, owner, workflow=workflow)
    sending.send(workflow, by=owner)

    revocations.revoke(held, by=owner)

    db.session.refresh(asked)
    assert asked.status is Status.CANCELLED
    assert asked.bundle.closed_at is not None


def test_mended_otherwise_settles_it(workflow, held, owner):
    asked = ask(held, owner, workflow=workflow)
    sending.send(workflow, by=owner)

    with transaction():
        fulfilment.mended(held, by=Actor.client(PRIYA), at=app_clock.now())

    db.session.refresh(asked)
    assert asked.status is Status.FULFILLED


def test_no_other_account_of_theirs_is_offered_in_its_place(agency, workspace, workflow, held, owner):
    asked = ask(held, owner, workflow=workflow)
    sending.send(workflow, by=owner)
    second = factories.make_connection(workspace, name="Second", scopes=scopes.needed_of(held), owner_email=PRIYA)
    before = rows_of(agency)

    [card] = intake.cards(asked.bundle)

    assert card.offer is None
    with pytest.raises(Conflict):
        intake.use_offer(asked.bundle, asked.public_id, second.public_id)
    assert rows_of(agency) == before


def test_a_member_who_takes_it_over_is_asked_for_what_is_needed_by_then(
    agency, workspace, workflow, other, held, owner, clock
):
    factories.make_member(workspace, DANA, "Dana Reyes")
    factories.make_request(workflow.slots[1], owner, recipient=DANA)
    asked = ask(held, owner, workflow=workflow)
    sending.send(workflow, by=owner)
    change(held, owner_left_at=clock.now)
    nodes.add(other, app_key="slack", action_key="create_channel", by=owner)

    sending.change_recipient(agency, asked.public_id, recipient=DANA, by=owner)

    assert "channels:manage" in asked.sent_scopes
    assert not cards(workflow)[asked.public_id].is_changed

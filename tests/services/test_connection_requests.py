"""Requests: what may be queued, asked again, declined; `test_status_table` has the moves between statuses."""

import pytest
from sqlalchemy import func, select

from app import runtime
from app.errors import Conflict, NotFound, Refused
from app.extensions import db
from app.models import AuditEvent, OutboxItem, Source, Status
from app.services import addresses, connection_requests, nodes, sending, slot_requests, slots, workflows, workspaces
from tests import factories
from tests.support import shared_app
from tests.support.elsewhere import elsewhere
from tests.support.rows import rows_of

agency, app, config, stranger = shared_app.fixtures

PRIYA, SAM = "priya.nair@harbordental.example", "sam@cobalt-it.example"
Q, P, D, C = Status.QUEUED, Status.PENDING, Status.DECLINED, Status.CANCELLED


def test_ask_again_queues_a_fresh_copy_and_leaves_the_old_one(agency, workflow, owner):
    slot = workflow.slots[0]
    asked = connection_requests.queue(
        slot, recipient=PRIYA, note="The blue one.", expected_account="harbordental.example", by=owner
    )
    connection_requests.cancel(agency, asked.public_id, by=owner)

    copy = connection_requests.request_again(agency, asked.public_id, by=owner)

    assert (copy.status, asked.status) == (Q, C)
    assert (copy.recipient, copy.note, copy.expected_account) == (PRIYA, "The blue one.", "harbordental.example")
    assert copy.slot_id == slot.id
    with pytest.raises(Conflict):
        connection_requests.request_again(agency, asked.public_id, by=owner)


def test_ask_again_is_refused_once_the_step_is_gone(agency, workflow, owner):
    asked = factories.make_request(workflow.slots[0], owner)
    nodes.remove(workflow, workflow.nodes[0].public_id, confirmed=True, by=owner)

    with pytest.raises(Conflict, match="no longer there"):
        connection_requests.request_again(agency, asked.public_id, by=owner)


# ── Editing ─────────────────────────────────────────────────────────────────


def test_edit_changes_what_a_queued_request_says_and_expects(agency, workflow, owner):
    asked = factories.make_request(workflow.slots[0], owner, recipient=PRIYA)

    connection_requests.edit(
        agency, asked.public_id, note=" The blue one. ", expected_account="@HarborDental.example", by=owner
    )

    assert (asked.note, asked.expected_account) == ("The blue one.", "harbordental.example")
    assert (asked.status, asked.recipient) == (Q, PRIYA)
    told = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "request.edited")).one()
    assert told.subject == asked.public_id
    assert "blue" not in str(told.data)

    connection_requests.edit(
        agency, asked.public_id, note="The blue one.", expected_account="harbordental.example", by=owner
    )
    assert len(db.session.scalars(select(AuditEvent).where(AuditEvent.type == "request.edited")).all()) == 1


@pytest.mark.both_databases
def test_edit_leaves_alone_what_was_sent_even_at_that_moment(agency, workflow, owner):
    asked = factories.make_request(workflow.slots[0], owner, recipient=PRIYA, note="As sent.")
    elsewhere(lambda workflow, owner: sending.send(workflow, by=owner), workflow, owner)

    with pytest.raises(Conflict, match="not in the queue any more"):
        connection_requests.edit(agency, asked.public_id, note="Later", expected_account="", by=owner)

    assert (asked.note, asked.status) == ("As sent.", P)


@pytest.mark.parametrize(("note", "expected"), [("x" * 257, ""), ("", "no such place")])
def test_edit_refuses_what_queueing_would_refuse(agency, workflow, owner, note, expected):
    asked = factories.make_request(workflow.slots[0], owner, note="Before")

    with pytest.raises(Refused):
        connection_requests.edit(agency, asked.public_id, note=note, expected_account=expected, by=owner)

    assert asked.note == "Before"


def test_edit_is_for_the_agency_alone(stranger, workflow, owner):
    asked = factories.make_request(workflow.slots[0], owner)

    with pytest.raises(NotFound):
        connection_requests.edit(stranger.agency, asked.public_id, note="x", expected_account="", by=stranger)


# ── Queueing ────────────────────────────────────────────────────────────────


def test_queue_sends_nothing(agency, workflow, owner):
    asked = connection_requests.queue(workflow.slots[0], recipient=" Priya.Nair@HarborDental.example ", by=owner)

    assert (asked.status, asked.bundle_id, asked.recipient) == (Q, None, PRIYA)
    assert db.session.scalar(select(func.count(OutboxItem.id)).where(OutboxItem.agency_id == agency.id)) == 0
    event = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "request.queued")).one()
    assert (event.subject, event.actor, event.data["recipient"]) == (asked.public_id, owner.email, PRIYA)


@pytest.mark.both_databases
@pytest.mark.parametrize("sent", [False, True])
def test_queue_refuses_a_second_live_request_for_a_slot(agency, workflow, owner, sent):
    first = factories.make_request(workflow.slots[0], owner)
    if sent:
        sending.send(workflow, by=owner)
    before = rows_of(agency)

    with pytest.raises(Conflict, match="already in the queue or pending"):
        factories.make_request(workflow.slots[0], owner, recipient=SAM)

    assert rows_of(agency) == before
    assert slot_requests.live_for(workflow.slots[0]).id == first.id


@pytest.mark.parametrize("speaks_oauth", [False, True], ids=["API key alone", "no client id"])
def test_queue_refuses_an_app_that_no_client_can_be_asked_for(agency, workspace, owner, speaks_oauth):
    catalog = runtime.current().catalog
    app = next(each for each in catalog if bool(each.oauth2) is speaks_oauth and each.key not in factories.CLIENTS)
    workflow = factories.make_workflow(workspace, owner, (app.key, app.actions[0].key))

    with pytest.raises(Refused, match=r"^OAuth provider on this request is not configured for OAuth2\.$"):
        factories.make_request(workflow.slots[0], owner)


@pytest.mark.parametrize(
    ("field", "values", "says"),
    [
        ("recipient", {"recipient": ""}, "Write an e-mail address"),
        ("recipient", {"recipient": "priya"}, "not an e-mail address"),
        ("recipient", {"recipient": "priya@harbor"}, "no domain ending"),
        ("recipient", {"recipient": "a@x.example, b@x.example"}, "not an e-mail address"),
        ("recipient", {"recipient": "a@x.example\nBcc: b@x.example"}, "not an e-mail address"),
        ("note", {"note": "x" * 257}, "At most 256 characters; this has 257"),
        ("note", {"note": "a\x0bb"}, "can't be shown"),
        ("note", {"note": "a\u202eb"}, "can't be shown"),
        ("expected_account", {"expected_account": "harbor dental"}, "an e-mail address or a domain"),
        ("expected_account", {"expected_account": "-x.example"}, "an e-mail address or a domain"),
        ("expected_account", {"expected_account": "a@x..example"}, "not an e-mail address"),
    ],
)
def test_queue_refuses_what_does_not_fit_and_names_the_field(agency, workflow, owner, field, values, says):
    before = rows_of(agency)

    with pytest.raises(Refused, match=says) as refused:
        connection_requests.queue(workflow.slots[0], **({"recipient": PRIYA} | values), by=owner)

    assert refused.value.field == field
    assert rows_of(agency) == before


def test_queue_refuses_a_slot_that_the_agency_fills(agency, workflow, owner):
    """Not even by asking again for what was asked before staff chose otherwise."""
    asked = factories.make_request(workflow.slots[0], owner)
    slots.set_source(workflow.slots[0], Source.AGENCY, confirmed=True, by=owner)

    for act in (
        lambda: factories.make_request(workflow.slots[0], owner),
        lambda: connection_requests.request_again(agency, asked.public_id, by=owner),
    ):
        with pytest.raises(Conflict, match="The agency provides this connection"):
            act()


@pytest.mark.parametrize("act", ["queue", "send", "resend", "change_recipient", "publish", "request_again"])
def test_nothing_goes_out_to_people_of_an_archived_workspace(agency, workflow, owner, clock, act):
    pending, other = factories.make_sent(workflow, owner)
    connection_requests.cancel(agency, other.public_id, by=owner)
    queued = connection_requests.request_again(agency, other.public_id, by=owner)
    if act == "queue":
        connection_requests.cancel(agency, queued.public_id, by=owner)
    clock.forward(minutes=6)
    workspaces.archive(agency, workflow.workspace.public_id, by=owner)
    before = rows_of(agency)
    acts = {
        "queue": lambda: factories.make_request(workflow.slots[1], owner),
        "send": lambda: sending.send(workflow, by=owner),
        "resend": lambda: sending.resend(agency, pending.public_id, by=owner),
        "change_recipient": lambda: sending.change_recipient(agency, pending.public_id, recipient=SAM, by=owner),
        "publish": lambda: workflows.publish(workflow, by=owner),
        "request_again": lambda: connection_requests.request_again(agency, other.public_id, by=owner),
    }

    if act == "send":
        assert [left.reason for left in acts[act]().left] == ["this workspace is archived."]
    else:
        with pytest.raises(Conflict):
            acts[act]()

    assert rows_of(agency) == before


def test_queue_takes_a_note_as_it_was_typed(agency, workflow, owner):
    note = "Use the <b>shared</b> account.\nSee https://harbordental.example — thanks ☺"
    asked = factories.make_request(workflow.slots[0], owner, note=note)

    assert asked.note == note


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("", ""),
        ("HarborDental.example", "harbordental.example"),
        ("@harbordental.example", "harbordental.example"),
        (" Office@HarborDental.example ", "office@harbordental.example"),
        ("münchen.example".encode("idna").decode(), "xn--mnchen-3ya.example"),
    ],
)
def test_clean_expected_makes_accounts_comparable(app, app_context, typed, stored):
    assert addresses.clean_expected(typed) == stored


def test_get_knows_no_request_of_another_agency(agency, workflow, owner, stranger):
    asked = factories.make_request(workflow.slots[0], owner)

    with pytest.raises(NotFound):
        connection_requests.get(stranger.agency, asked.public_id)
    with pytest.raises(NotFound):
        connection_requests.get(agency, "a" * 20)


def test_decline_keeps_the_reason_and_can_be_taken_back_with_a_resend(agency, workflow, owner, clock):
    (asked, _) = factories.make_sent(workflow, owner)
    connection_requests.decline(asked, reason="Our IT company runs it.")
    assert (asked.status, asked.declined_reason, asked.declined_at) == (D, "Our IT company runs it.", clock.now)
    clock.forward(minutes=6)

    sending.resend(agency, asked.public_id, by=owner)

    assert (asked.status, asked.declined_reason, asked.declined_at) == (P, "", None)
    assert asked.resends == 1


def test_decline_is_refused_once_somebody_else_is_asked(agency, workflow, owner):
    """A page that is still open must not decline what another person is now asked for."""
    (asked, _) = factories.make_sent(workflow, owner)
    public_id, sent_to = asked.public_id, asked.bundle.recipient
    elsewhere(lambda agency, owner: sending.change_recipient(agency, public_id, recipient=SAM, by=owner), agency, owner)

    with pytest.raises(Conflict):
        connection_requests.decline(asked, reason="Not me.")

    assert (asked.status, sent_to, asked.recipient) == (P, PRIYA, SAM)

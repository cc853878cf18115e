"""Handing an app over to a colleague: to whom at once and to whom not, and what becomes of what was begun."""

import pytest
from sqlalchemy import select

from app.database import transaction
from app.errors import Conflict, NotFound, Refused
from app.extensions import db
from app.models import Agency, Channel, Connection, Flow, FlowStatus, Kind, OutboxItem, Status
from app.services import connection_requests, handovers, intake, link_tokens, sending, workspaces
from tests import factories
from tests.services import handing_over
from tests.services.handing_over import ANA, PRIYA, SAM, acts, hand_over, mails
from tests.support import browsing, shared_app
from tests.support.browsing import Browser
from tests.support.rows import rows_of
from tests.support.statements import counted

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures
stub = browsing.stub
(slack,) = handing_over.fixtures


def turn_off(agency):
    with transaction() as session:
        session.get_one(Agency, agency.id).hands_over = False


# ── Within the domain ────────────────────────────────────────────────────────


def test_within_the_domain_it_goes_at_once_with_a_mail_of_its_own(slack, sent, clock):
    previous, before = slack.bundle, slack.generation
    old = link_tokens.of(previous)

    hand_over(slack)

    assert (slack.recipient, slack.status, slack.generation) == (ANA, Status.PENDING, before + 1)
    assert (slack.handed_over_from, slack.handed_over_at, slack.hand_over_to) == (PRIYA, clock.now, None)
    assert slack.bundle_id != previous.id
    assert slack.bundle.recipient == ANA
    assert slack.bundle.sent_by == previous.sent_by == "Maya Okafor"
    assert slack.sent_scopes == ["chat:write", "channels:read"]
    assert mails()[-1].payload == {"bundle": slack.bundle_id, "epoch": 1}
    assert acts(slack) == [("request.handed_over", "client")]
    assert previous.closed_at is None, "HubSpot is still asked of Priya"
    assert link_tokens.matches(old, previous)


def test_the_last_app_handed_over_closes_the_bundle_but_its_page_says_to_whom(sent, browser):
    previous = sent[0].bundle
    hand_over(sent[0])
    assert browser.enter(previous).is_open
    hand_over(sent[1], "lee@harbordental.example")

    assert previous.closed_at is not None
    found = browser.enter(previous)
    assert found is not None
    assert not found.is_open
    assert [each.recipient for each in handovers.given(found.bundle)] == ["lee@harbordental.example", ANA]
    assert intake.cards(found.bundle) == []


def test_a_bundle_that_is_empty_for_another_reason_has_no_page(agency, owner, sent, browser):
    previous = sent[0].bundle
    for each in sent:
        sending.change_recipient(agency, each.public_id, recipient=SAM, by=owner)

    assert browser.enter(previous) is None


def test_what_was_handed_over_is_told_on_the_page_that_it_was_on(clock, workspace, owner, sent):
    """Not on one that was opened later."""
    first = sent[0].bundle
    hand_over(sent[0])
    assert [each.public_id for each in handovers.given(first)] == [sent[0].public_id]
    clock.forward(days=8)
    connection_requests.cancel(owner.agency, sent[1].public_id, by=owner)
    clock.forward(days=1)
    more = factories.make_workflow(workspace, owner, ("typeform", "new_response"), name="Forms")
    (later,) = factories.make_sent(more, owner)

    assert later.bundle_id != first.id
    assert handovers.given(later.bundle) == []
    assert len(handovers.given(first)) == 1


def test_a_declined_request_becomes_pending_with_whoever_has_it_now(slack):
    connection_requests.decline(slack, reason="Ana runs it.")

    hand_over(slack)

    assert (slack.status, slack.declined_reason, slack.declined_at) == (Status.PENDING, "", None)


def test_what_was_tried_before_is_nothing_to_whoever_has_it_now(agency, slack, owner, clock):
    clock.forward(minutes=6)
    sending.resend(agency, slack.public_id, by=owner)
    with transaction():
        slack.notice, slack.granted_scopes, slack.typed_fields = "denied", ["chat:write"], {"subdomain": "harbor"}

    hand_over(slack)

    assert (slack.notice, slack.granted_scopes, slack.typed_fields) == (None, None, {})
    assert slack.resends == 1, "the resends used are kept"


def test_to_a_member_it_goes_by_the_portal(workspace, slack):
    member = factories.make_member(workspace)

    hand_over(slack, member.email.upper())

    assert (slack.recipient, slack.bundle.channel) == (member.email, Channel.PORTAL)


def test_it_joins_what_the_colleague_is_asked_already(workspace, owner, slack, clock):
    more = factories.make_workflow(workspace, owner, ("typeform", "new_response"), name="Forms")
    (theirs,) = factories.make_sent(more, owner, recipient=ANA)
    clock.forward(minutes=6)
    before = len(mails())

    hand_over(slack)

    assert slack.bundle_id == theirs.bundle_id
    assert slack.bundle.epoch == 2
    assert len(mails()) == before + 1


# ── To whom not ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("", "Write an e-mail address"),
        ("ana at harbor", "This is not an e-mail address"),
        (PRIYA, "This is your own address."),
        (f" {PRIYA.upper()} ", "This is your own address."),
    ],
)
def test_an_address_that_does_not_do_is_refused_beside_its_field(agency, slack, to, said):
    before = rows_of(agency)
    with pytest.raises(Refused, match=said) as refused:
        hand_over(slack, to)

    assert refused.value.field == "colleague"
    assert rows_of(agency) == before


def test_it_is_handed_over_once(agency, slack):
    hand_over(slack)
    before = rows_of(agency)

    with pytest.raises(Refused, match="once"):
        hand_over(slack, "lee@harbordental.example")

    assert rows_of(agency) == before


def test_staff_who_ask_somebody_else_do_not_make_it_twice(agency, owner, slack):
    """Whoever has it from staff is told of no colleague; nor is it then handed over again."""
    hand_over(slack)
    sending.change_recipient(agency, slack.public_id, recipient="lee@harbordental.example", by=owner)

    assert slack.handed_over_from is None
    with pytest.raises(Refused, match="once"):
        hand_over(slack)


def test_whoever_no_longer_has_it_can_not_hand_it_over(slack, sent):
    previous = slack.bundle
    hand_over(slack)

    with pytest.raises(NotFound):
        handovers.ask(previous, slack.public_id, SAM)


def test_only_while_the_link_works(agency, slack, clock):
    clock.forward(days=7, seconds=1)
    before = rows_of(agency)

    for to in (ANA, SAM):
        with pytest.raises(NotFound):
            hand_over(slack, to)

    assert rows_of(agency) == before


def test_not_what_is_settled(agency, owner, slack):
    connection_requests.cancel(agency, slack.public_id, by=owner)

    with pytest.raises(Conflict):
        hand_over(slack)


def test_turned_off_it_is_refused(agency, slack):
    turn_off(agency)
    before = rows_of(agency)

    for to in (ANA, SAM):
        with pytest.raises(Refused, match="turned off"):
            hand_over(slack, to)

    assert rows_of(agency) == before
    assert not any(card.may_hand_over for card in intake.cards(slack.bundle))


def test_not_where_nothing_is_sent_any_more(agency, owner, workspace, slack):
    bundle = slack.bundle
    workspaces.archive(agency, workspace.public_id, by=owner)

    with pytest.raises(Conflict, match="archived"):
        handovers.ask(bundle, slack.public_id, ANA)


def test_not_what_was_asked_of_somebody_else_after_it_was_declined(owner, slack):
    connection_requests.decline(slack, reason="")
    factories.make_request(slack.slot, owner, recipient=SAM)

    with pytest.raises(Refused, match="Somebody else is asked"):
        hand_over(slack)


def test_nobody_else_mends_what_is_theirs(workspace, owner, slack):
    held = factories.make_connection(workspace, owner_email=PRIYA)
    with transaction():
        slack.kind, slack.connection_id = Kind.REAUTHORIZE, held.id

    assert [card.may_hand_over for card in intake.cards(slack.bundle)] == [False, True]
    with pytest.raises(Refused, match="Only its owner"):
        hand_over(slack)


# ── What was begun ───────────────────────────────────────────────────────────


def test_an_authorization_that_began_before_makes_no_connection(slack, browser, stub):
    state = browser.start(slack)
    hand_over(slack)

    landing = browser.finish(state)

    assert landing.is_withdrawn
    assert db.session.scalars(select(Connection)).all() == []
    assert slack.status is Status.PENDING


def test_an_authorization_goes_on_while_staff_have_not_agreed(slack, browser, stub):
    state = browser.start(slack)
    hand_over(slack, SAM)

    assert browser.finish(state).is_connected


def test_a_grant_that_waits_for_a_word_is_given_back_at_once(slack, browser, stub, clock):
    stub.scopes = ("chat:write",)
    browser.finish(browser.start(slack))
    flow = db.session.scalars(select(Flow).order_by(Flow.id.desc())).first()
    assert flow.status is FlowStatus.HELD

    hand_over(slack)

    discard = db.session.scalar(select(OutboxItem).where(OutboxItem.kind == "grant.discard"))
    db.session.refresh(flow)
    assert (flow.status, discard.due_at) == (FlowStatus.FAILED, clock.now)


def test_whoever_has_it_now_connects_it(slack, stub):
    hand_over(slack)
    anas = Browser()
    anas.open(slack.bundle)

    assert anas.finish(anas.start(slack)).is_connected
    db.session.refresh(slack)
    assert (slack.status, slack.connection.owner_email) == (Status.FULFILLED, ANA)


# ── What it costs ────────────────────────────────────────────────────────────


@pytest.mark.parametrize("many", [1, 4])
def test_what_was_handed_over_is_read_at_once(workspace, owner, many):
    steps = [("slack", "send_channel_message"), ("hubspot", "create_contact"), ("typeform", "new_response")]
    steps = [*steps, ("xero", "create_invoice")]
    asked = factories.make_sent(factories.make_workflow(workspace, owner, *steps, name="Many"), owner)
    bundle = asked[0].bundle
    for each in asked[:many]:
        hand_over(each)

    db.session.refresh(bundle)
    with counted() as made:
        assert len(handovers.given(bundle)) == many
    assert len(made) == 1

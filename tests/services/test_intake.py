"""Intake: what a link lets a browser reach, for how long, and what it shows there."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app.errors import Conflict, NotFound, RateLimited
from app.extensions import db
from app.models import AuditEvent, Bundle, Health, IntakeSession, Status
from app.services import connection_requests, intake, link_tokens, right_account, sending
from app.tenancy import enter_tenant
from tests import factories
from tests.support import browsing, shared_app
from tests.support.browsing import Browser
from tests.support.rows import rows_of
from tests.support.statements import counted

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures
stub = browsing.stub

PRIYA, SAM = "priya.nair@harbordental.example", "sam@cobalt-it.example"


# ── Opening ─────────────────────────────────────────────────────────────────


def test_open_link_lets_in_as_often_as_one_likes_and_notes_the_first(agency, sent, clock):
    browser = Browser()
    browser.open(sent[0].bundle)
    noted = rows_of(agency)
    for _ in range(5):
        browser.open(sent[0].bundle)

    assert rows_of(agency) == noted
    assert sent[0].bundle.opened_at == clock.now
    assert db.session.scalar(select(func.count(IntakeSession.id))) == 1
    opened = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "link.opened")).all()
    assert [(event.actor_kind, event.actor, event.data) for event in opened] == [("client", PRIYA, {"epoch": 1})]


def test_open_link_tells_a_dead_link_from_an_unknown_one_to_us_alone(agency, sent, owner):
    token = link_tokens.of(sent[0].bundle)
    for each in sent:
        connection_requests.cancel(agency, each.public_id, by=owner)

    dead, unknown = Browser().open(token), Browser().open(token[:-1] + ("a" if token[-1] != "a" else "b"))

    assert (dead.bundle, dead.refused.id) == (None, sent[0].bundle_id)
    assert (unknown.bundle, unknown.refused) == (None, None)


@pytest.mark.parametrize(
    "token", ["", "a", "." * 3, "a" * 256, "a" * 5000, "é", "\udcff", "a b", "../x", "a\x00b"], ids=ascii
)
def test_open_link_takes_any_string(app, app_context, token):
    assert Browser().open(token) == intake.Opening()


def test_open_link_is_limited_to_thirty_a_minute_from_one_network(sent, clock):
    clock.to(clock.now.replace(second=0))
    one = Browser(address="2001:db8:1:2::1")
    for number in range(30):
        one.address = f"2001:db8:1:2::{number:x}"
        assert one.open(sent[0].bundle).bundle

    for token in (link_tokens.of(sent[0].bundle), "unknown"):
        with pytest.raises(RateLimited) as limited:
            one.open(token)
        assert limited.value.retry_after == 60
    assert Browser(address="2001:db8:1:3::1").open(sent[0].bundle).bundle
    clock.forward(minutes=1)
    assert one.open(sent[0].bundle).bundle


def test_open_link_leaves_the_tenant_as_it_was(app, sent, stranger):
    enter_tenant(stranger.agency_id)
    assert Browser().open("unknown").bundle is None

    assert db.session().info["tenant"].agency_id == stranger.agency_id


def test_note_refused_is_written_under_the_bundles_own_agency(agency, sent):
    bundle = sent[0].bundle
    intake.note_refused(bundle.id, bundle.agency_id, bundle.workspace_id)

    event = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "link.refused")).one()
    assert (event.subject, event.actor_kind, event.actor) == (bundle.public_id, "anonymous", "")


# ── Staying ─────────────────────────────────────────────────────────────────


def test_enter_needs_the_session_that_opened_the_link(sent, browser):
    bundle = sent[0].bundle
    assert browser.enter(bundle).is_open
    assert Browser().enter(bundle) is None
    assert intake.enter(browser.id_hash, "unknown", at=bundle.sent_at) is None


@pytest.mark.parametrize("killed_by", ["resend", "send"])
def test_enter_ends_with_the_link(agency, workspace, sent, browser, owner, clock, killed_by):
    clock.forward(minutes=6)
    if killed_by == "resend":
        sending.resend(agency, sent[0].public_id, by=owner)
    else:
        factories.make_sent(factories.make_workflow(workspace, owner, ("typeform", "new_response"), name="F"), owner)

    assert browser.enter(sent[0].bundle) is None
    browser.open(sent[0].bundle)
    assert browser.enter(sent[0].bundle).is_open


def test_enter_ends_when_the_link_lapses(sent, browser, clock):
    clock.to(sent[0].bundle.expires_at - timedelta(seconds=1))
    assert browser.enter(sent[0].bundle).is_open
    clock.forward(seconds=1)

    assert browser.enter(sent[0].bundle) is None


def test_enter_shows_the_end_of_a_settled_bundle_and_no_more(agency, sent, browser, stub, owner, clock):
    browser.finish(browser.start(sent[0]))
    connection_requests.cancel(agency, sent[1].public_id, by=owner)

    assert browser.enter(sent[0].bundle).is_open is False
    assert [card.asked.public_id for card in intake.cards(sent[0].bundle)] == [sent[0].public_id]
    clock.forward(days=13)
    assert browser.enter(sent[0].bundle).is_open is False
    clock.forward(days=2)
    assert browser.enter(sent[0].bundle) is None


def test_enter_is_for_one_bundle_each(agency, workflow, sent, browser, owner):
    other = factories.make_workspace(agency, "Cobalt")
    (elsewhere,) = factories.make_sent(factories.make_workflow(other, owner, ("slack", "find_user")), owner)
    assert browser.enter(elsewhere.bundle) is None

    browser.open(elsewhere.bundle)

    assert browser.enter(elsewhere.bundle).bundle.id == elsewhere.bundle_id
    assert browser.enter(sent[0].bundle).bundle.id == sent[0].bundle_id
    with pytest.raises(NotFound):
        connection_requests.in_bundle(elsewhere.bundle, sent[0].public_id)


# ── Cards ───────────────────────────────────────────────────────────────────


def test_cards_are_in_the_order_asked_without_what_was_cancelled(agency, workspace, workflow, sent, owner):
    more = factories.make_workflow(workspace, owner, ("slack", "find_user"), name="Recall reminders")
    (third,) = factories.make_sent(more, owner)
    connection_requests.cancel(agency, sent[1].public_id, by=owner)

    shown = intake.cards(sent[0].bundle)

    assert [card.asked.public_id for card in shown] == [sent[0].public_id, third.public_id]
    assert [card.asked.workflow for card in shown] == ["New patient intake", "Recall reminders"]
    assert [permission.scope for permission in shown[1].permissions] == ["users:read", "users:read.email"]


@pytest.mark.parametrize("statements", [4])
def test_cards_cost_the_same_few_statements_however_many(agency, workspace, owner, stub, statements):
    def cards_cost(names):
        for name in names:
            steps = (("slack", "find_user"), ("hubspot", "create_deal"), ("typeform", "new_response"))
            factories.make_sent(factories.make_workflow(workspace, owner, *steps, name=name), owner)
        bundle = db.session.scalars(select(Bundle)).one()
        browser = Browser()
        browser.open(bundle)
        db.session.expire_all()
        with counted() as seen:
            shown = intake.cards(db.session.scalars(select(Bundle)).one())
            [(c.asked.workflow, c.permissions, c.is_partial, c.offer) for c in shown]
        return len(shown), len(seen)

    few, many = cards_cost(["One"]), cards_cost([f"Number {n}" for n in range(6)])

    assert (few[0], many[0]) == (3, 21)
    assert few[1] == many[1] <= statements


# ── Using an account again ──────────────────────────────────────────────────


@pytest.fixture
def again(workspace, owner, sent):
    """Slack once more, for another workflow."""
    other = factories.make_workflow(workspace, owner, ("slack", "send_channel_message"), name="Recall reminders")
    return factories.make_sent(other, owner)[0]


def offer_for(asked):
    return next(card.offer for card in intake.cards(asked.bundle) if card.asked.id == asked.id)


def test_an_account_is_offered_again_once_it_is_connected(sent, again, stub):
    browser = Browser()
    browser.open(again.bundle)
    assert offer_for(again) is None
    browser.finish(browser.start(sent[0]))

    assert offer_for(again).account == "ann@client.example"
    intake.use_offer(again.bundle, again.public_id, offer_for(again).public_id)

    assert (again.status, again.connection_id) == (Status.FULFILLED, sent[0].connection_id)
    assert again.slot.connection_id == sent[0].connection_id
    assert offer_for(again) is None


@pytest.mark.parametrize("why", ["another's", "another workspace's", "too narrow", "revoked", "another app's"])
def test_an_account_that_does_not_fit_is_neither_offered_nor_used(agency, workspace, sent, again, why):
    scopes = ["chat:write", "channels:read"]
    other = factories.make_workspace(agency, "Cobalt")
    unfit = factories.make_connection(
        other if why == "another workspace's" else workspace,
        "hubspot" if why == "another app's" else "slack",
        owner_email=SAM if why == "another's" else PRIYA,
        scopes=scopes[:1] if why == "too narrow" else scopes,
        health=Health.REVOKED if why == "revoked" else Health.ACTIVE,
    )
    before = rows_of(agency)

    assert offer_for(again) is None
    with pytest.raises(Conflict):
        intake.use_offer(again.bundle, again.public_id, unfit.public_id)
    assert rows_of(agency) == before


@pytest.mark.parametrize(
    ("first", "second", "is_offered"),
    [
        ("ann@client.example", "", True),
        ("ann@client.example", "ann@client.example", True),
        ("ann@client.example", "client.example", True),
        ("client.example", "client.example", True),
        ("client.example", "ann@client.example", False),  # any address of the domain would have done
        ("client.example", "harbordental.example", False),
        ("", "client.example", False),  # it may be called whatever its owner likes
        ("harbordental.example", "harbordental.example", False),  # another one, used all the same
    ],
)
def test_an_account_is_offered_where_another_is_expected_only_if_it_came_as_that(
    agency, workflow, workspace, owner, stub, first, second, is_offered
):
    one, other = expecting(workflow, owner, first), factories.make_workflow(workspace, owner, SLACK, name="Recalls")
    browser = Browser()
    browser.open(one.bundle)
    if browser.finish(browser.start(one)).outcome != "connected":
        right_account.use(browser.enter(one.bundle), one.public_id, session_hash=browser.id_hash)
    again = expecting(other, owner, second)
    before = rows_of(agency)

    assert (offer_for(again) is not None) == is_offered
    if not is_offered:
        with pytest.raises(Conflict):
            intake.use_offer(again.bundle, again.public_id, one.connection.public_id)
        assert rows_of(agency) == before


SLACK = ("slack", "send_channel_message")


def expecting(workflow, owner, account):
    asked = connection_requests.queue(workflow.slots[0], recipient=PRIYA, expected_account=account, by=owner)
    sending.send(workflow, by=owner)
    return asked


def test_what_passed_to_the_other_members_is_not_offered_to_whom_it_was_taken_from(agency, workspace, sent, again):
    passed = factories.make_connection(
        workspace, owner_email=PRIYA, owner_left_at=sent[0].sent_at, scopes=["chat:write", "channels:read"]
    )
    before = rows_of(agency)

    assert offer_for(again) is None
    with pytest.raises(Conflict):
        intake.use_offer(again.bundle, again.public_id, passed.public_id)
    assert rows_of(agency) == before


def test_an_account_is_not_used_for_what_was_cancelled(agency, sent, again, stub, owner):
    browser = Browser()
    browser.open(again.bundle)
    browser.finish(browser.start(sent[0]))
    offered = offer_for(again).public_id
    connection_requests.cancel(agency, again.public_id, by=owner)

    with pytest.raises(Conflict):
        intake.use_offer(again.bundle, again.public_id, offered)
    assert again.slot.connection_id is None

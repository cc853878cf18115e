"""Bundles: one open for each recipient of a workspace, one link that works, one mail for each epoch."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from app.database import transaction
from app.extensions import db
from app.models import Bundle, Channel, Member, OutboxItem, Recipient, Status
from app.services import bundles, connection_requests, link_tokens, members, sending
from tests import factories
from tests.support import shared_app
from tests.support.browsing import Browser

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures

PRIYA = "priya.nair@harbordental.example"


@pytest.fixture
def bundle(workspace, owner, clock):
    return bundles.mint(workspace, PRIYA, by=owner, at=clock.now)


def test_mint_opens_a_bundle_with_a_link_for_seven_days(workspace, bundle, owner, clock):
    assert (bundle.workspace_id, bundle.recipient, bundle.epoch) == (workspace.id, PRIYA, 1)
    assert (bundle.channel, bundle.expires_at) == (Channel.LINK, clock.now + timedelta(days=7))
    assert (bundle.sent_by, bundle.clock_started_at, bundle.closed_at) == (owner.name, None, None)
    assert bundle.token_hash == link_tokens.digest(link_tokens.of(bundle))


def test_mint_again_kills_the_old_link_and_sets_the_clock_anew(workspace, bundle, owner, clock):
    old, nonce = link_tokens.of(bundle), bundle.nonce
    clock.forward(days=3)

    again = bundles.mint(workspace, PRIYA, by=owner, at=clock.now)

    assert (again.id, again.epoch, again.expires_at) == (bundle.id, 2, clock.now + timedelta(days=7))
    assert again.nonce != nonce
    assert Browser().open(old).bundle is None
    assert Browser().open(again).bundle is not None


def test_mint_decides_the_channel_anew(workspace, bundle, owner, clock):
    member = members.add(workspace, name="Priya Nair", email=PRIYA, by=owner)
    portal = bundles.mint(workspace, PRIYA, by=owner, at=clock.now)
    assert (portal.channel, portal.expires_at) == (Channel.PORTAL, clock.now + timedelta(hours=4))

    members.remove(workspace, member.public_id, by=owner)

    assert bundles.mint(workspace, PRIYA, by=owner, at=clock.now).channel is Channel.LINK


def test_the_database_holds_one_open_bundle_a_recipient(agency, workspace, bundle, clock):
    copy = {c.name: getattr(bundle, c.name) for c in Bundle.__table__.c if c.name not in ("id", "public_id")}
    copy["token_hash"] = b"x" * 32

    with pytest.raises(IntegrityError), transaction() as session:
        session.add(Bundle(**copy))
    with transaction() as session:  # a closed one beside it is fine
        session.add(Bundle(**(copy | {"closed_at": clock.now})))


def test_bundles_of_two_workspaces_know_nothing_of_each_other(agency, workspace, bundle, owner, clock):
    other = factories.make_workspace(agency, "Cobalt")
    elsewhere = bundles.mint(other, PRIYA, by=owner, at=clock.now)

    assert elsewhere.id != bundle.id
    assert Browser().open(bundle).bundle.id == bundle.id
    assert Browser().open(elsewhere).bundle.id == elsewhere.id


def test_open_for_closes_a_lapsed_bundle_with_nothing_pending(workflow, owner, clock):
    (first, second) = factories.make_sent(workflow, owner)
    for each in (first, second):
        connection_requests.decline(each, reason="")
    bundle_id, closes_at = first.bundle_id, first.bundle.expires_at
    clock.to(closes_at - timedelta(seconds=1))
    assert bundles.open_for(workflow.workspace_id, PRIYA, at=clock.now).id == bundle_id
    clock.to(closes_at)

    with transaction():
        assert bundles.open_for(workflow.workspace_id, PRIYA, at=clock.now) is None

    assert db.session.get_one(Bundle, bundle_id).closed_at == clock.now


def test_open_for_keeps_a_lapsed_bundle_while_something_is_pending(workflow, owner, clock):
    (first, second) = factories.make_sent(workflow, owner)
    connection_requests.decline(first, reason="")
    clock.forward(days=8)

    assert bundles.open_for(workflow.workspace_id, PRIYA, at=clock.now).id == second.bundle_id


def test_mail_is_written_once_for_an_epoch_and_starts_the_wait(workspace, bundle, clock):
    with transaction():
        bundles.mail(bundle, at=clock.now)
        bundles.mail(bundle, at=clock.now)

    (row,) = db.session.scalars(select(OutboxItem).where(OutboxItem.agency_id == bundle.agency_id)).all()
    assert (row.kind, row.key) == ("bundle.sent", f"{bundle.public_id}:1")
    assert row.payload == {"bundle": bundle.id, "epoch": 1}
    assert bundles.resend_available_at(workspace.id, [PRIYA]) == {PRIYA: clock.now + timedelta(minutes=5)}
    assert db.session.scalar(select(func.count(Recipient.id))) == 1


def test_resend_available_at_says_nothing_of_strangers(workspace, bundle):
    assert bundles.resend_available_at(workspace.id, [PRIYA, "nobody@harbordental.example"]) == {}


@pytest.mark.parametrize("left", [Status.PENDING, Status.DECLINED])
def test_close_if_settled_waits_for_what_is_pending_or_declined(agency, workflow, owner, clock, left):
    (first, second) = factories.make_sent(workflow, owner)
    bundle = first.bundle
    if left is Status.DECLINED:
        connection_requests.decline(second, reason="")

    connection_requests.cancel(agency, first.public_id, by=owner)
    assert (bundle.closed_at, Browser().open(bundle).bundle is not None) == (None, True)

    connection_requests.cancel(agency, second.public_id, by=owner)
    assert (bundle.closed_at, Browser().open(bundle).bundle) == (clock.now, None)
    assert bundles.close_if_settled(bundle, at=clock.now) is False


def test_a_closed_bundle_is_never_used_again(agency, workflow, owner, clock):
    (first, second) = factories.make_sent(workflow, owner)
    for each in (first, second):
        connection_requests.cancel(agency, each.public_id, by=owner)
    again = connection_requests.request_again(agency, first.public_id, by=owner)

    sending.send(workflow, by=owner)

    assert again.bundle_id != first.bundle_id
    assert (again.bundle.epoch, again.bundle.closed_at) == (1, None)


def test_channel_for_goes_by_present_members_of_this_workspace(agency, workspace, owner):
    other = factories.make_workspace(agency, "Cobalt")
    factories.make_member(other, PRIYA)
    assert bundles.channel_for(workspace.id, PRIYA) is Channel.LINK

    member = members.add(workspace, name="Priya", email=PRIYA, by=owner)
    assert bundles.channel_for(workspace.id, PRIYA) is Channel.PORTAL

    members.remove(workspace, member.public_id, by=owner)
    assert db.session.scalar(select(func.count(Member.id)).where(Member.workspace_id == workspace.id)) == 1
    assert bundles.channel_for(workspace.id, PRIYA) is Channel.LINK


def test_mail_never_shortens_the_wait_of_a_later_one(workspace, bundle, clock):
    """Who waited for the lock read the clock before the one who went first; and hosts' clocks differ."""
    with transaction():
        bundles.mail(bundle, at=clock.now)
        bundles.mail(bundle, at=clock.now - timedelta(seconds=90))

    assert bundles.resend_available_at(workspace.id, [PRIYA]) == {PRIYA: clock.now + timedelta(minutes=5)}

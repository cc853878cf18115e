"""What staff are told of each mail."""

from datetime import timedelta

import pytest
from sqlalchemy import event, select

from app import create_app
from app.config import Config
from app.database import transaction
from app.errors import Conflict
from app.extensions import db
from app.models import AuditEvent, Bundle, OutboxItem, OutboxState
from app.services import bundle_mail, claims, deliveries, sending
from app.services.claims import Failed
from app.services.deliveries import REASONS, DeliveryState
from app.tenancy import across_tenants, enter_tenant
from tests import factories

ANN, BEN = "ann@client.example", "ben@client.example"


@pytest.fixture
def config(tmp_path, database_url):
    smtp = Config.from_environ({"GATEHOUSE_SMTP_URL": "smtp://mail.test", "GATEHOUSE_MAIL_FROM": "a@gate.example"}).smtp
    return factories.config(tmp_path, database_url, smtp=smtp, mail_from="a@gate.example")


@pytest.fixture
def send(workspace, owner):
    def send(recipient=ANN):
        workflow = factories.make_workflow(workspace, owner, ("slack", "send_channel_message"), name=f"For {recipient}")
        return factories.make_sent(workflow, owner, recipient=recipient)[0].bundle

    return send


@pytest.fixture
def bundle(clock, send):
    return send()


def claim(at):
    with across_tenants("the worker's side"):
        (item,) = claims.claim([bundle_mail.KIND], at=at)
    return item


def settle(how, *args, **options):
    with across_tenants("the worker's side"):
        how(*args, **options)


def of(bundle):
    db.session.rollback()
    return deliveries.of_bundles([bundle.id]).get(bundle.id)


@pytest.mark.both_databases
def test_of_bundles_follows_a_mail_that_goes_well(bundle, clock):
    sent_at = clock.now
    assert (of(bundle).state, of(bundle).at, of(bundle).reason) == (DeliveryState.QUEUED, sent_at, None)

    item = claim(clock.forward(seconds=59))
    assert of(bundle).state is DeliveryState.QUEUED
    clock.forward(seconds=2)
    assert (of(bundle).state, of(bundle).reason) == (DeliveryState.DELAYED, "It is waiting for its turn.")
    settle(claims.done, item, at=clock.now)

    assert (of(bundle).state, of(bundle).at) == (DeliveryState.SENT, clock.now)
    assert not of(bundle).can_try_again


@pytest.mark.parametrize("code", sorted(REASONS))
def test_of_bundles_says_why_a_mail_is_delayed_and_when_it_is_tried_next(bundle, clock, code):
    settle(claims.fail, claim(clock.now), Failed(code), at=clock.now)

    delivery = of(bundle)

    assert (delivery.state, delivery.reason, delivery.code) == (DeliveryState.DELAYED, str(REASONS[code]), code)
    assert clock.now < delivery.at < clock.now + timedelta(minutes=1)
    assert delivery.reason.endswith(".")


def test_of_bundles_says_why_a_mail_is_undelivered(bundle, clock):
    settle(claims.fail, claim(clock.now), Failed("refused", permanent=True), at=clock.now)

    delivery = of(bundle)

    assert (delivery.state, delivery.at) == (DeliveryState.UNDELIVERED, clock.now)
    assert delivery.reason == "The recipient's address was refused. Check that it is right."
    assert delivery.can_try_again


def test_of_bundles_asks_a_person_where_a_mail_is_held(bundle, clock):
    settle(claims.fail, claim(clock.now), Failed("dropped", ambiguous=True), at=clock.now, hold=True)

    assert of(bundle).state is DeliveryState.UNDELIVERED
    assert of(bundle).reason == "It may have been delivered. Ask the recipient before you try again."


def test_of_bundles_tells_of_the_present_link_alone(agency, owner, bundle, clock):
    settle(claims.fail, claim(clock.now), Failed("refused", permanent=True), at=clock.now)
    clock.forward(minutes=6)

    sending.resend(agency, factories.outstanding(bundle)[0].public_id, by=owner)

    assert of(bundle).state is DeliveryState.QUEUED


def test_of_bundles_leaves_out_what_is_not_wanted_any_more(bundle, clock):
    settle(claims.done, claim(clock.now), at=clock.now, note="superseded")

    assert of(bundle) is None


def test_of_bundles_says_when_there_is_no_mail_server(tmp_path, database_url, catalog, agency, bundle):
    agency_id, bundle_id = agency.id, bundle.id
    bare = create_app(factories.config(tmp_path, database_url), catalog=catalog)
    with bare.app_context():
        enter_tenant(agency_id)
        delivery = deliveries.of_bundles([bundle_id])[bundle_id]
        assert not deliveries.mail_is_set_up()

    assert (delivery.state, delivery.reason) == (DeliveryState.DELAYED, "This installation has no mail server yet.")
    assert not delivery.can_try_again
    assert deliveries.mail_is_set_up()


def test_of_bundles_is_one_query_for_many(send, clock):
    bundles = [send(f"n{number}@client.example").id for number in range(5)]
    db.session.rollback()
    seen = []
    listener = lambda *args: seen.append(args[2])  # noqa: E731
    event.listen(db.engine, "before_cursor_execute", listener)

    assert len(deliveries.of_bundles(bundles)) == 5

    event.remove(db.engine, "before_cursor_execute", listener)
    assert len([statement for statement in seen if statement.startswith("SELECT")]) == 1
    assert deliveries.of_bundles([]) == {}


def test_failed_holds_of_bundles_whose_mail_needs_somebody(agency, owner, send, clock):
    for recipient in (ANN, BEN, "cyd@client.example"):
        send(recipient)
    with across_tenants("the worker's side"):
        first, second, third = claims.claim([bundle_mail.KIND], at=clock.now)
        claims.fail(first, Failed("refused", permanent=True), at=clock.now)
        claims.fail(second, Failed("dropped", ambiguous=True), at=clock.forward(seconds=1), hold=True)
        claims.fail(third, Failed("busy"), at=clock.now)
    db.session.rollback()

    def failed():
        return db.session.scalars(select(Bundle).where(deliveries.failed()).order_by(Bundle.recipient)).all()

    assert [each.recipient for each in failed()] == [ANN, BEN]
    clock.forward(minutes=6)
    sending.resend(agency, factories.outstanding(failed()[0])[0].public_id, by=owner)
    assert [each.recipient for each in failed()] == [BEN]


@pytest.mark.parametrize("dead", [True, False])
def test_try_again_makes_it_due_at_once(owner, bundle, clock, dead):
    settle(claims.fail, claim(clock.now), Failed("refused", permanent=dead), at=clock.now)
    db.session.rollback()

    deliveries.try_again(bundle, by=owner)

    row = db.session.scalar(select(OutboxItem))
    assert (row.state, row.attempts, row.due_at, row.error) == (OutboxState.RETRY, 0, clock.now, None)
    assert of(bundle).state is DeliveryState.QUEUED
    assert db.session.scalar(select(AuditEvent.actor).where(AuditEvent.type == "mail.retried")) == owner.email


@pytest.mark.parametrize("settled", [True, False])
def test_try_again_is_refused_when_it_is_on_its_way_or_gone(owner, bundle, clock, settled):
    item = claim(clock.now)
    if settled:
        settle(claims.done, item, at=clock.now)
    db.session.rollback()

    with pytest.raises(Conflict):
        deliveries.try_again(bundle, by=owner)

    assert db.session.scalar(select(AuditEvent).where(AuditEvent.type == "mail.retried")) is None


def test_try_again_is_refused_where_the_mail_belongs_to_nobody(owner, bundle, clock):
    with transaction():
        bundle.epoch = 9

    with pytest.raises(Conflict):
        deliveries.try_again(bundle, by=owner)

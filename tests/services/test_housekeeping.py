from datetime import timedelta

import pytest
from sqlalchemy import func, insert, select, text

from app import clock
from app.database import transaction
from app.extensions import db
from app.models import IntakeSession, OutboxItem, OutboxState, PortalCode, PortalSession
from app.services import housekeeping, intake, link_tokens, portal_codes, portal_sessions, refresh_plans, revocations
from tests import factories
from tests.worker.test_refreshes_sweep import explained, scans

pytestmark = pytest.mark.both_databases


@pytest.fixture
def asked(workspace, owner):
    return factories.make_sent(factories.make_workflow(workspace, owner, ("slack", "send_channel_message")), owner)[0]


def count(kind):
    return db.session.scalar(select(func.count()).select_from(kind))


def test_sweep_drops_sessions_whose_time_is_over_and_no_others(asked):
    token = link_tokens.of(asked.bundle)
    intake.open_link(token, id_hash=b"1" * 32)

    assert housekeeping.sweep(at=clock.now()) == 0
    assert count(IntakeSession) == 1
    assert housekeeping.sweep(at=clock.now() + timedelta(days=15)) == 1
    assert count(IntakeSession) == 0


def test_sweep_drops_sign_ins_to_the_portal_that_are_over(agency, workspace):
    at = clock.now()
    factories.make_member(workspace, "dana@harbordental.example")
    portal_codes.ask("dana@harbordental.example", agency_id=agency.id, browser_hash=b"1" * 32, at=at)
    portal_sessions.start("dana@harbordental.example", agency_id=agency.id, id_hash=b"2" * 32, at=at)

    assert housekeeping.sweep(at=at) == 0
    assert housekeeping.sweep(at=at + timedelta(hours=2)) == 1
    assert (count(PortalCode), count(PortalSession)) == (0, 1)
    assert housekeeping.sweep(at=at + timedelta(hours=13)) == 1
    assert count(PortalSession) == 0


def test_sweep_keeps_work_that_is_not_done(asked):
    at = clock.now()
    assert housekeeping.sweep(at=at + timedelta(days=365)) == 0
    with transaction():
        item = db.session.scalars(select(OutboxItem)).one()
        item.state, item.finished_at = OutboxState.DONE, at

    assert housekeeping.sweep(at=at + timedelta(days=89)) == 0
    assert housekeeping.sweep(at=at + timedelta(days=91)) == 1


def test_sweep_goes_on_over_pages(asked, monkeypatch):
    monkeypatch.setattr(housekeeping, "PAGE", 2)
    token = link_tokens.of(asked.bundle)
    for number in range(5):
        intake.open_link(token, id_hash=bytes([number]) * 32)

    assert housekeeping.sweep(at=clock.now() + timedelta(days=15)) == 5


def finished(agency, at, kind, *, many=1, state=OutboxState.DONE):
    """Work that was settled at a moment."""
    row = {"agency_id": agency.id, "kind": kind, "payload": {}, "state": state, "attempts": 0, "fence": 0}
    times = {"due_at": at, "created_at": at, "finished_at": at}
    with transaction() as session:
        keys = [f"{at.timestamp()}:{state}:{number}" for number in range(many)]
        session.execute(insert(OutboxItem), [{**row, **times, "key": key} for key in keys])


def test_sweep_drops_refreshes_after_a_day_and_other_work_later(agency):
    at = clock.now()
    finished(agency, at - timedelta(hours=23), refresh_plans.KIND)
    finished(agency, at - timedelta(hours=25), refresh_plans.KIND)
    finished(agency, at - timedelta(hours=25), refresh_plans.KIND, state=OutboxState.DEAD)
    finished(agency, at - timedelta(days=89), revocations.KIND)
    finished(agency, at - timedelta(days=91), revocations.KIND)

    assert housekeeping.sweep(at=at) == 2
    kept = db.session.execute(select(OutboxItem.kind, OutboxItem.state).order_by(OutboxItem.id)).all()
    assert kept == [
        (refresh_plans.KIND, OutboxState.DONE),
        (refresh_plans.KIND, OutboxState.DEAD),
        (revocations.KIND, OutboxState.DONE),
    ]


def test_an_index_leads_the_sweep_to_what_is_over_among_all_that_was_done(agency):
    at = clock.now()
    for kind in (refresh_plans.KIND, revocations.KIND):
        finished(agency, at, kind, many=4000)
        finished(agency, at - timedelta(days=100), kind, many=3)
    if db.engine.dialect.name == "postgresql":
        with db.engine.begin() as connection:
            connection.execute(text("ANALYZE outbox"))

    plans = explained(lambda: housekeeping.sweep(at=at))

    looks = {statement: plan for statement, plan in plans.items() if "FROM outbox" in statement}
    assert len(looks) >= 2
    assert scans(looks) == []
    assert count(OutboxItem) == 8000

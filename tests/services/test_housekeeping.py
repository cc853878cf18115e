from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app import clock
from app.database import transaction
from app.extensions import db
from app.models import IntakeSession, OutboxItem, OutboxState, PortalCode, PortalSession
from app.services import housekeeping, intake, link_tokens, portal_codes, portal_sessions
from tests import factories

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

"""The hash chain: linked by any number of workers, broken by any change."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete, event, select, update

from app import clock
from app.database import transaction
from app.extensions import db
from app.models import Agency, AuditEvent
from app.services import audit, audit_chain
from app.tenancy import across_tenants
from tests import factories


@pytest.fixture(autouse=True)
def everybody(agency):
    with across_tenants("the worker's side"):
        yield


def record(agency, count=1, **data):
    at = clock.now()
    with transaction():
        for number in range(count):
            audit.record("test.done", agency, by=audit.SYSTEM, at=at, number=number, **data)


def chain(agency):
    db.session.rollback()
    return db.session.scalars(
        select(AuditEvent).where(AuditEvent.agency_id == agency.id).order_by(AuditEvent.sequence)
    ).all()


@pytest.mark.both_databases
def test_link_chains_each_agency_by_itself(agency):
    other = factories.make_agency("Southpaw Labs")
    record(agency, 2, said="née “x”", nested={"b": [1, 2.5, None], "a": True})
    record(other, 1)

    assert audit_chain.link() == 3
    record(agency, 1)
    assert audit_chain.link() == 1
    assert audit_chain.link() == 0

    assert [event.sequence for event in chain(agency)] == [1, 2, 3]
    assert [event.sequence for event in chain(other)] == [1]
    assert [(v.agency, v.linked, v.waiting, v.broken) for v in audit_chain.verify()] == [
        ("northwind-studio", 3, 0, None),
        ("southpaw-labs", 1, 0, None),
    ]


def test_link_goes_in_batches(agency, monkeypatch):
    monkeypatch.setattr(audit_chain, "BATCH", 4)
    record(agency, 11)
    sizes = []
    listener = lambda *args: sizes.append(len(args[3]) if args[5] else 1)  # noqa: E731
    event.listen(db.engine, "before_cursor_execute", listener)

    assert audit_chain.link() == 11

    event.remove(db.engine, "before_cursor_execute", listener)
    assert max(sizes) == 4
    assert audit_chain.verify()[0].linked == 11


@pytest.mark.both_databases
def test_link_by_several_workers_at_once_makes_one_chain(app, agency, monkeypatch):
    monkeypatch.setattr(audit_chain, "BATCH", 7)
    start = threading.Barrier(6)
    record(agency, 30)
    agency_id = agency.id

    def work(number):
        with app.app_context(), across_tenants("a worker"):
            start.wait()
            if number < 2:
                record(db.session.get_one(Agency, agency_id), 20)
            audit_chain.link()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    db.session.rollback()
    audit_chain.link()

    assert [event.sequence for event in chain(agency)] == list(range(1, 71))
    assert audit_chain.verify()[0].broken is None


@pytest.mark.parametrize(
    "change",
    [
        {"actor": "somebody.else@northwind.example"},
        {"type": "test.undone"},
        {"data": {"number": 7}},
        {"address": "192.0.2.1"},
        {"subject": "another"},
        {"workspace_id": None, "digest": "0" * 64},
    ],
)
def test_verify_finds_an_altered_event(agency, change):
    record(agency, 5)
    audit_chain.link()
    third = chain(agency)[2]
    with transaction() as session:
        session.execute(update(AuditEvent).where(AuditEvent.id == third.id).values(change))

    (found,) = audit_chain.verify()

    assert (found.linked, found.broken.sequence, found.broken.reason) == (2, 3, "altered")
    assert str(found.broken) == (
        f"The audit trail of northwind-studio breaks at number 3: the event {third.public_id} was altered."
    )


def test_verify_finds_a_missing_event(agency):
    record(agency, 5)
    audit_chain.link()
    with transaction() as session:
        session.execute(delete(AuditEvent).where(AuditEvent.sequence == 2))

    (found,) = audit_chain.verify()

    assert (found.broken.sequence, found.broken.reason) == (2, "missing")
    assert str(found.broken) == "The audit trail of northwind-studio breaks at number 2: an event is missing."


def test_verify_finds_two_events_that_changed_places(agency):
    record(agency, 3)
    audit_chain.link()
    first, second, _third = chain(agency)
    swap = {first.id: (90, second.digest), second.id: (1, first.digest)}
    with transaction() as session:
        for event_id, (sequence, digest) in swap.items():
            session.execute(
                update(AuditEvent).where(AuditEvent.id == event_id).values(sequence=sequence, digest=digest)
            )
        session.execute(update(AuditEvent).where(AuditEvent.sequence == 90).values(sequence=2))

    assert audit_chain.verify()[0].broken.sequence == 1


def test_verify_walks_in_pages(agency, monkeypatch):
    record(agency, 9)
    audit_chain.link()
    monkeypatch.setattr(audit_chain, "BATCH", 3)

    assert audit_chain.verify()[0].linked == 9


def test_audit_verify_says_where_it_breaks_and_fails(app, agency):
    record(agency, 3)
    audit_chain.link()
    record(agency, 1)
    runner = app.test_cli_runner()

    whole = runner.invoke(args=["audit", "verify"])
    assert (whole.exit_code, whole.output) == (0, "northwind-studio: 3 events hold, 1 not linked yet.\n")

    with transaction() as session:
        session.execute(update(AuditEvent).where(AuditEvent.sequence == 2).values(actor="x"))
    broken = runner.invoke(args=["audit", "verify", "--json"])
    assert broken.exit_code == 1
    assert '"ok": false' in broken.output
    assert "breaks at number 2" in broken.stderr

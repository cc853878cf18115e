"""The sweep ahead of time among many connections: an index leads every statement of it to its rows, on both databases."""

import contextlib
import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, select, text, update

from app import clock
from app.database import new_public_id, transaction
from app.extensions import db
from app.models import Connection
from app.services import claims, freshness, health, refresh_plans, refreshing
from app.services.leases import Watch
from app.tenancy import across_tenants
from app.worker import chores
from app.worker.handlers import HANDLERS
from app.worker.turns import Turns
from bench.grown import grow
from tests.support import refresh_endpoint
from tests.support.refresh_endpoint import said

pytestmark = pytest.mark.both_databases
apps_dir, catalog, config, endpoint, _ = refresh_endpoint.fixtures
MANY, DUE = 4000, 12
OF_FEW = ("ix_outbox_in_hand",)  # an index of what workers hold at the moment, which may be gone through


@pytest.fixture
def many():
    """How many of each there are."""
    return MANY


@pytest.fixture
def sweep(app, workspace, endpoint, many):
    """Many connections of which a few are due, and what refreshes those."""
    for number in range(DUE):
        endpoint.live[f"{number}.0"] = f"account{number}"
    with statistics_as_they_come():
        grow(workspace, endpoint.url, many, due=DUE)
        with db.engine.begin() as connection:
            multiply(connection, db.metadata.tables, many)
            connection.execute(text("ANALYZE"))
    (handler,) = (each for each in HANDLERS if each.kind == refresh_plans.KIND)
    return lambda: Turns(app, threading.Event()).take(handler)


@contextlib.contextmanager
def statistics_as_they_come():
    """SQLite goes by what its migrations told it, and by no count of its own: nobody has it count."""
    if db.engine.dialect.name != "sqlite":
        yield
        return
    with db.engine.begin() as connection:
        told = connection.execute(text("SELECT tbl, idx, stat FROM sqlite_stat1")).mappings().all()
    yield
    with db.engine.begin() as connection:
        connection.execute(text("DELETE FROM sqlite_stat1"))
        connection.execute(text("INSERT INTO sqlite_stat1 VALUES (:tbl, :idx, :stat)"), [dict(row) for row in told])
    db.engine.dispose()  # they are read once a connection


def multiply(connection, tables, many):
    """As many workspaces, each with a workflow and a slot, and as many counts: nothing is so small that it is read whole."""
    for name, clashing in (
        ("workspace", ("name_key",)),
        ("workflow", ("name",)),
        ("slot", ("number", "connection_id")),
    ):
        table = tables[name]
        row = dict(connection.execute(table.select().order_by(table.c.id).limit(1)).mappings().one())
        base = {key: value for key, value in row.items() if key != "id"}
        rows = [
            base | {"public_id": new_public_id()} | {key: _other(row[key], number) for key in clashing}
            for number in range(DUE + 1, many)
        ]
        connection.execute(table.insert(), rows)
    counts = [{"key": f"count of {number}", "window": number, "count": 1} for number in range(many)]
    connection.execute(tables["counter"].insert(), counts)


def _other(value, number):
    return number if isinstance(value, int) else f"{value} {number}"


def explained(act):
    """How the database comes to the rows of each statement of an act, with the statement."""
    asked: dict[str, Any] = {}

    def note(_connection, _cursor, statement, values, *_):
        if statement.split()[0].upper() in ("SELECT", "UPDATE", "DELETE", "WITH"):
            asked.setdefault(statement, values)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        act()
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    how = "EXPLAIN QUERY PLAN " if db.engine.dialect.name == "sqlite" else "EXPLAIN "
    with db.engine.connect() as connection:
        return {
            statement: [str(row[-1]).strip(" ->") for row in connection.exec_driver_sql(how + statement, values)]
            for statement, values in asked.items()
        }


def scans(plans):
    """The statements that go through a whole table, or a whole index of one."""
    return [(statement, plan) for statement, plan in plans.items() if any(map(_is_scan, plan))]


def _is_scan(line):
    is_table = line.removeprefix("SCAN ").split()[0] in db.metadata.tables
    return line.startswith("Seq Scan on") or (line.startswith("SCAN ") and is_table and not line.endswith(OF_FEW))


SWEEP = (  # what stands in its statements: the claim, the look at a batch, the lease, both rows of one, what is stored
    "WITH due AS",
    "AS is_needed",
    "refresh_lease IS NULL AND connection.deleted_at IS NULL",
    "connection.secret_id, connection.refresh_lease, secret.version",
    "UPDATE secret SET version",
    "UPDATE outbox SET state",
)
LEASES = (  # those held, one's end, a failure, a dead process's, who waits, and what workers hold
    "connection.refresh_lease IS NOT NULL",
    "SET refresh_lease=",
    "UPDATE connection SET health_reason=",
    "UPDATE connection SET health=",
    "SELECT connection.refresh_lease, connection.health, secret.version",
    "SELECT outbox.id, outbox.fence, outbox.leased_until",
    "outbox.leased_until = ",
)


def lacking(parts, plans):
    """The parts that stand in no statement."""
    return [part for part in parts if not any(part in " ".join(statement.split()) for statement in plans)]


@pytest.mark.parametrize("many", [10_000])
def test_no_statement_of_the_sweep_scans(sweep, endpoint):
    plans = explained(sweep)

    assert sum(endpoint.refreshes.values()) == DUE
    assert lacking(SWEEP, plans) == []
    assert scans(plans) == []

    plans = explained(lambda: leases_taken(endpoint))
    assert lacking(LEASES, plans) == []
    assert scans(plans) == []


def leases_taken(endpoint):
    """One is given back, one put off, one waited for and taken from the dead; and what a dead worker held is taken from it."""
    given, failing, dying = db.session.scalars(select(Connection.id).order_by(Connection.id).limit(3)).all()
    db.session.rollback()
    with transaction() as session:
        session.execute(update(Connection).where(Connection.id == dying).values(owner_email="ann@client.example"))
        refreshing.begin(given, version=2, lease="to be given back", at=clock.now())
    refreshing.free(given, "to be given back")
    endpoint.answers.append(said({}, 503))
    refreshing.attempt(failing, version=2)
    with transaction():
        refreshing.begin(dying, version=2, at=clock.now())
    assert not freshness._is_over(freshness.standing_of(dying))
    with across_tenants("the worker does everybody's work"):
        assert claims.claim([refresh_plans.KIND], at=clock.now() + timedelta(hours=1), limit=1, ahead=True)
        chores.free(Watch(0))
        chores.take_over(Watch(0))


def test_a_statement_that_scans_would_be_noticed(sweep):
    table = db.metadata.tables["outbox"]

    def look():
        with db.engine.connect() as connection:
            connection.execute(table.select().where(table.c.error == "unneeded")).all()

    assert len(scans(explained(look))) == 1


def test_counting_the_backlog_passes_by_what_is_planned(sweep, app):
    with app.app_context():
        plans = explained(lambda: health.outbox_depth(at=clock.now()))

    assert len(plans) == 2
    assert scans(plans) == []

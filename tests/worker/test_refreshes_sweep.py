"""The sweep ahead of time among many connections: an index leads every statement of it to its rows, on both databases."""

import contextlib
import threading
from typing import Any

import pytest
from sqlalchemy import event, text

from app import clock
from app.database import new_public_id
from app.extensions import db
from app.services import health, refresh_plans
from app.worker.handlers import HANDLERS
from app.worker.turns import Turns
from bench.grown import grow
from tests.support import refresh_endpoint

pytestmark = pytest.mark.both_databases
apps_dir, catalog, config, endpoint, _ = refresh_endpoint.fixtures
MANY, DUE = 4000, 12


@pytest.fixture
def sweep(app, workspace, endpoint):
    """Many connections of which a few are due, and what refreshes those."""
    for number in range(DUE):
        endpoint.live[f"{number}.0"] = f"account{number}"
    with statistics_as_they_come():
        grow(workspace, endpoint.url, MANY, due=DUE)
        with db.engine.begin() as connection:
            multiply(connection, db.metadata.tables)
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


def multiply(connection, tables):
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
            for number in range(DUE + 1, MANY)
        ]
        connection.execute(table.insert(), rows)
    counts = [{"key": f"count of {number}", "window": number, "count": 1} for number in range(MANY)]
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
    return line.startswith("Seq Scan on") or (line.startswith("SCAN ") and is_table)


def test_no_statement_of_the_sweep_scans(sweep, endpoint):
    plans = explained(sweep)

    assert sum(endpoint.refreshes.values()) == DUE
    assert len(plans) > 8
    assert scans(plans) == []


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

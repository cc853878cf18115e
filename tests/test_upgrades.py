"""From every released schema to the newest, with rows in every table: nothing is lost, and it is what the models say (R21)."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask_migrate import downgrade, upgrade
from sqlalchemy import JSON, Boolean, DateTime, Enum, Integer, LargeBinary, MetaData, Table, select, update

from app import create_app
from app.catalog import load
from app.database import transaction
from app.extensions import Base, db
from app.models import Connection, OutboxItem
from app.services import lifetimes, refresh_plans
from app.tenancy import across_tenants
from tests.support import databases

pytestmark = pytest.mark.both_databases
database_url = databases.empty_database_url
MIGRATIONS = Path(__file__).resolve().parent.parent / "app" / "migrations"
ROWS = 3
AT = datetime(2026, 11, 20, 9, 31, tzinfo=UTC)


def released():
    """Every schema that an installation may be at, the oldest first."""
    settings = Config()
    settings.set_main_option("script_location", str(MIGRATIONS))
    return [each.revision for each in reversed(list(ScriptDirectory.from_config(settings).walk_revisions()))]


@pytest.fixture
def empty(config):
    with create_app(config, catalog=load(None)).app_context():
        yield
        db.session.remove()
        db.engine.dispose()


def tables():
    """The tables as they are in the database, those that others point to first."""
    found = MetaData()
    found.reflect(db.engine)
    return [table for table in found.sorted_tables if table.name != "alembic_version"]


def fill(numbers):
    """Put rows into every table, each value its own, whatever the schema is."""
    filled = {}
    with db.engine.begin() as connection:
        for table in tables():
            for row in range(ROWS):
                connection.execute(table.insert().values(**values(table, row, filled, numbers)))
            filled[table.name] = connection.execute(select(table).order_by(*table.primary_key)).mappings().all()
    return filled


def values(table: Table, row, filled, numbers):
    found = {}
    for column in table.columns:
        parent = next(iter(column.foreign_keys), None)
        if parent is None:
            found[column.name] = value(table, column, numbers)
        elif parent.column.table.name in filled:
            found[column.name] = filled[parent.column.table.name][row][parent.column.name]
    return found


def value(table: Table, column, numbers):
    number = next(numbers)
    known = Base.metadata.tables.get(table.name)
    declared = known.c[column.name].type if known is not None and column.name in known.c else column.type
    if isinstance(declared, Enum):
        return declared.enums[number % len(declared.enums)]
    if isinstance(declared, JSON):
        return {} if column.nullable else []
    if isinstance(declared, Boolean):
        return bool(number % 2)
    if isinstance(column.type, DateTime):
        return AT
    if isinstance(column.type, Integer):
        return number
    if isinstance(column.type, LargeBinary):
        return f"\x01{number:08}{'x' * 24}".encode()[: getattr(column.type, "length", None) or 33]
    return f"{number:08}"[: column.type.length]


def differences():
    with db.engine.connect() as connection:
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata)


def lost(before):
    """What was there before and is not any more, row by row, in the columns that are still there."""
    now = {}
    with db.engine.connect() as connection:
        for table in tables():
            now[table.name] = connection.execute(select(table).order_by(*table.primary_key)).mappings().all()
    return [
        (name, dict(row))
        for name, rows in before.items()
        for row in rows
        if not any(all(row[key] == other[key] for key in row if key in other) for other in now.get(name, ()))
    ]


@pytest.mark.parametrize("revision", released())
def test_an_upgrade_from_a_released_schema_keeps_every_row(empty, revision):
    upgrade(revision=revision)
    before = fill(itertools.count(1))
    assert all(len(rows) == ROWS for rows in before.values())

    upgrade()

    assert lost(before) == []
    assert differences() == []


def test_a_row_that_an_upgrade_changed_would_be_noticed(empty):
    upgrade()
    before = fill(itertools.count(1))
    agency = next(table for table in tables() if table.name == "agency")
    with db.engine.begin() as connection:
        connection.execute(update(agency).where(agency.c.id == before["agency"][0]["id"]).values(name="Another"))

    assert [name for name, _row in lost(before)] == ["agency"]


# ── What had nobody to refresh it before 0004 ────────────────────────────────

HOUR = timedelta(hours=1)
STORED = {"health": "active", "updated_at": AT, "expires_at": AT + HOUR, "refreshable": True}
OLDER = {
    "one that ends": ({}, AT + timedelta(minutes=45)),
    "one that was not seen working": ({"health": "pending"}, AT + timedelta(minutes=45)),
    "one that names no end": ({"expires_at": None}, AT + timedelta(minutes=45)),
    "one that is short": ({"expires_at": AT + timedelta(minutes=10)}, AT + timedelta(minutes=5)),
    "one that ended": ({"expires_at": AT - HOUR}, AT - HOUR),
    "one that broke": ({"health": "error"}, None),
    "one that was revoked": ({"health": "revoked"}, None),
    "one that has no secret": ({"secret_id": None}, None),
    "one that can't be refreshed": ({"refreshable": False}, None),
}


def stored_before(changes):
    """A connection of before, by its id."""
    upgrade(revision="0003")
    fill(itertools.count(1))
    found = MetaData()
    found.reflect(db.engine, only=["connection"])
    table = found.tables["connection"]
    with db.engine.begin() as connection:
        (known, *others) = connection.execute(select(table.c.id).order_by(table.c.id)).scalars().all()
        connection.execute(update(table).where(table.c.id == known).values(STORED | changes))
        connection.execute(update(table).where(table.c.id.in_(others)).values(refreshable=False))
    return known


@pytest.mark.parametrize(("changes", "due_at"), OLDER.values(), ids=OLDER)
def test_what_was_connected_before_is_refreshed_in_time_from_now_on(empty, changes, due_at):
    known = stored_before(changes)

    upgrade()

    with across_tenants("a migration works on every agency's rows"), transaction():
        rows = select(OutboxItem).where(OutboxItem.kind == refresh_plans.KIND)
        held = db.session.get_one(Connection, known)
        assert [row.due_at for row in db.session.scalars(rows)] == ([due_at] if due_at else [])
        if due_at:
            plan = {"agency_id": held.agency_id, "expires_at": held.expires_at, "token_at": held.token_at, "at": AT}
            refresh_plans.put(held, held.secret.version, **plan)
            (row,) = db.session.scalars(rows).all()  # the very work that storing it would have written
            assert row.payload == {"connection": known, "version": held.secret.version}
            assert row.due_at == lifetimes.refresh_due(held.token_at, held.expires_at)
    db.session.remove()
    downgrade(revision="0003")
    upgrade()


def test_an_access_that_was_connected_before_and_ends_is_forecast(empty):
    known = stored_before({"refreshable": False})

    upgrade()

    with across_tenants("a migration works on every agency's rows"):
        assert db.session.get_one(Connection, known).grant_ends_at == AT + HOUR

"""From every released schema to the newest, with rows in every table: nothing is lost, and it is what the models say (R21)."""

import itertools
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask_migrate import upgrade
from sqlalchemy import JSON, Boolean, DateTime, Enum, Integer, LargeBinary, MetaData, Table, select, update

from app import create_app
from app.catalog import load
from app.extensions import Base, db
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

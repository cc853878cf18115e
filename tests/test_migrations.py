"""Migrations: from nothing to the newest schema and back, on both databases, to exactly what the models say."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask_migrate import downgrade, upgrade
from sqlalchemy import inspect, text

import app.models  # noqa: F401 - so that the metadata is complete
from app import create_app
from app.catalog import load
from app.extensions import Base, db
from app.tenancy import across_tenants
from tests.support import databases

pytestmark = pytest.mark.both_databases
database_url = databases.empty_database_url
VERSIONS = Path(__file__).resolve().parent.parent / "app" / "migrations" / "versions"


@pytest.fixture
def empty(config):
    app = create_app(config, catalog=load(None))
    with app.app_context():
        yield
        db.session.remove()
        db.engine.dispose()


def tables():
    return set(inspect(db.engine).get_table_names())


def differences():
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return compare_metadata(context, Base.metadata)


def revision():
    with across_tenants("a table of its own"):
        found = db.session.scalar(text("SELECT version_num FROM alembic_version"))
    db.session.rollback()
    return found


def test_from_nothing_to_what_the_models_say(empty):
    assert tables() == set()

    upgrade()

    assert tables() == {*Base.metadata.tables, "alembic_version"}
    assert differences() == []


def test_indexes_that_hold_rules_hold_them_in_part_only(empty):
    """What is unique while something lives is a partial index; a plain one would forbid what is settled too."""
    upgrade()
    rules = {
        ("bundle", "uq_bundle_open"),
        ("member", "uq_member_current"),
        ("connection_request", "uq_connection_request_slot"),
        ("connection_request", "uq_connection_request_mends"),
        ("connection", "uq_connection_identity"),
        ("connection", "uq_connection_account_identity"),
        ("connection", "uq_connection_name"),
        ("connection", "uq_connection_account_name"),
    }
    for table, name in rules:
        index = next(each for each in inspect(db.engine).get_indexes(table) if each["name"] == name)
        assert index["unique"], name
        assert index["dialect_options"].get(f"{db.engine.dialect.name}_where") is not None, name


def test_up_again_changes_nothing(empty):
    upgrade()
    before = revision()
    upgrade()

    assert (revision(), differences()) == (before, [])


def test_down_to_nothing_and_up_again(empty):
    upgrade()
    downgrade(revision="base")
    assert tables() <= {"alembic_version"}

    upgrade()

    assert differences() == []


def test_revisions_make_one_line(empty):
    settings = Config()
    settings.set_main_option("script_location", str(VERSIONS.parent))

    assert len(ScriptDirectory.from_config(settings).get_heads()) == 1

"""Whether this installation can do its work: its database, its schema, its keys."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from app import runtime
from app.extensions import db
from app.models import OutboxItem
from app.services import vault_keys
from app.tenancy import across_tenants

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


@cache
def newest_schema() -> str:
    """The revision that this version of the code needs."""
    settings = AlembicConfig()
    settings.set_main_option("script_location", str(MIGRATIONS))
    return ScriptDirectory.from_config(settings).get_current_head() or ""


def schema_of(engine: Engine) -> str:
    """The revision that the database is at; empty when it has never been migrated."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() or ""


def problems() -> list[str]:
    """What keeps it from working, each in one sentence; an empty list when it is ready."""
    return problems_of_database() or runtime.current().keys.problems


def problems_of_database() -> list[str]:
    """What keeps it from working but for missing keys. What the database knows of keys is learnt on the way."""
    try:
        found = schema_of(db.engine)
        if found != newest_schema():
            return [stale_schema(found)]
        vault_keys.relearn(db.engine, runtime.current().keys)
    except SQLAlchemyError:
        return ["The database can't be reached."]
    return []


def stale_schema(found: str) -> str:
    """What to say of a database at another schema than this code needs."""
    return f"The database is at schema {found or 'none'}, not {newest_schema()}: run flask db upgrade."


def outbox_depth() -> Mapping[str, int]:
    """How many pieces of work there are in each state that still matters."""
    with across_tenants("figures of the whole installation"):
        rows = db.session.execute(
            select(OutboxItem.state, func.count()).where(OutboxItem.finished_at.is_(None)).group_by(OutboxItem.state)
        )
        return {str(state): count for state, count in rows}

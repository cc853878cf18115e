"""Whether this installation can do its work: its database, its schema, its keys."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from app import runtime
from app.database import across_tenants
from app.extensions import db
from app.models import OAuthClient, OutboxItem, Secret
from app.vault import key_id_of

KEY_MISSING = "What was sealed last was sealed with a vault key that is not here: restore it."
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
    try:
        found = schema_of(db.engine)
        if found != newest_schema():
            return [stale_schema(found)]
        with db.engine.connect() as connection:
            missing = newest_keys(connection) - runtime.current().keyring.keys.keys()
    except SQLAlchemyError:
        return ["The database can't be reached."]
    return [KEY_MISSING] if missing else []


def stale_schema(found: str) -> str:
    """What to say of a database at another schema than this code needs."""
    return f"The database is at schema {found or 'none'}, not {newest_schema()}: run flask db upgrade."


def newest_keys(connection: Connection) -> set[str]:
    """The ids of the vault keys that the newest secrets were sealed with."""
    blobs = [
        connection.scalar(select(column).where(column.is_not(None)).order_by(row.id.desc()).limit(1))
        for row, column in ((Secret, Secret.blob), (OAuthClient, OAuthClient.client_secret))
    ]
    return {key_id_of(blob) for blob in blobs if blob}


def outbox_depth() -> Mapping[str, int]:
    """How many pieces of work there are in each state that still matters."""
    with across_tenants("figures of the whole installation"):
        rows = db.session.execute(
            select(OutboxItem.state, func.count()).where(OutboxItem.finished_at.is_(None)).group_by(OutboxItem.state)
        )
        return {str(state): count for state, count in rows}

"""Whether this installation can do its work: its database, its schema, its keys."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path

from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, func, or_, select
from sqlalchemy.exc import SQLAlchemyError

from app import runtime
from app.extensions import db
from app.models import OutboxItem, OutboxState
from app.services import bundle_mail, grants, joining, letters, outbox, refresh_plans, revocations, vault_keys
from app.tenancy import across_tenants

KINDS = (bundle_mail.KIND, *letters.KINDS, grants.KIND, joining.KIND, revocations.KIND)  # all but what is planned ahead
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


def outbox_depth(*, at: datetime) -> Mapping[str, int]:
    """How many pieces of work there are in each state that still matters: due, in hand, or put off because they failed.

    What was written for later and has not come to its time is nobody's backlog, however much of it there is.
    """
    its_time = OutboxItem.due_at <= at
    matters = or_(OutboxItem.state != OutboxState.QUEUED, its_time)
    # Apart, and each kind by name, so that an index leads past the plans, of which there may be one for each connection.
    backlogs = OutboxItem.kind.in_(KINDS) & matters, (OutboxItem.kind == refresh_plans.KIND) & its_time
    found: Counter[str] = Counter()
    with across_tenants("figures of the whole installation"):
        for backlog in backlogs:
            counts = select(OutboxItem.state, func.count()).where(outbox.IS_OPEN, backlog).group_by(OutboxItem.state)
            for state, count in db.session.execute(counts):
                found[str(state)] += count
    return found

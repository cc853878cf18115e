"""What becomes of a connection that breaks, and of one that works again."""

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, or_, update

from app.database import transaction
from app.extensions import db
from app.models import Connection, Health
from app.prepared import Prepared, Row
from app.services import audit, letters, refresh_rows
from app.services.audit import SYSTEM, Actor, Subject
from app.tenancy import acting_for

_BROKEN = Prepared(
    update(Connection)
    .where(
        Connection.id == bindparam("connection"),
        Connection.secret_id == bindparam("secret"),
        or_(Connection.health == Health.PENDING, Connection.health == Health.ACTIVE),
    )
    .values(
        health=Health.ERROR,
        health_reason=bindparam("cause"),
        broken_at=bindparam("moment"),
        updated_at=bindparam("moment"),
        refresh_lease=None,
        refresh_called_at=None,
    )
)
_MENDED = Prepared(
    update(Connection)
    .where(Connection.id == bindparam("connection"), Connection.health == Health.ERROR)
    .values(health=Health.ACTIVE, health_reason=None, broken_at=None, updated_at=bindparam("moment"))
)


def mark_broken(connection: Connection | Row, fault: str, *, at: datetime, version: int | None = None) -> bool:
    """Say that a connection needs to be approved anew, and tell its owner; false if it was broken, revoked or replaced before.

    `version` is that of the secret which was refused: another process may have put a good one in its place.
    """
    with acting_for(connection.agency_id), transaction():
        held = refresh_rows.HELD(connection=connection.id).one_or_none()
        if held is None or version not in (None, held.version):
            return False
        if _BROKEN(connection=held.id, secret=held.secret_id, cause=str(fault), moment=at).rowcount != 1:
            return False
        # point: connection.breaking
        _record("connection.broken", held, by=SYSTEM, at=at, cause=str(fault))
        letters.tell_broken(db.session.get_one(Connection, held.id, populate_existing=True), at=at)
    return True


def mended(connection: Connection | Row, *, by: Actor = SYSTEM, at: datetime) -> bool:
    """Say that a broken connection works again; false if it was not broken. Within a transaction."""
    if _MENDED(connection=connection.id, moment=at).rowcount != 1:
        return False
    _record("connection.mended", connection, by=by, at=at)
    return True


def _record(act: str, connection: Any, *, by: Actor, at: datetime, **told: str) -> None:
    subject = Subject("connection", connection.public_id, connection.workspace_id)
    audit.record(act, subject, by=by, at=at, app=connection.app_key, **told)

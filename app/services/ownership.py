"""Ownership: a connection is of whoever gave it last; whose it was before is told, and is in the trail."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, bindparam, or_, select

from app.extensions import db
from app.models import AuditEvent, Connection
from app.services import audit, letters
from app.services.audit import Actor

CHANGED = letters.OWNER_CHANGED
# Spelt as the index has it: what became another's is to be found however long the trail.
IS_CHANGE = AuditEvent.type == bindparam("changed", CHANGED, literal_execute=True)


@dataclass(frozen=True)
class Whose:
    """Whose a connection is: nobody's address where it is the agency's; `has_left`: it passed to the members; `is_deleted`: nobody's."""

    email: str | None
    has_left: bool
    is_deleted: bool


def of(connection: Connection) -> Whose:
    """Whose it is now."""
    return Whose(connection.owner_email, connection.owner_left_at is not None, connection.deleted_at is not None)


def pass_on(connection: Connection, before: Whose, *, version: int, at: datetime) -> None:
    """Record that a connection is whose it is now, if it was another's before, who is then told; `version` is that of its secret.

    Within the transaction in which it passed.
    """
    owner = connection.owner_email or ""
    by = Actor.client(owner)
    if before.email == owner:
        if before.has_left and not before.is_deleted:
            audit.record("connection.owner_returned", connection, by=by, at=at, owner=owner)
        return
    is_taken = before.email is not None and not before.has_left and not before.is_deleted
    told = {"before": before.email, "after": owner, "name": connection.name, "version": version, "taken": is_taken}
    audit.record(CHANGED, connection, by=by, at=at, **told)
    # point: owner.changed
    if is_taken:
        letters.tell_owner_changed(connection, version=version, at=at)


def former(connection: Connection, *, version: int) -> str | None:
    """Whose it was until it passed on with that version of its secret."""
    rows = db.session.execute(_changes(connection.workspace_id).where(AuditEvent.subject == connection.public_id))
    return next((row.data["before"] for row in rows if row.data["version"] == version), None)


@dataclass(frozen=True)
class Span:
    """The part of a connection's trail in which it was somebody's, by the ids of its first and last event; none: it is open there.

    `name` is what the connection was called in the end.
    """

    first: int | None
    last: int | None
    name: str = ""


def spans(workspace_id: int, email: str) -> Mapping[str, Sequence[Span]]:
    """When an address had which connections of a workspace, by their public ids; only those that became theirs, or another's."""
    named = or_(*(AuditEvent.data[end].as_string() == email for end in ("before", "after")))
    found: dict[str, list[Span]] = defaultdict(list)
    began: dict[str, int] = {}
    for row in db.session.execute(_changes(workspace_id).where(named)):
        if row.data["before"] == email:
            first = began.pop(row.subject, None)
            found[row.subject] += [Span(first, row.id, row.data["name"])] if row.data["taken"] else []
        else:
            began[row.subject] = row.id
    for subject, first in began.items():
        found[subject].append(Span(first, None))
    return found


def _changes(workspace_id: int | None) -> Select[Any]:
    """What the trail says of connections of a workspace that became another's, the first first."""
    return (
        select(AuditEvent.id, AuditEvent.subject, AuditEvent.data)
        .where(AuditEvent.workspace_id == workspace_id, IS_CHANGE)
        .order_by(AuditEvent.id)
    )

"""What events of connections are told with: the workflows they name, what came of a revocation, and what stands still."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from app.extensions import db
from app.models import AuditEvent, Connection, Health, Slot, Workflow

BROKEN, REVOKED, DISCARDED = "connection.broken", "connection.revoked", "connection.discarded"

Subject = Row[str, str, str, Health, Any, Any, Any]  # as `SUBJECT` selects it
SUBJECT = (
    Connection.public_id,
    Connection.name,
    Connection.app_key,
    Connection.health,
    Connection.broken_at,
    Connection.revoked_at,
    Connection.revocation,
)


@dataclass(frozen=True)
class Facts:
    """The names of workflows by their ids; by the id of an event what came of a revocation, and which workflows stand still."""

    workflows: Mapping[str, str]
    outcomes: Mapping[int, str]
    paused: Mapping[int, Sequence[str]]


def of(rows: Sequence[AuditEvent], known: Mapping[str, Subject]) -> Facts:
    """What these events are told with; at most a statement for each, and none where nothing needs it."""
    return Facts(_workflows(rows), _outcomes(rows, known), _paused(rows, known))


def _workflows(rows: Sequence[AuditEvent]) -> Mapping[str, str]:
    ids = {row.data["workflow"] for row in rows if isinstance(row.data.get("workflow"), str)}
    if not ids:
        return {}
    found = db.session.execute(select(Workflow.public_id, Workflow.name).where(Workflow.public_id.in_(ids)))
    return {row.public_id: row.name for row in found}


def _outcomes(rows: Sequence[AuditEvent], known: Mapping[str, Subject]) -> Mapping[int, str]:
    """What came of each revocation: as its connection says while it is the last one, else as the trail tells."""
    revoked = [row for row in rows if row.type == REVOKED]
    found = {row.id: str(known[row.subject].revocation or "") for row in revoked if _is_last(row, known[row.subject])}
    earlier = [row for row in revoked if row.id not in found]
    if not earlier:
        return found
    after = db.session.execute(
        select(AuditEvent.id, AuditEvent.subject, AuditEvent.type, AuditEvent.data)
        .where(AuditEvent.subject.in_({row.subject for row in earlier}))
        .where(AuditEvent.type.in_((REVOKED, DISCARDED)), AuditEvent.id > min(row.id for row in earlier))
        .order_by(AuditEvent.id)
    ).all()
    for row in earlier:
        follows = next((each for each in after if each.subject == row.subject and each.id > row.id), None)
        if follows is not None and follows.type == DISCARDED:
            found[row.id] = str(follows.data.get("outcome", ""))
    return found


def _is_last(row: AuditEvent, connection: Subject) -> bool:
    return connection.health is Health.REVOKED and connection.revoked_at == row.at


def _paused(rows: Sequence[AuditEvent], known: Mapping[str, Subject]) -> Mapping[int, Sequence[str]]:
    """Which live workflows stand still because a connection failed, as long as it does."""
    failed = {
        row.subject: row.id for row in reversed(rows) if row.type == BROKEN and known[row.subject].broken_at == row.at
    }
    if not failed:
        return {}
    found = db.session.execute(
        select(Connection.public_id, Workflow.name)
        .join(Slot, Slot.connection_id == Connection.id)
        .join(Workflow, Workflow.id == Slot.workflow_id)
        .where(Connection.public_id.in_(failed), Workflow.archived_at.is_(None), Workflow.version > 0)
        .group_by(Connection.public_id, Workflow.id, Workflow.name)
        .order_by(Workflow.name, Workflow.id)
    )
    names: dict[int, list[str]] = defaultdict(list)
    for public_id, name in found:
        names[failed[public_id]].append(name)
    return names

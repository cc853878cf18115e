from datetime import datetime
from typing import Any

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Model, new_public_id
from app.tenancy import MaybeInWorkspace


class AuditEvent(MaybeInWorkspace, Model):
    """Something that was done: by whom, from where, on what. Append-only; `sequence` and `digest` come from the worker's chaining."""

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(20), unique=True, default=new_public_id)
    at: Mapped[datetime]
    type: Mapped[str] = mapped_column(String(60))
    actor_kind: Mapped[str] = mapped_column(String(20))
    actor: Mapped[str] = mapped_column(String(320))
    address: Mapped[str | None] = mapped_column(String(64))
    subject_kind: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(60))
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    sequence: Mapped[int | None]
    digest: Mapped[str | None] = mapped_column(String(64))


Index("uq_audit_event_sequence", AuditEvent.agency_id, AuditEvent.sequence, unique=True)
_UNCHAINED = AuditEvent.sequence.is_(None)
Index("ix_audit_event_unchained", AuditEvent.id, sqlite_where=_UNCHAINED, postgresql_where=_UNCHAINED)
# What was done with one thing, the latest first.
Index("ix_audit_event_subject", AuditEvent.subject, AuditEvent.id)
# Whose connections were before; the few of a workspace among all that was done there.
_CHANGED_OWNER = AuditEvent.type == "connection.owner_changed"
Index(
    "ix_audit_event_owner_changed",
    AuditEvent.workspace_id,
    AuditEvent.id,
    sqlite_where=_CHANGED_OWNER,
    postgresql_where=_CHANGED_OWNER,
)

"""What was done with one connection, from the audit trail, in words for staff."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from app.extensions import db
from app.i18n import _
from app.models import AuditEvent, Connection, Workflow
from app.services import causes, ownership, paging, scopes
from app.services.paging import Page


@dataclass(frozen=True)
class Event:
    """Something that was done: what, and by whom or for what."""

    at: datetime
    act: str
    how: str


def page(connection: Connection, *, after: str | None = None, before: str | None = None) -> Page[Event]:
    """What was done with it, the latest first; two statements."""
    found = paging.page(
        select(AuditEvent).where(
            AuditEvent.subject == connection.public_id,
            AuditEvent.subject_kind == "connection",
            AuditEvent.agency_id == connection.agency_id,
        ),
        AuditEvent.id,
        after=after,
        before=before,
    )
    names, app = _workflows(found.items), scopes.app_of(connection).name
    return Page([_event(each, names, app) for each in found.items], found.newer, found.older)


def _workflows(rows: Sequence[AuditEvent]) -> Mapping[str, str]:
    ids = {str(row.data["workflow"]) for row in rows if row.data.get("workflow")}
    if not ids:
        return {}
    found = db.session.execute(select(Workflow.public_id, Workflow.name).where(Workflow.public_id.in_(ids)))
    return {row[0]: row[1] for row in found}


def _event(row: AuditEvent, names: Mapping[str, str], app: str) -> Event:
    how = [_by(row), _more(row, names, app)]
    return Event(row.at, _acts().get(row.type, row.type), ", ".join(filter(None, how)))


def _by(row: AuditEvent) -> str:
    if row.actor_kind in ("staff", "client"):
        return _("by %(who)s", who=row.actor)
    return "" if row.actor_kind in ("system", "anonymous") else _("by the API key “%(name)s”", name=row.actor)


def _more(row: AuditEvent, names: Mapping[str, str], app: str) -> str:
    if name := names.get(str(row.data.get("workflow"))):
        return _("for the workflow %(name)s", name=name)
    if cause := row.data.get("cause"):
        return causes.words(str(cause), app)
    if row.type == "connection.reauthorize_asked":
        return _("of %(who)s", who=row.data.get("recipient", ""))
    if row.type == "connection.renamed":
        return _("before: %(name)s", name=row.data.get("before", ""))
    if row.type == ownership.CHANGED:
        return _("before: %(name)s", name=row.data["before"] or _("the agency"))
    return ""


def _acts() -> dict[str, str]:
    return {
        "connection.created": _("Connected"),
        "connection.updated": _("Connected again"),
        "connection.used": _("Used"),
        "connection.refreshed": _("Refreshed"),
        "connection.refresh_failed": _("Could not be refreshed"),
        "connection.broken": _("Broke"),
        "connection.reauthorize_asked": _("Asked to be reconnected"),
        "connection.mended": _("Works again"),
        ownership.CHANGED: _("Passed to another owner"),
        "connection.revoked": _("Revoked"),
        "connection.discarded": _("Its credential was deleted"),
        "connection.renamed": _("Renamed"),
        "connection.deleted": _("Deleted"),
    }

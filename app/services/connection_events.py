"""What was done with one connection, from the audit trail, in words for staff."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from app.extensions import db
from app.i18n import _, _l
from app.models import AuditEvent, Connection, Workflow
from app.services import causes, letters, ownership, paging, scopes
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
            AuditEvent.type.in_(tuple(ACTS)),
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
    act = ACTS[row.type]
    said = LETTERS.get(str(row.data.get("letter")), act) if row.type == "mail.sent" else act
    return Event(row.at, str(said), ", ".join(filter(None, how)))


def _by(row: AuditEvent) -> str:
    if row.actor_kind in ("staff", "client"):
        return _("by %(who)s", who=row.actor)
    return "" if row.actor_kind in ("system", "anonymous") else _("by the API key “%(name)s”", name=row.actor)


def _more(row: AuditEvent, names: Mapping[str, str], app: str) -> str:
    if name := names.get(str(row.data.get("workflow"))):
        return _("for the workflow %(name)s", name=name)
    if cause := row.data.get("cause"):
        return causes.words(str(cause), app)
    tells = MORE.get(row.type)
    return tells(row.data) if tells else ""


def _sent_to(data: Mapping[str, Any]) -> str:
    return _("to %(who)s", who=data["recipient"]) if data.get("recipient") else ""


MORE: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "connection.reauthorize_asked": lambda data: _("of %(who)s", who=data.get("recipient", "")),
    "connection.renamed": lambda data: _("before: %(name)s", name=data.get("before", "")),
    ownership.CHANGED: lambda data: _("before: %(name)s", name=data["before"] or _("the agency")),
    "connection.owner_left": lambda data: _("as %(who)s was removed", who=data.get("owner", "")),
    "connection.owner_returned": lambda data: _("to %(who)s", who=data.get("owner", "")),
    **dict.fromkeys(("mail.sent", "mail.undelivered", "mail.held", "mail.retried"), _sent_to),
}
ACTS = {
    "connection.created": _l("Connected"),
    "connection.updated": _l("Connected again"),
    "connection.used": _l("Used"),
    "connection.refreshed": _l("Refreshed"),
    "connection.refresh_failed": _l("Could not be refreshed"),
    "connection.broken": _l("Broke"),
    "connection.reauthorize_asked": _l("Asked to be reconnected"),
    "connection.mended": _l("Works again"),
    ownership.CHANGED: _l("Passed to another owner"),
    "connection.owner_left": _l("Passed to the other members"),
    "connection.owner_returned": _l("Passed back"),
    "connection.revoked": _l("Revoked"),
    "connection.discarded": _l("Its credential was deleted"),
    "connection.renamed": _l("Renamed"),
    "connection.deleted": _l("Deleted"),
    "grant.discarded": _l("A token that came too late was deleted"),
    "mail.sent": _l("E-mail about it was sent"),
    "mail.undelivered": _l("E-mail about it was not delivered"),
    "mail.held": _l("E-mail about it may not have been delivered"),
    "mail.retried": _l("E-mail about it was sent again"),
}
LETTERS = {
    letters.BROKEN: _l("E-mail that it broke was sent"),
    letters.OWNER_CHANGED: _l("E-mail of its new owner was sent"),
}

"""Workspaces: the agency's clients."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from app import clock
from app.database import lock, transaction
from app.errors import Conflict, NotFound, Refused
from app.extensions import db
from app.i18n import _
from app.models import Agency, Staff, Workspace
from app.services import addresses, audit, paging
from app.services.paging import Page


def page(
    agency: Agency,
    *,
    search: str = "",
    archived: bool = False,
    after: str | None = None,
    before: str | None = None,
    size: int | None = None,
) -> Page[Workspace]:
    """An agency's workspaces, last active first; `search` is a part of the name."""
    found = select(Workspace).where(Workspace.agency_id == agency.id)
    found = found.where(Workspace.archived_at.is_not(None) if archived else Workspace.archived_at.is_(None))
    if search:
        found = found.where(Workspace.name.icontains(search, autoescape=True))
    return paging.page(found, Workspace.active_at, after=after, before=before, size=size)


def get(agency: Agency, public_id: str) -> Workspace:
    """The agency's workspace of that id; NotFound."""
    found = db.session.scalar(
        select(Workspace).where(Workspace.agency_id == agency.id, Workspace.public_id == public_id)
    )
    if found is None:
        raise NotFound
    return found


@contextmanager
def _refusing_twins() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise Refused(_("You have a workspace of this name already."), field="name") from None


def create(agency: Agency, name: str, *, by: Staff) -> Workspace:
    """Add a client; Refused if there is one of that name."""
    at, name = clock.now(), addresses.clean_name(name)
    with _refusing_twins(), transaction() as session:
        workspace = Workspace(agency_id=agency.id, name=name, created_at=at, active_at=at)
        session.add(workspace)
        session.flush()
        audit.record("workspace.created", workspace, by=by, at=at, name=name)
    return workspace


def rename(agency: Agency, public_id: str, name: str, *, by: Staff) -> Workspace:
    """Give a client another name; Refused if another has it."""
    at, name = clock.now(), addresses.clean_name(name)
    with _refusing_twins(), transaction() as session:
        workspace = get(agency, public_id)
        lock(workspace, "name")
        if name != workspace.name:
            before, workspace.name = workspace.name, name
            session.flush()
            audit.record("workspace.renamed", workspace, by=by, at=at, before=before, after=name)
    return workspace


def archive(agency: Agency, public_id: str, *, by: Staff) -> None:
    """Put a client away: nothing can be sent to its people until it is restored; what is connected stays."""
    _set_archived(agency, public_id, archived=True, by=by)


def restore(agency: Agency, public_id: str, *, by: Staff) -> None:
    """Take a client back into work."""
    _set_archived(agency, public_id, archived=False, by=by)


def _set_archived(agency: Agency, public_id: str, *, archived: bool, by: Staff) -> None:
    at = clock.now()
    with transaction() as session:
        workspace = get(agency, public_id)
        standing = Workspace.archived_at.is_(None) if archived else Workspace.archived_at.is_not(None)
        moved = session.execute(
            update(Workspace).where(Workspace.id == workspace.id, standing).values(archived_at=at if archived else None)
        )
        if moved.rowcount != 1:  # type: ignore[attr-defined]
            raise Conflict(
                _("This workspace is archived already.") if archived else _("This workspace is not archived.")
            )
        audit.record("workspace.archived" if archived else "workspace.restored", workspace, by=by, at=at)

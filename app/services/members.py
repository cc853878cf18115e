"""Members: the people of a client with a portal login for its workspace."""

from collections.abc import Iterable

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from app import clock
from app.database import transaction
from app.errors import Conflict, NotFound, Refused
from app.extensions import db
from app.i18n import _
from app.models import Member, Staff, Workspace
from app.services import addresses, audit, paging
from app.services.paging import Page


def page(workspace: Workspace, *, after: str | None = None, before: str | None = None) -> Page[Member]:
    """The present members of a workspace, newest first."""
    current = select(Member).where(Member.workspace_id == workspace.id, Member.removed_at.is_(None))
    return paging.page(current, Member.created_at, after=after, before=before)


def counts(workspaces: Iterable[Workspace]) -> dict[int, int]:
    """How many members each of these has, by its id; one query."""
    rows = db.session.execute(
        select(Member.workspace_id, func.count())
        .where(Member.workspace_id.in_([each.id for each in workspaces]), Member.removed_at.is_(None))
        .group_by(Member.workspace_id)
    )
    return {row[0]: row[1] for row in rows}


def get(workspace: Workspace, public_id: str) -> Member:
    """The present member of that id; NotFound."""
    found = db.session.scalar(
        select(Member).where(
            Member.workspace_id == workspace.id, Member.public_id == public_id, Member.removed_at.is_(None)
        )
    )
    if found is None:
        raise NotFound
    return found


def is_member(workspace_id: int | None, email: str) -> bool:
    """Whether the address is one of the workspace's present members."""
    found = select(Member.id).where(
        Member.workspace_id == workspace_id, Member.email == email, Member.removed_at.is_(None)
    )
    return db.session.scalar(found) is not None


def add(workspace: Workspace, *, name: str, email: str, by: Staff) -> Member:
    """Give a person of the client a portal login; what they are sent from now on leads to the portal."""
    at, name, email = clock.now(), addresses.clean_name(name), addresses.normalise(email)
    try:
        with transaction() as session:
            if workspace.archived_at:
                raise Conflict(_("This workspace is archived."))
            member = Member(
                agency_id=workspace.agency_id, workspace_id=workspace.id, email=email, name=name, created_at=at
            )
            session.add(member)
            session.flush()
            audit.record("member.added", member, by=by, at=at, email=email)
    except IntegrityError:
        raise Refused(_("This address is a member already."), field="email") from None
    return member


def remove(workspace: Workspace, public_id: str, *, by: Staff) -> None:
    """End a member's portal access; requests that they were sent go by link from now on."""
    at = clock.now()
    with transaction() as session:
        member = get(workspace, public_id)
        removed = session.execute(
            update(Member).where(Member.id == member.id, Member.removed_at.is_(None)).values(removed_at=at)
        )
        if removed.rowcount != 1:  # type: ignore[attr-defined]
            raise NotFound
        audit.record("member.removed", member, by=by, at=at, email=member.email)

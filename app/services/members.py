"""Members: the people of a client with a portal login for its workspace."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.exc import IntegrityError

from app import clock
from app.database import lock, transaction
from app.errors import Conflict, NotFound, Refused
from app.extensions import db
from app.i18n import _
from app.models import Connection, ConnectionRequest, Member, Staff, Workspace
from app.services import (
    addresses,
    audit,
    bundles,
    connection_requests,
    fulfilment,
    invitations,
    letters,
    paging,
    portal_sessions,
)
from app.services.letters import Invited
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


@dataclass(frozen=True)
class Standing:
    """How far a member has come: when they were last in the portal, and what became of their latest invitation."""

    seen_at: datetime | None
    invited: Invited | None

    @property
    def invite_at(self) -> datetime | None:
        """From when on they may be invited again."""
        return self.invited.at + invitations.BETWEEN if self.invited else None


def standing(members: Collection[Member]) -> dict[int, Standing]:
    """The standing of each of these members of one workspace, by id; the same two queries however many."""
    invited = letters.invitations(members)
    seen = portal_sessions.last_seen(members)
    return {each.id: Standing(seen.get(each.email), invited.get(each.id)) for each in members}


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


def among(workspace_id: int | None, emails: Collection[str]) -> set[str]:
    """Those of these addresses that are of the workspace's present members; one query."""
    found = select(Member.email).where(
        Member.workspace_id == workspace_id, Member.email.in_(emails), Member.removed_at.is_(None)
    )
    return set(db.session.scalars(found)) if emails else set()


def add(workspace: Workspace, *, name: str, email: str, by: Staff) -> Member:
    """Give a person of the client a portal login and invite them to it; what they are sent from now on leads there.

    Connections that passed to the others when they were removed are theirs again.
    """
    at, name, email = clock.now(), addresses.clean_name(name), addresses.normalise(email)
    try:
        with transaction() as session:
            bundles.turn(workspace.id)
            if workspace.archived_at:
                raise Conflict(_("This workspace is archived."))
            member = Member(
                agency_id=workspace.agency_id, workspace_id=workspace.id, email=email, name=name, created_at=at
            )
            session.add(member)
            session.flush()
            audit.record("member.added", member, by=by, at=at, email=email)
            returned = _pass(member, "connection.owner_returned", left_at=None, by=by, at=at)
            not_theirs = ConnectionRequest.recipient != email
            _withdraw(ConnectionRequest.connection_id.in_(returned), not_theirs, by=by, at=at)
            invitations.send_first(member, at=at)
    except IntegrityError:
        raise Refused(_("This address is a member already."), field="email") from None
    return member


def invite_again(workspace: Workspace, public_id: str, *, by: Staff) -> None:
    """Send a member another invitation; Refused five minutes after the last one, or after three of them in a day."""
    at = clock.now()
    with transaction():
        member = get(workspace, public_id)
        if workspace.archived_at:
            raise Conflict(_("This workspace is archived."))
        lock(member)
        invitations.send_again(member, at=at)
        audit.record("member.invited", member, by=by, at=at, email=member.email)


@dataclass(frozen=True)
class Removal:
    """What follows from removing a member: so many of their connections pass to so many others, and so many requests to mend one end."""

    connections: int
    others: int
    mending: int


def removal_of(member: Member) -> Removal:
    """What would follow from removing a member now."""
    owned = select(func.count()).select_from(Connection).where(*_theirs(member), Connection.owner_left_at.is_(None))
    others = (
        select(func.count())
        .select_from(Member)
        .where(Member.workspace_id == member.workspace_id, Member.removed_at.is_(None), Member.id != member.id)
    )
    mending = fulfilment.mending(*_asked_of(member))
    return Removal(db.session.scalar(owned) or 0, db.session.scalar(others) or 0, len(mending))


def remove(workspace: Workspace, public_id: str, *, by: Staff) -> int:
    """End a member's portal access at once; what they are asked for goes by link from now on.

    Their connections pass to the present members: says how many. They are no longer asked to mend any.
    """
    at = clock.now()
    with transaction() as session:
        bundles.turn(workspace.id)
        member = get(workspace, public_id)
        removed = session.execute(
            update(Member).where(Member.id == member.id, Member.removed_at.is_(None)).values(removed_at=at)
        )
        if removed.rowcount != 1:  # type: ignore[attr-defined]
            raise NotFound
        # point: member.removed
        ended = portal_sessions.end_at(session, member.email, workspace.id)
        passed = _pass(member, "connection.owner_left", left_at=at, by=by, at=at)
        told = {"email": member.email, "sessions": ended, "connections": len(passed)}
        audit.record("member.removed", member, by=by, at=at, **told)
        # point: connections.passed
        _withdraw(*_asked_of(member), by=by, at=at)
    return len(passed)


def _asked_of(member: Member) -> tuple[ColumnElement[bool], ...]:
    return ConnectionRequest.workspace_id == member.workspace_id, ConnectionRequest.recipient == member.email


def _withdraw(*which: ColumnElement[bool], by: Staff, at: datetime) -> None:
    """Ask nobody any more to mend what is not theirs now; staff can ask whoever has it."""
    for asked in fulfilment.mending(*which):
        connection_requests.withdraw(asked, by=by, at=at)


def _pass(member: Member, act: str, *, left_at: datetime | None, by: Staff, at: datetime) -> list[int]:
    """Pass a member's connections to the others, or back to them; says which."""
    before = Connection.owner_left_at.is_not(None) if left_at is None else Connection.owner_left_at.is_(None)
    passed = db.session.execute(
        update(Connection)
        .where(*_theirs(member), before)
        .values(owner_left_at=left_at)
        .returning(Connection.id, Connection.public_id)
        .execution_options(synchronize_session=False)
    ).all()
    with audit.together():
        for row in passed:
            about = audit.Subject("connection", row.public_id, member.workspace_id)
            audit.record(act, about, by=by, at=at, owner=member.email)
    db.session.expire_all() if passed else None
    return [row.id for row in passed]


def _theirs(member: Member) -> tuple[ColumnElement[bool], ...]:
    return (
        Connection.workspace_id == member.workspace_id,
        Connection.owner_email == member.email,
        Connection.deleted_at.is_(None),
    )

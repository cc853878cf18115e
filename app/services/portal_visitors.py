"""Who is signed in to the portal, asked anew with every request: what a session says, and what its address may still enter."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, bindparam, func, or_, select, update
from sqlalchemy.orm import aliased

from app.database import transaction
from app.models import Agency, Connection, Member, PortalSession, Workspace
from app.prepared import Prepared, Row
from app.services import portal_places
from app.services.intake import Host
from app.tenancy import across_tenants

IDLE = timedelta(minutes=30)
TOUCH = timedelta(minutes=1)  # how exactly the last sign of life is kept


@dataclass(frozen=True)
class Guest:
    """Who is signed in, before a workspace is picked; `agency_id` confines them to one agency."""

    session_id: int
    id_hash: bytes
    email: str
    agency_id: int | None


@dataclass(frozen=True)
class Visitor:
    """Who is signed in to the portal of one workspace: a member of it, or an owner of connections there alone."""

    session_id: int
    id_hash: bytes
    email: str
    agency: Host
    confined_to: int | None
    workspace_id: int
    workspace: str
    is_member: bool
    name: str
    has_other_places: bool

    @property
    def guest(self) -> Guest:
        """Who they are, wherever they are."""
        return Guest(self.session_id, self.id_hash, self.email, self.confined_to)


_is_live = (
    PortalSession.id_hash == bindparam("id_hash"),
    PortalSession.expires_at > bindparam("at"),
    PortalSession.seen_at > bindparam("idle_since"),
)
_member = aliased(Member)
_other, _theirs = aliased(Member), aliased(Connection)
_elsewhere = or_(PortalSession.agency_id.is_(None), PortalSession.agency_id == Workspace.agency_id)
_name = (
    select(func.max(_member.name))
    .where(
        _member.workspace_id == PortalSession.workspace_id,
        _member.email == PortalSession.email,
        _member.removed_at.is_(None),
    )
    .correlate(PortalSession)
    .scalar_subquery()
)
_has_other_membership = (
    select(_other.id)
    .where(
        _other.email == PortalSession.email,
        _other.removed_at.is_(None),
        _other.workspace_id != PortalSession.workspace_id,
        or_(PortalSession.agency_id.is_(None), _other.agency_id == PortalSession.agency_id),
    )
    .correlate(PortalSession)
    .exists()
)
_owns_elsewhere = (
    select(_theirs.id)
    .where(
        _theirs.owner_email == PortalSession.email,
        _theirs.workspace_id.is_not(None),
        _theirs.workspace_id != PortalSession.workspace_id,
        _theirs.owner_left_at.is_(None),
        portal_places.told_of(_theirs, bindparam("told_since")),
        or_(PortalSession.agency_id.is_(None), _theirs.agency_id == PortalSession.agency_id),
    )
    .correlate(PortalSession)
    .exists()
)
_SESSION = (
    PortalSession.id,
    PortalSession.id_hash,
    PortalSession.email,
    PortalSession.agency_id.label("confined_to"),
    PortalSession.seen_at,
)
RESUMED = Prepared(select(*_SESSION).where(*_is_live))
ENTERED = Prepared(
    select(
        *_SESSION,
        Workspace.id.label("workspace_id"),
        Workspace.name.label("workspace"),
        Agency.id.label("agency_id"),
        Agency.name.label("agency"),
        Agency.slug,
        Agency.support_email,
        Agency.accent,
        Agency.logo_digest,
        Agency.timezone,
        _name.label("name"),
        portal_places.ownership(PortalSession.workspace_id, PortalSession.email, bindparam("told_since")).label("owns"),
        or_(_has_other_membership, _owns_elsewhere).label("has_other_places"),
    )
    .join(Workspace, and_(Workspace.id == PortalSession.workspace_id, _elsewhere))
    .join(Agency, Agency.id == Workspace.agency_id)
    .where(*_is_live)
)


def enter(id_hash: bytes, *, at: datetime, is_poll: bool = False) -> Visitor | None:
    """Who is signed in to the workspace that they picked, if they may still be there; a poll is no sign of life."""
    with across_tenants("a cookie does not say of which agency it is"):
        told_since = portal_places.told_since(at)
        row = ENTERED(id_hash=id_hash, at=at, idle_since=at - IDLE, told_since=told_since).one_or_none()
        if row is None or not (row.name is not None or row.owns):
            return None
        _touch(row, at=at, is_poll=is_poll)
    host = Host(row.agency_id, row.agency, row.slug, row.support_email, row.accent, row.logo_digest, row.timezone)
    return Visitor(
        session_id=row.id,
        id_hash=row.id_hash,
        email=row.email,
        agency=host,
        confined_to=row.confined_to,
        workspace_id=row.workspace_id,
        workspace=row.workspace,
        is_member=row.name is not None,
        name=row.name or row.email,
        has_other_places=bool(row.has_other_places),
    )


def resume(id_hash: bytes, *, at: datetime, is_poll: bool = False) -> Guest | None:
    """Who is signed in, whether or not they have picked a workspace; a poll is no sign of life."""
    row = RESUMED(id_hash=id_hash, at=at, idle_since=at - IDLE).one_or_none()
    if row is None:
        return None
    _touch(row, at=at, is_poll=is_poll)
    return Guest(row.id, row.id_hash, row.email, row.confined_to)


def _touch(row: Row, *, at: datetime, is_poll: bool) -> None:
    if is_poll or at - row.seen_at < TOUCH:
        return
    with transaction() as session:
        session.execute(
            update(PortalSession).where(PortalSession.id == row.id, PortalSession.seen_at < at).values(seen_at=at)
        )

"""The sessions of those who signed in to the portal: half an hour idle, twelve hours at most, revocable at once.

A session is an address's: what it may see is asked anew with every request. One that began at an agency's door shows and
ends, one by one, what is signed in at that agency alone; signing out everywhere ends all that the address has, at every
agency, of which each learns no more than that it happened to its own.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from app import clock
from app.database import transaction
from app.errors import NotFound
from app.extensions import db
from app.models import Agency, Member, PortalSession, Workspace
from app.services import audit, portal_places
from app.services.audit import Actor
from app.services.portal_visitors import IDLE, Guest
from app.tenancy import across_tenants, acting_for

LONGEST = timedelta(hours=12)
MOST = 20  # sessions an address has at a time; the oldest give way


def start(
    email: str,
    *,
    agency_id: int | None,
    id_hash: bytes,
    at: datetime,
    user_agent: str = "",
    replacing: bytes | None = None,
) -> None:
    """Begin a session under the hash of a fresh id, and end the one that this browser had; where there is no choice, it is made."""
    with transaction() as session:
        if replacing:
            session.execute(delete(PortalSession).where(PortalSession.id_hash == replacing))
        _make_room(session, email, at)
        places = portal_places.few(email, agency_id)
        session.add(
            PortalSession(
                id_hash=id_hash,
                email=email,
                agency_id=agency_id,
                workspace_id=places[0][0] if len(places) == 1 else None,
                created_at=at,
                seen_at=at,
                expires_at=at + LONGEST,
                address=session.info.get("address"),
                user_agent=user_agent[:255],
            )
        )
        if len(places) == 1:
            _note("portal.signed_in", email, places[0][0], at)


def _note(act: str, email: str, workspace_id: int | None, at: datetime) -> None:
    """Record it where it happened, in the trail of the agency whose workspace that is."""
    with across_tenants("the session says whose workspace it is"):
        place = select(Workspace.public_id, Workspace.agency_id).where(Workspace.id == workspace_id)
        found = db.session.execute(place).one_or_none()
    if found is not None:
        with acting_for(found.agency_id):
            about = audit.Subject("workspace", found.public_id, workspace_id)
            audit.record(act, about, by=Actor.client(email), at=at)


def _make_room(session: Session, email: str, at: datetime) -> None:
    """Drop an address's sessions that are over, and the oldest of those beyond the number that it may have."""
    own = PortalSession.email == email
    over = or_(PortalSession.expires_at <= at, PortalSession.seen_at <= at - IDLE)
    session.execute(delete(PortalSession).where(own, over))
    kept = select(PortalSession.id).where(own).order_by(PortalSession.seen_at.desc()).limit(MOST - 1)
    session.execute(delete(PortalSession).where(own, PortalSession.id.not_in(kept)))


def slug_before(id_hash: bytes) -> str | None:
    """The slug of the agency whose portal this browser was signed in to, as long as its session that ended is kept."""
    return db.session.scalar(
        select(Agency.slug)
        .join(PortalSession, PortalSession.agency_id == Agency.id)
        .where(PortalSession.id_hash == id_hash)
    )


def pick(guest: Guest, workspace_public_id: str) -> None:
    """Go on in another of one's workspaces; NotFound for any other."""
    at = clock.now()
    with across_tenants("one address may be a client of several agencies"), transaction() as session:
        found = session.scalar(
            select(Workspace.id).where(
                Workspace.public_id == workspace_public_id,
                Workspace.id.in_(portal_places.of_address(guest.email)),
                portal_places.within(guest.agency_id),
            )
        )
        if found is None:
            raise NotFound
        moved = session.execute(
            update(PortalSession)
            .where(
                PortalSession.id == guest.session_id,
                or_(PortalSession.workspace_id.is_(None), PortalSession.workspace_id != found),
            )
            .values(workspace_id=found)
        )
        if moved.rowcount:  # type: ignore[attr-defined]
            _note("portal.signed_in", guest.email, found, at)


def pick_only(guest: Guest) -> bool | None:
    """Go on in the one workspace that somebody may enter; false where there are several, None where there is none."""
    places = portal_places.few(guest.email, guest.agency_id)
    if len(places) != 1:
        return False if places else None
    pick(guest, places[0][1])
    return True


def of(guest: Guest, *, at: datetime) -> Sequence[PortalSession]:
    """The live sessions of one's address, as far as they show at the agency that one is confined to, latest first.

    There are never more than MOST.
    """
    with across_tenants("one address may be a client of several agencies"):
        return db.session.scalars(
            select(PortalSession)
            .where(*_seen_from(guest), PortalSession.expires_at > at, PortalSession.seen_at > at - IDLE)
            .order_by(PortalSession.seen_at.desc(), PortalSession.id.desc())
        ).all()


def _seen_from(guest: Guest) -> tuple[ColumnElement[bool], ...]:
    """Whose sessions somebody may see and end: their own, and where they are confined to an agency those that are there."""
    own = PortalSession.email == guest.email
    if guest.agency_id is None:
        return (own,)
    there = select(Workspace.id).where(Workspace.agency_id == guest.agency_id)
    free = and_(PortalSession.agency_id.is_(None), PortalSession.workspace_id.in_(there))
    return own, or_(PortalSession.agency_id == guest.agency_id, free)


def end(guest: Guest, public_id: str | None = None) -> bool:
    """Sign out of one browser: of this one, or of the one of that id among those of `of`. Says whether it was this one; NotFound."""
    named = PortalSession.id == guest.session_id if public_id is None else PortalSession.public_id == public_id
    ended = _end((*_seen_from(guest), named), "portal.signed_out", by=guest.email)
    if not ended and public_id is not None:
        raise NotFound
    return public_id is None or guest.session_id in ended


def end_all(guest: Guest) -> None:
    """Sign the person out of every browser, this one too, at whatever agency: their address may be in other hands."""
    _end((PortalSession.email == guest.email,), "portal.signed_out_everywhere", by=guest.email)


def _end(which: Sequence[ColumnElement[bool]], act: str, *, by: str) -> set[int]:
    at = clock.now()
    with across_tenants("one address may be a client of several agencies"), transaction() as session:
        ended = session.execute(
            delete(PortalSession).where(*which).returning(PortalSession.id, PortalSession.workspace_id)
        ).all()
        for workspace_id in sorted({row.workspace_id for row in ended if row.workspace_id}):
            _note(act, by, workspace_id, at)
    return {row.id for row in ended}


def last_seen(members: Collection[Member]) -> dict[str, datetime]:
    """When each of these members of one workspace was last there, by address, as far as their sessions still say."""
    if not members:
        return {}
    rows = db.session.execute(
        select(PortalSession.email, func.max(PortalSession.seen_at))
        .where(
            PortalSession.email.in_([each.email for each in members]),
            PortalSession.workspace_id.in_({each.workspace_id for each in members}),
        )
        .group_by(PortalSession.email)
    )
    return {row[0]: row[1] for row in rows}


def end_at(session: Session, email: str, workspace_id: int) -> int:
    """Sign an address out of a workspace, as part of what the caller does; returns of how many browsers."""
    ended = session.execute(
        delete(PortalSession).where(PortalSession.email == email, PortalSession.workspace_id == workspace_id)
    )
    return int(ended.rowcount)  # type: ignore[attr-defined]

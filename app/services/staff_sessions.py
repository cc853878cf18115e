"""Signing in, and the sessions of those who did: two hours idle, twelve at most, revocable at once."""

from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session, joinedload

from app import clock
from app.database import transaction
from app.errors import Refused
from app.extensions import db
from app.i18n import _
from app.models import Staff, StaffSession
from app.services import addresses, audit, counters, limits, passwords, staff_passwords
from app.services.audit import Actor
from app.services.staff_passwords import Proven
from app.tenancy import across_tenants, acting_for

IDLE, LONGEST = timedelta(hours=2), timedelta(hours=12)
TOUCH = timedelta(minutes=1)  # how exactly the last sign of life is kept
MOST = 20  # sessions a person has at a time; the oldest give way
WINDOW = timedelta(minutes=15)
TRIES, TRIES_PER_VISITOR, TRIES_PER_ACCOUNT = 10, 50, 200
FAMILIAR = timedelta(days=30)
NO_LIMIT = 2**31 - 1


def authenticate(email: str, password: str) -> Proven:
    """The person who signs in with these; Refused in the same words and the same time whatever is wrong; RateLimited."""
    at = clock.now()
    address = addresses.normalise(email)
    _spend_try(address, at)
    with across_tenants("whoever signs in is of no tenant yet"):
        person = db.session.scalar(select(Staff).where(Staff.email == address).options(joinedload(Staff.agency)))
        known = Proven(person, person.password_hash) if person else None
        if passwords.matches(known.stored if known else None, password) and known and _may_enter(known, at):
            return staff_passwords.rehash(known, password) if passwords.is_outdated(known.stored) else known
        _note_failure(address, at)
    raise Refused(_("This e-mail address and password do not match."))


def _spend_try(address: str, at: datetime) -> None:
    """Count a try by visitor and account together, so that nobody's wrong ones shut another out.

    What all visitors spend on an account is limited too, but not for one who signed in to it lately.
    """
    visitor, account = limits.visitor(), limits.digest(address)
    limits.spend(f"sign-in from {visitor}", at=at, window=WINDOW, limit=TRIES_PER_VISITOR)
    limits.spend(f"sign-in as {account} from {visitor}", at=at, window=WINDOW, limit=TRIES)
    if not counters.count(_familiar(address), at=at, window=FAMILIAR):
        limits.spend(f"sign-in as {account}", at=at, window=WINDOW, limit=TRIES_PER_ACCOUNT)


def _familiar(address: str) -> str:
    """The counter that says whether the visitor has signed in as this account."""
    return f"signed in as {limits.digest(address)} from {limits.visitor()}"


def _may_enter(known: Proven, at: datetime) -> bool:
    return known.person.disabled_at is None and not passwords.is_lapsed(known.stored, at)


def _note_failure(address: str, at: datetime) -> None:
    """Read, write one row and commit in either case, so that the time does not tell which it was."""
    with transaction() as session:
        person = session.scalar(select(Staff).where(Staff.email == address))
        if person:
            audit.record("staff.sign_in_failed", person, by=Actor("anonymous", address), at=at)
        else:
            counters.hit("sign-in as nobody", at=at, window=timedelta(days=1), limit=NO_LIMIT)


def start(proven: Proven, *, id_hash: bytes, user_agent: str = "", replacing: bytes | None = None) -> None:
    """Begin a session under the hash of a fresh id, and end the one that this browser had.

    Conflict if the password that was proven is not theirs any more: a reset ends this sign-in like all others.
    """
    at, person = clock.now(), proven.person
    with acting_for(person.agency_id), transaction() as session:
        if session.scalar(select(Staff.id).where(proven.holds).with_for_update(read=True)) is None:
            raise staff_passwords.outdated()
        if replacing:
            session.execute(delete(StaffSession).where(StaffSession.id_hash == replacing))
        _make_room(session, person, at)
        session.add(
            StaffSession(
                agency_id=person.agency_id,
                id_hash=id_hash,
                staff_id=person.id,
                created_at=at,
                seen_at=at,
                expires_at=at + LONGEST,
                address=session.info.get("address"),
                user_agent=user_agent[:255],
            )
        )
        counters.hit(_familiar(person.email), at=at, window=FAMILIAR, limit=1)
        audit.record("staff.signed_in", person, by=person, at=at)
        session.flush()


def _make_room(session: Session, person: Staff, at: datetime) -> None:
    """Drop a person's sessions that are over, and the oldest of those beyond the number that they may have."""
    own = StaffSession.staff_id == person.id
    over = or_(StaffSession.expires_at <= at, StaffSession.seen_at <= at - IDLE)
    session.execute(delete(StaffSession).where(own, over))
    kept = select(StaffSession.id).where(own).order_by(StaffSession.seen_at.desc()).limit(MOST - 1)
    session.execute(delete(StaffSession).where(own, StaffSession.id.not_in(kept)))


def resume(id_hash: bytes, *, is_poll: bool = False) -> StaffSession | None:
    """The live session of that id, with its person and agency; a poll is no sign of life."""
    at = clock.now()
    with across_tenants("a cookie does not say of which agency it is"):
        found = db.session.scalar(
            select(StaffSession)
            .where(StaffSession.id_hash == id_hash)
            .options(joinedload(StaffSession.staff).joinedload(Staff.agency))
        )
        if found is None or not is_live(found, at):
            return None
        if not is_poll and at - found.seen_at >= TOUCH:
            with transaction() as session:
                session.execute(
                    update(StaffSession)
                    .where(StaffSession.id == found.id, StaffSession.seen_at < at)
                    .values(seen_at=at)
                )
        return found


def is_live(found: StaffSession, at: datetime) -> bool:
    """Whether a session still counts: neither idle for long nor too old, and its person not disabled."""
    return found.staff.disabled_at is None and found.expires_at > at and found.seen_at + IDLE > at


def of(person: Staff) -> list[StaffSession]:
    """A person's live sessions, latest first; there are never more than MOST."""
    at = clock.now()
    return list(
        db.session.scalars(
            select(StaffSession)
            .where(StaffSession.staff_id == person.id, StaffSession.expires_at > at, StaffSession.seen_at > at - IDLE)
            .order_by(StaffSession.seen_at.desc(), StaffSession.id.desc())
        )
    )


def end(person: Staff, id_hash: bytes) -> None:
    """Sign out of one browser."""
    at = clock.now()
    with transaction() as session:
        ended = session.execute(
            delete(StaffSession).where(StaffSession.staff_id == person.id, StaffSession.id_hash == id_hash)
        )
        if ended.rowcount:  # type: ignore[attr-defined]
            audit.record("staff.signed_out", person, by=person, at=at)


def end_all(person: Staff) -> None:
    """Sign out of every browser, this one too."""
    at = clock.now()
    with transaction() as session:
        ended = session.execute(delete(StaffSession).where(StaffSession.staff_id == person.id))
        if count := ended.rowcount:  # type: ignore[attr-defined]
            audit.record("staff.signed_out_everywhere", person, by=person, at=at, sessions=count)

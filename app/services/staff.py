"""The agency's own people: who they are, what they may do, and that there is always an owner."""

from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app import clock
from app.database import lock, transaction
from app.errors import Conflict, Forbidden, NotFound, Refused
from app.extensions import db
from app.i18n import _, lazy_gettext
from app.models import Agency, Role, Staff, StaffSession
from app.services import addresses, audit, counters, paging, passwords
from app.services.paging import Page
from app.vault import Masked

ADDRESS_TAKEN = lazy_gettext("Somebody signs in with this address already.")


def page(agency: Agency, *, after: str | None = None, before: str | None = None) -> Page[Staff]:
    """The people of an agency, newest first."""
    everybody = select(Staff).where(Staff.agency_id == agency.id)
    return paging.page(everybody, Staff.created_at, after=after, before=before)


def get(agency: Agency, public_id: str) -> Staff:
    """The agency's person of that id; NotFound."""
    found = db.session.scalar(select(Staff).where(Staff.agency_id == agency.id, Staff.public_id == public_id))
    if found is None:
        raise NotFound
    return found


def is_one(agency_id: int, email: str) -> bool:
    """Whether an address is of a person of the agency, who may sign in."""
    theirs = (Staff.agency_id == agency_id, Staff.email == email, Staff.disabled_at.is_(None))
    return db.session.scalar(select(Staff.id).where(*theirs)) is not None


def was_ever(agency_id: int, email: str) -> bool:
    """Whether an address is of a person of the agency, be it that they may not sign in any more."""
    return db.session.scalar(select(Staff.id).where(Staff.agency_id == agency_id, Staff.email == email)) is not None


def may_change(by: Staff, person: Staff) -> bool:
    """Whether one may change the other's role or access: nobody their own, and only owners an owner's."""
    return by.manages and by.id != person.id and (by.role is Role.OWNER or person.role is not Role.OWNER)


def roles_for(by: Staff) -> list[Role]:
    """The roles that they may give."""
    return [role for role in (Role.MEMBER, Role.ADMIN, Role.OWNER) if role is not Role.OWNER or by.role is Role.OWNER]


def add(agency: Agency, *, name: str, email: str, role: Role, by: Staff) -> tuple[Staff, Masked]:
    """Add a person, who signs in with the one-time password that is returned; it is stored as a hash alone."""
    at = clock.now()
    name, email = addresses.clean_name(name), addresses.normalise(email)
    _check_role(role, by)
    password, stored = passwords.new_one_time(at)
    try:
        with transaction() as session:
            person = Staff(agency_id=agency.id, email=email, name=name, role=role, password_hash=stored, created_at=at)
            session.add(person)
            session.flush()
            audit.record("staff.added", person, by=by, at=at, email=email, role=role.value)
    except IntegrityError:
        raise Refused(str(ADDRESS_TAKEN), field="email") from None
    return person, password


def change_role(agency: Agency, public_id: str, *, role: Role, by: Staff) -> None:
    """Give a person another role; refused if it would leave the agency without an owner."""
    at = clock.now()
    with transaction() as session:
        person = _locked(session, agency, public_id, by=by)
        _check_role(role, by)
        before = person.role
        if role is before:
            return
        if role is not Role.OWNER:
            _keep_an_owner(session, person)
        person.role = role
        audit.record("staff.role_changed", person, by=by, at=at, before=before.value, after=role.value)


def disable(agency: Agency, public_id: str, *, by: Staff) -> None:
    """Take a person's access away and end their sessions; what they did stays in the audit trail."""
    at = clock.now()
    with transaction() as session:
        person = _locked(session, agency, public_id, by=by)
        if person.disabled_at:
            raise Conflict(_("This person's access is disabled already."))
        _keep_an_owner(session, person)
        person.disabled_at = at
        end_sessions(session, person)
        audit.record("staff.disabled", person, by=by, at=at)


def enable(agency: Agency, public_id: str, *, by: Staff) -> Masked:
    """Give a disabled person their access back, with a new one-time password."""
    return _renew(agency, public_id, act="staff.enabled", by=by)


def renew_password(agency: Agency, public_id: str, *, by: Staff, form: str = "") -> Masked:
    """Replace the password of a person who can't sign in by a one-time one, once for each form, and end their sessions."""
    return _renew(agency, public_id, act="staff.password_renewed", by=by, form=form)


def _renew(agency: Agency, public_id: str, *, act: str, by: Staff, form: str = "") -> Masked:
    at = clock.now()
    password, stored = passwords.new_one_time(at)
    enables = act == "staff.enabled"
    with transaction() as session:
        counters.once(form, at=at)
        person = _locked(session, agency, public_id, by=by)
        if bool(person.disabled_at) is not enables:
            raise Conflict(_("Somebody else has changed this person meanwhile."))
        person.password_hash, person.disabled_at = stored, None
        end_sessions(session, person)
        audit.record(act, person, by=by, at=at)
    return password


def rename(person: Staff, name: str) -> None:
    """Change one's own name, which colleagues and the audit trail show."""
    at, name = clock.now(), addresses.clean_name(name)
    with transaction():
        lock(person, "name")
        if name != person.name:
            person.name = name
            audit.record("staff.renamed", person, by=person, at=at, name=name)


def _check_role(role: Role, by: Staff) -> None:
    if role not in roles_for(by):
        raise Refused(_("Only an owner can make somebody an owner."), field="role")


def _locked(session: Session, agency: Agency, public_id: str, *, by: Staff) -> Staff:
    """The person to change. Changes of one agency's people wait for each other, so that two owners can't unmake each other."""
    session.execute(select(Agency.id).where(Agency.id == agency.id).with_for_update(key_share=True))
    session.refresh(by)
    person = get(agency, public_id)
    if by.disabled_at or not may_change(by, person):
        raise Forbidden(_("You can't change this person: only owners change owners, and nobody themselves."))
    return person


def _keep_an_owner(session: Session, person: Staff) -> None:
    others = session.scalar(
        select(func.count())
        .select_from(Staff)
        .where(
            Staff.agency_id == person.agency_id,
            Staff.role == Role.OWNER,
            Staff.disabled_at.is_(None),
            Staff.id != person.id,
        )
    )
    if person.role is Role.OWNER and not others:
        raise Conflict(_("An agency needs an owner: make somebody else an owner first."))


def end_sessions(session: Session, person: Staff) -> int:
    """Sign a person out everywhere, as part of what their caller does; returns of how many browsers."""
    ended = session.execute(delete(StaffSession).where(StaffSession.staff_id == person.id))
    return int(ended.rowcount)  # type: ignore[attr-defined]


def last_seen(people: list[Staff]) -> dict[int, datetime]:
    """When each was last active, by id, as far as their sessions still say."""
    rows = db.session.execute(
        select(StaffSession.staff_id, func.max(StaffSession.seen_at))
        .where(StaffSession.staff_id.in_([person.id for person in people]))
        .group_by(StaffSession.staff_id)
    )
    return {row[0]: row[1] for row in rows}

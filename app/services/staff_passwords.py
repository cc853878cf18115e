"""The passwords of staff: chosen anew by themselves, or by whoever runs the server."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, select, update

from app import clock
from app.database import transaction
from app.errors import Conflict, NotFound, Refused
from app.i18n import _
from app.models import Staff
from app.services import addresses, audit, limits, passwords, staff
from app.services.audit import SYSTEM
from app.tenancy import across_tenants

WINDOW, TRIES = timedelta(minutes=15), 10


@dataclass(frozen=True)
class Proven:
    """A person, and the stored password that they have just shown to know: worth nothing once another is stored."""

    person: Staff
    stored: str = field(repr=False)

    @property
    def holds(self) -> ColumnElement[bool]:
        """That the person still has this password, and access."""
        same = (Staff.id == self.person.id) & (Staff.password_hash == self.stored)
        return same & Staff.disabled_at.is_(None)


def outdated() -> Conflict:
    """What is said to somebody whose proof is worth nothing any more."""
    return Conflict(_("Your password was changed meanwhile. Sign in with the new one."))


def change(person: Staff, *, current: str, new: str) -> Proven:
    """Change one's own password and end all of one's sessions; the caller starts a fresh one. Refused, Conflict."""
    at = clock.now()
    limits.spend(f"password of {person.public_id}", at=at, window=WINDOW, limit=TRIES)
    known = Proven(person, person.password_hash)
    if not passwords.matches(known.stored, current):
        raise Refused(_("This is not your current password."), field="current")
    return _replaced(known, new, at)


def choose_first(person: Staff, new: str) -> Proven:
    """Set one's own password in place of a one-time one, and end all of one's sessions. Refused, Conflict."""
    known = Proven(person, person.password_hash)
    if not passwords.is_one_time(known.stored):
        raise Conflict(_("You have chosen your password already. Change it on your account page."))
    return _replaced(known, new, clock.now())


def _replaced(known: Proven, new: str, at: datetime) -> Proven:
    """Store a new password in place of the one that is known, and no other: an admin's reset stands."""
    passwords.check(new, field="new")
    if passwords.matches(known.stored, new):
        raise Refused(_("This is the password that you have now."), field="new")
    stored = passwords.hashed(new)
    with transaction() as session:
        done = session.execute(update(Staff).where(known.holds).values(password_hash=stored))
        if not done.rowcount:  # type: ignore[attr-defined]
            raise outdated()
        staff.end_sessions(session, known.person)
        audit.record("staff.password_changed", known.person, by=known.person, at=at)
    return Proven(known.person, stored)


def rehash(known: Proven, password: str) -> Proven:
    """Store the same password under the parameters in force, unless it was changed meanwhile: then that proves nothing."""
    stored = passwords.hashed(password)
    with transaction() as session:
        session.execute(update(Staff).where(known.holds).values(password_hash=stored))
    return Proven(known.person, stored)


def reset(email: str, new: str) -> tuple[Staff, int]:
    """Give whoever signs in with this address another password, on behalf of whoever runs the server.

    Returns the person, and how many of their sessions it ended. NotFound, Refused, Conflict for the disabled.
    """
    at, address = clock.now(), addresses.normalise(email)
    passwords.check(new)
    stored = passwords.hashed(new)
    with across_tenants("whoever runs the server is of no agency"), transaction() as session:
        person = session.scalar(select(Staff).where(Staff.email == address))
        if person is None:
            raise NotFound(_("Nobody signs in with %(email)s.", email=address))
        if person.disabled_at:
            raise Conflict(
                _("The access of %(email)s is disabled. An owner can enable it under People.", email=address)
            )
        person.password_hash = stored
        ended = staff.end_sessions(session, person)
        audit.record("staff.password_renewed", person, by=SYSTEM, at=at)
    return person, ended

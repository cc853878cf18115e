"""Sign-ins to the portal that failed, in the trails of the agencies whose client the address is.

Written when the answer has been sent: until then nothing depends on whether the address is known.
"""

from sqlalchemy import ColumnElement, func, select

from app import clock
from app.database import transaction
from app.extensions import db
from app.models import PortalCode, Workspace
from app.services import audit, counters, portal_codes, portal_places
from app.services.audit import Actor, Subject
from app.tenancy import across_tenants, acting_for

MOST_TOLD = 5  # agencies that learn of one failure


def note_code(public_id: str) -> None:
    """Record that what was typed for this code was not it."""
    _note(PortalCode.public_id == public_id, "code")


def note_button(button: str) -> None:
    """Record that a button was pressed where it does not work; nothing for one that never was."""
    _note(PortalCode.button_hash == portal_codes.digest(button), "button")


def _note(which: ColumnElement[bool], how: str) -> None:
    """Record it as often as a code may be tried, at each agency that the sign-in was for."""
    at = clock.now()
    with transaction() as session:
        row = session.scalar(select(PortalCode).where(which, PortalCode.expires_at > at))
        if row is None:
            return
        limit = portal_codes.TRIES
        if not counters.hit(f"portal failures of {row.public_id}", at=at, window=counters.DAY, limit=limit):
            return
        for subject, agency_id in _places(row):
            with acting_for(agency_id):
                audit.record("portal.sign_in_failed", subject, by=Actor("anonymous", row.email), at=at, how=how)


def _places(row: PortalCode) -> list[tuple[Subject, int]]:
    """The first workspace that the address may enter at each agency: an agency hears of its own client alone."""
    with across_tenants("one address may be a client of several agencies"):
        first = (
            select(func.min(Workspace.id))
            .where(Workspace.id.in_(portal_places.of_address(row.email)), portal_places.within(row.agency_id))
            .group_by(Workspace.agency_id)
            .limit(MOST_TOLD)
        )
        found = select(Workspace.public_id, Workspace.id, Workspace.agency_id).where(
            Workspace.id.in_(db.session.scalars(first).all())
        )
        return [(Subject("workspace", each.public_id, each.id), each.agency_id) for each in db.session.execute(found)]

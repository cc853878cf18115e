"""Where one goes who is signed in: on to the page that one came for, in the workspace that it is of."""

from flask import request, url_for

from app import clock
from app.models import Agency
from app.services import portal_places, portal_sessions, portal_visitors
from app.services.portal_visitors import Guest
from app.web import destinations

WORKFLOW = "show_workflow"


def is_in(id_hash: bytes, agency: Agency | None = None) -> bool:
    """Whether somebody is signed in under this session, at the agency whose door it is; takes them to their workspace."""
    at = clock.now()
    guest = portal_visitors.resume(id_hash, at=at)
    if guest is None:
        return False
    if _changes_over(guest):
        return True
    visitor = portal_visitors.enter(id_hash, at=at)
    return visitor is not None and (agency is None or agency.id == visitor.agency.id)


def _changes_over(guest: Guest) -> bool:
    """Go on in the workspace of the workflow that one came for, where one may be there."""
    name, _dot, workflow_id = (request.args.get("to") or "").partition(".")
    place = portal_places.of_workflow(guest.email, guest.agency_id, workflow_id) if name == WORKFLOW else None
    if place is not None:
        portal_sessions.pick(guest, place)
    return place is not None


def wanted() -> str:
    """The address of the page that one came for."""
    return destinations.url_of(request.args.get("to")) or url_for("portal.show_connections")

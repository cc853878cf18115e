"""Who may enter the portal: whoever is signed in, where they are a member or own a connection."""

from datetime import datetime

from flask import Response, g, make_response, request, url_for
from flask.typing import ResponseReturnValue

from app import clock
from app.errors import NotFound
from app.i18n import _
from app.services import agencies, portal_sessions, portal_visitors
from app.services.portal_visitors import Guest, Visitor
from app.tenancy import enter_tenant
from app.web import destinations
from app.web.htmx import go, is_poll
from app.web.sessions import current_session, delete_cookie, get_cookie, set_cookie
from app.web.toasts import toast

WAS_IN = "gh_was_in"  # a cookie that says nothing but that
SIGNING_IN = ("sign_in", "ask_for_code", "show_code", "enter_code", "show_button", "press_button")
ONES_OWN = ("show_workspaces", "pick_workspace", "show_sessions", "end_session", "sign_out_everywhere", "sign_out")
OPEN, WITHOUT_PLACE = (frozenset(f"portal.{name}" for name in names) for names in (SIGNING_IN, ONES_OWN))


def admit() -> ResponseReturnValue | None:
    """Let nobody in but those whose session lives and who may be where they are; they reach that workspace alone."""
    if request.endpoint in OPEN:
        return None
    browser, at = current_session(), clock.now()
    if browser.is_new:
        return ask_to_sign_in()
    visitor = portal_visitors.enter(browser.id_hash, at=at, is_poll=is_poll())
    if visitor is None:
        return _without_place(browser.id_hash, at)
    _let_in(visitor)
    return None


def _let_in(visitor: Visitor) -> None:
    g.visitor, g.guest, g.agency = visitor, visitor.guest, visitor.agency
    enter_tenant(visitor.agency.id, visitor.workspace_id)
    if not all(str(value).isascii() and str(value).isprintable() for value in (request.view_args or {}).values()):
        raise NotFound


def _without_place(id_hash: bytes, at: datetime) -> ResponseReturnValue | None:
    """Let one who is signed in have a place: the only one they have, or the one they pick; sign out who has none."""
    guest = portal_visitors.resume(id_hash, at=at, is_poll=is_poll())
    if guest is None:
        return ask_to_sign_in()
    if request.endpoint in WITHOUT_PLACE:
        g.guest = guest
        return None
    is_placed = portal_sessions.pick_only(guest)
    visitor = portal_visitors.enter(id_hash, at=at) if is_placed else None
    if visitor is not None:
        _let_in(visitor)
        return None
    if is_placed is False:
        return go(url_for("portal.show_workspaces", to=destinations.wanted()))
    return _sign_out(guest)


def remember(response: Response, *, is_in: bool) -> Response:
    """Have the browser remember that somebody signed in with it, so that they are told when that has ended."""
    set_cookie(response, WAS_IN, "1") if is_in else delete_cookie(response, WAS_IN)
    return response


def _sign_out(guest: Guest) -> ResponseReturnValue:
    agency = agencies.of_id(guest.agency_id)
    portal_sessions.end(guest)
    current_session().end()
    toast(_("You have no access here any more"), _("Ask the agency if you think that you should."), kind="error")
    door = go(url_for("portal.sign_in", agency_slug=agency.slug if agency else None))
    return remember(make_response(door), is_in=False)


def ask_to_sign_in() -> ResponseReturnValue:
    """Lead to the sign-in page of the agency where this browser was before, which leads back to where one was."""
    browser = current_session()
    slug = None if browser.is_new else portal_sessions.slug_before(browser.id_hash)
    was_in = get_cookie(WAS_IN) is not None
    if was_in:
        toast(_("You were signed out"), _("Sign in again to go on."))
    door = make_response(go(url_for("portal.sign_in", agency_slug=slug, to=destinations.wanted())))
    return remember(door, is_in=False) if was_in else door

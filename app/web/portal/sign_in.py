from flask import g, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from app.i18n import _
from app.services import agencies, portal_sessions
from app.web.portal import bp
from app.web.sessions import current_session
from app.web.toasts import toast


@bp.get("/login")
def login() -> ResponseReturnValue:
    return _closed(None)


@bp.get("/login/<agency_slug>")
def sign_in(agency_slug: str) -> ResponseReturnValue:
    return _closed(agency_slug)


@bp.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    portal_sessions.end(g.guest)
    current_session().end()
    toast(_("You are signed out"))
    return redirect(url_for("portal.login"), 303)


@bp.get("/workspaces")
def show_workspaces() -> ResponseReturnValue:
    return _closed(None)


@bp.get("/sessions")
def show_sessions() -> ResponseReturnValue:
    return _closed(None)


def _closed(slug: str | None) -> ResponseReturnValue:
    """The page in the brand of the agency that is named, or of the only one there is."""
    g.agency = agencies.by_slug(slug) if slug else agencies.only_one()
    return render_template("portal/closed/show.html")

from flask import g, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from app import clock
from app.i18n import _
from app.services import portal_sessions
from app.web.browsers import browser_name
from app.web.portal import bp
from app.web.portal.sign_in import left
from app.web.toasts import toast


@bp.get("/sessions")
def show_sessions() -> ResponseReturnValue:
    return render_template(
        "portal/sessions/index.html",
        sessions=portal_sessions.of(g.guest, at=clock.now()),
        this_session=g.guest.session_id,
        browser_name=browser_name,
    )


@bp.post("/sessions/<session_id>/end")
def end_session(session_id: str) -> ResponseReturnValue:
    if portal_sessions.end(g.guest, session_id):
        return left(_("You are signed out"))
    toast(_("Signed out that browser"))
    return redirect(url_for(".show_sessions"), 303)


@bp.post("/sessions/end-all")
def sign_out_everywhere() -> ResponseReturnValue:
    portal_sessions.end_all(g.guest)
    return left(_("You are signed out everywhere"))

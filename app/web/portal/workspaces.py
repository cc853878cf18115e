from flask import g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.services import portal_places, portal_sessions
from app.web import destinations
from app.web.portal import bp


@bp.get("/workspaces")
def show_workspaces() -> ResponseReturnValue:
    places = portal_places.page(
        g.guest.email, g.guest.agency_id, after=request.args.get("after"), before=request.args.get("before")
    )
    return render_template("portal/workspaces/index.html", places=places, to=request.args.get("to"))


@bp.post("/workspaces/<workspace_id>")
def pick_workspace(workspace_id: str) -> ResponseReturnValue:
    portal_sessions.pick(g.guest, workspace_id)
    return redirect(destinations.url_of(request.args.get("to")) or url_for(".show_connections"), 303)

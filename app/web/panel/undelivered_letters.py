"""“Try again” for letters that could not be delivered: invitations, and word of connections that broke."""

from flask import g, url_for
from flask.typing import ResponseReturnValue

from app.i18n import _
from app.services import connections, members, undelivered_letters, workspaces
from app.web import destinations
from app.web.htmx import go
from app.web.panel import bp
from app.web.toasts import toast


@bp.post("/workspaces/<workspace_id>/members/<member_id>/try-again")
def try_invitation_again(workspace_id: str, member_id: str) -> ResponseReturnValue:
    member = members.get(workspaces.get(g.agency, workspace_id), member_id)
    undelivered_letters.try_invitation_again(member, by=g.staff)
    return _going(member.email)


@bp.post("/connections/<connection_id>/try-mail-again")
def try_notice_again(connection_id: str) -> ResponseReturnValue:
    connection = connections.get(g.agency, connection_id)
    undelivered_letters.try_notice_again(connection, agency=g.agency, by=g.staff)
    return _going(connection.name)


def _going(what: str) -> ResponseReturnValue:
    """Back to the page that it was asked for on."""
    toast(_("Trying again"), what, kind="queued")
    return go(destinations.url_of(destinations.came_from()) or url_for(".show_home"))

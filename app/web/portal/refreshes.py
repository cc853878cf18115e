"""“Refresh”: the owner of a connection has its credential renewed and tested now."""

from flask import g
from flask.typing import ResponseReturnValue

from app.errors import Conflict, ProviderFailed, RateLimited, Refused
from app.i18n import _
from app.services import credentials, portal_connections
from app.services.freshness import UnderWay
from app.web.portal import bp
from app.web.portal.connections import back, visiting
from app.web.toasts import toast


@bp.post("/connections/<connection_id>/refresh")
def refresh_connection(connection_id: str) -> ResponseReturnValue:
    held = portal_connections.get(g.visitor, connection_id)
    name = held.connection.name
    try:
        toast(_("%(name)s is refreshed", name=name), credentials.refresh_now(held.connection, by=visiting()))
    except (UnderWay, credentials.Untested) as nothing:
        toast(name, str(nothing), kind="note")
    except (Conflict, ProviderFailed, RateLimited, Refused) as error:
        toast(_("%(name)s was not refreshed", name=name), str(error), kind="error")
    return back()

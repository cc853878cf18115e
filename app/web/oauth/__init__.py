"""Where providers send the browser back: one address for each OAuth client."""

from flask import Blueprint, make_response, redirect, request, url_for
from flask.typing import ResponseReturnValue

from app.i18n import _
from app.services import callbacks
from app.web.errors import link_cannot_be_opened
from app.web.sessions import Surface, delete_cookie, get_cookie, session_of
from app.web.toasts import toast

bp = Blueprint("oauth", __name__)


@bp.get("/oauth/callback/<client_key>", provide_automatic_options=False)
def callback(client_key: str) -> ResponseReturnValue:
    if request.method != "GET":
        return link_cannot_be_opened()
    landing = callbacks.finish(
        client_key,
        request.args.items(multi=True),
        cookie=get_cookie,
        session_hash=session_of(Surface.INTAKE).id_hash,
    )
    # point: callback.settled
    if landing is None:
        return link_cannot_be_opened()
    if landing.withdrawn:
        title = _("%(app)s is no longer asked for", app=landing.withdrawn)
        toast(title, _("Nothing was connected, and the access is given back."), kind="error")
    address = url_for("client.show_bundle", bundle_id=landing.bundle_id, _anchor=f"app-{landing.request_id}")
    response = make_response(redirect(address, 303))
    response.headers["Referrer-Policy"] = "no-referrer"
    delete_cookie(response, landing.cookie)
    # point: callback.answered
    return response

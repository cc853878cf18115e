"""Where providers send the browser back: one address for each OAuth client."""

from flask import Blueprint, make_response, redirect, request, url_for
from flask.typing import ResponseReturnValue

from app.i18n import _, list_of
from app.models import FlowSurface, Notice
from app.services import callbacks
from app.services.callbacks import Landing
from app.web.errors import link_cannot_be_opened
from app.web.sessions import Surface, delete_cookie, get_cookie, session_of
from app.web.toasts import toast

bp = Blueprint("oauth", __name__)
FEW, LONGEST = 3, 80  # permissions that are named, and letters of an account: it has to fit a note
SESSIONS = {FlowSurface.INTAKE: Surface.INTAKE, FlowSurface.PORTAL: Surface.PORTAL}


@bp.get("/oauth/callback/<client_key>", provide_automatic_options=False)
def callback(client_key: str) -> ResponseReturnValue:
    if request.method != "GET":
        return link_cannot_be_opened()
    landing = callbacks.finish(
        client_key,
        request.args.items(multi=True),
        cookie=get_cookie,
        session_hash=lambda surface: session_of(SESSIONS[surface]).id_hash,
    )
    # point: callback.settled
    if landing is None:
        return link_cannot_be_opened()
    if landing.request_id is None:
        toast(*renewed(landing), kind="done" if landing.is_connected else "error")
    elif landing.is_withdrawn:
        title = _("%(app)s is no longer asked for", app=landing.app)
        toast(title, _("Nothing was connected, and the access is given back."), kind="error")
    response = make_response(redirect(_address(landing), 303))
    response.headers["Referrer-Policy"] = "no-referrer"
    delete_cookie(response, landing.cookie)
    # point: callback.answered
    return response


def _address(landing: Landing) -> str:
    """At the card, which says what came of it; what no card says stands on top of the page."""
    card = None if landing.is_withdrawn else f"app-{landing.request_id}"
    if landing.surface is FlowSurface.INTAKE:
        return url_for("client.show_bundle", bundle_id=landing.bundle_id, _anchor=card)
    if landing.workflow_id:
        return url_for("portal.show_workflow", workflow_id=landing.workflow_id, _anchor=card)
    return url_for("portal.show_connections")


def renewed(landing: Landing) -> tuple[str, str]:
    """What came of renewing a connection: in a few words, and in a sentence."""
    app = landing.app
    if landing.is_connected:
        return _("%(app)s is connected again", app=app), _("The workflows that use it go on.")
    causes: dict[str, str] = {
        Notice.DENIED: _("Access was not approved at %(app)s.", app=app),
        Notice.TIMEOUT: _("%(app)s could not be reached, or is busy.", app=app),
        Notice.EXPIRED: _("Signing in to %(app)s took longer than 15 minutes.", app=app),
        Notice.PARTIAL: _less_than_needed(landing),
        Notice.OTHER_ACCOUNT: _other_account(landing),
    }
    because = causes.get(landing.outcome, _("%(app)s answered with an error.", app=app))
    return _("%(app)s was not connected again", app=app), f"{because} {_('Nothing has changed; you can try again.')}"


def _less_than_needed(landing: Landing) -> str:
    more = len(landing.missing) - FEW
    if not landing.missing:
        return _(
            "%(app)s granted less than the workflows need, probably because a box was not ticked.", app=landing.app
        )
    return _(
        "%(app)s did not grant what the workflows need, probably because a box was not ticked: %(missing)s.",
        app=landing.app,
        missing=list_of(landing.missing[:FEW] + ((_("%(number)s more", number=more),) if more > 0 else ())),
    )


def _other_account(landing: Landing) -> str:
    if not landing.account or not landing.renews or landing.account == landing.renews:
        return _("You signed in to %(app)s with another account than this connection has.", app=landing.app)
    return _(
        "You signed in to %(app)s as %(other)s, and this connection is of %(account)s.",
        app=landing.app,
        other=_short(landing.account),
        account=_short(landing.renews),
    )


def _short(account: str) -> str:
    return account if len(account) <= LONGEST else f"{account[: LONGEST - 1]}…"

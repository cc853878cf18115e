"""`/connect/<bundle>`: the apps that a client is asked for, and what the client can do with each."""

from typing import Any

from flask import Response, g, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.errors import Conflict, NotFound, ProviderFailed, Refused
from app.models import Bundle
from app.services import connection_requests, flows, intake
from app.web.client import bp
from app.web.errors import on_domain_error
from app.web.htmx import fragment, hx_redirect, is_htmx
from app.web.sessions import current_session, set_cookie

FLOW_COOKIE_AGE = int(flows.LIFETIME.total_seconds())


@bp.get("/connect/<bundle_id>")
def show_bundle(bundle_id: str) -> ResponseReturnValue:
    return render_template("client/intake/show.html", **_page(bundle_id))


@bp.get("/connect/<bundle_id>/apps")
def show_apps(bundle_id: str) -> ResponseReturnValue:
    return fragment("client/intake/_intake.html", **_page(bundle_id))


@bp.post("/connect/<bundle_id>/requests/<request_id>/start")
def start_flow(bundle_id: str, request_id: str) -> ResponseReturnValue:
    if not g.intake.is_open:
        return _back(bundle_id)
    try:
        started = flows.start(g.intake, request_id, typed=request.form, session_hash=current_session().id_hash)
    except Conflict:
        return _back(bundle_id)
    except (Refused, ProviderFailed) as error:
        return _with_error(bundle_id, request_id, error)
    if is_htmx():
        response = hx_redirect(started.url)
    else:
        response = make_response(render_template("client/intake/leaving.html", app=started.app, url=started.url))
    set_cookie(response, started.cookie, started.secret, max_age=FLOW_COOKIE_AGE)
    return response


@bp.post("/connect/<bundle_id>/requests/<request_id>/decline")
def decline_request(bundle_id: str, request_id: str) -> ResponseReturnValue:
    if not g.intake.is_open:
        return _back(bundle_id)
    try:
        asked = connection_requests.in_bundle(g.intake.bundle, request_id)
        connection_requests.decline(asked, reason=request.form.get("reason", ""))
    except Conflict:
        return _back(bundle_id)
    except Refused as error:
        return _with_error(bundle_id, request_id, error)
    return _back(bundle_id)


@bp.post("/connect/<bundle_id>/requests/<request_id>/use")
def use_account(bundle_id: str, request_id: str) -> ResponseReturnValue:
    if g.intake.is_open:
        try:
            intake.use_offer(g.intake.bundle, request_id, request.form.get("connection", ""))
        except Conflict as error:
            return _with_error(bundle_id, request_id, error)
    return _back(bundle_id)


def _page(bundle_id: str) -> dict[str, Any]:
    """What the page shows: open, its cards; settled, what was connected."""
    bundle: Bundle = g.intake.bundle
    cards = intake.cards(bundle)
    done = sum(card.is_connected for card in cards)
    return {
        "agency_slug": g.agency.slug,
        "bundle": bundle,
        "bundle_id": bundle_id,
        "cards": cards,
        "done": done,
        "is_open": g.intake.is_open,
        "is_fragment": is_htmx(),
    }


def _with_error(bundle_id: str, request_id: str, error: Refused | ProviderFailed | Conflict) -> Response:
    """The same page with the error on its card, and all that was typed still there."""
    template = "client/intake/_intake.html" if is_htmx() else "client/intake/show.html"
    wrong = {"request_id": request_id, "field": getattr(error, "field", None), "text": str(error)}
    return make_response(render_template(template, **_page(bundle_id), wrong=wrong, typed=request.form), 422)


def _back(bundle_id: str) -> ResponseReturnValue:
    endpoint = ".show_apps" if is_htmx() else ".show_bundle"
    return redirect(url_for(endpoint, bundle_id=bundle_id), 303)


@bp.errorhandler(NotFound)
def show_as_it_is(error: NotFound) -> ResponseReturnValue:
    """Show the page as it now is to whoever pressed something on it that was asked of somebody else meanwhile."""
    bundle_id = (request.view_args or {}).get("bundle_id")
    came_from = request.headers.get("HX-Current-URL" if is_htmx() else "Referer", "").partition("#")[0]
    if (
        request.method != "POST"
        or not bundle_id
        or not came_from.endswith(url_for(".show_bundle", bundle_id=bundle_id))
    ):
        return on_domain_error(error)
    return _back(bundle_id)

from typing import Any

from flask import Response, g, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.i18n import _
from app.services import oauth_clients, own_clients, paging
from app.services.oauth_clients import AppState, Readiness
from app.web.htmx import fragment, go
from app.web.panel import bp
from app.web.panel.access import for_managers
from app.web.panel.forms import ClientForm
from app.web.toasts import toast

FILTERS = ("ready", "needs_client", "api_key")


@bp.get("/apps")
def show_apps() -> ResponseReturnValue:
    search, chosen = request.args.get("q", "").strip()[:80], request.args.get("state")
    states = list(oauth_clients.states(g.agency).values())
    found = [each for each in states if _fits(each, search, chosen)]
    page = paging.page_of(found, _key, after=request.args.get("after"), before=request.args.get("before"))
    return render_template(
        "panel/apps/index.html",
        page=page,
        search=search,
        chosen=chosen if chosen in FILTERS else None,
        ready=sum(each.ready for each in states),
        shared=[each for each in states if each.shared_redirect_uri],
    )


@bp.get("/apps/<app_key>")
def show_app(app_key: str) -> ResponseReturnValue:
    return _page(app_key, ClientForm(formdata=None), 200)


@bp.post("/apps/<app_key>/set-up")
@for_managers
def set_up_app(app_key: str) -> ResponseReturnValue:
    own_clients.draft(g.agency, app_key, by=g.staff)
    return redirect(url_for("panel.show_app", app_key=app_key), 303)


@bp.post("/apps/<app_key>")
@for_managers
def save_client(app_key: str) -> ResponseReturnValue:
    form = ClientForm()
    saved = form.does(
        lambda: own_clients.configure(
            g.agency,
            app_key,
            client_id=form.client_id.data,
            client_secret=form.client_secret.data or "",
            by=g.staff,
        )
    )
    if not saved:
        own_clients.draft(g.agency, app_key, by=g.staff)  # the page shows the redirect address beside what is wrong
        return _page(app_key, form, form.status)
    toast(_("%(app)s is ready", app=oauth_clients.state(g.agency, app_key).app.name))
    return redirect(url_for("panel.show_app", app_key=app_key), 303)


@bp.get("/apps/<app_key>/remove")
@for_managers
def confirm_client_removal(app_key: str) -> ResponseReturnValue:
    state = oauth_clients.state(g.agency, app_key)
    count = own_clients.connections_made_with(state.own) if state.own else 0
    return fragment("panel/apps/_remove.html", state=state, count=count)


@bp.post("/apps/<app_key>/remove")
@for_managers
def remove_client(app_key: str) -> ResponseReturnValue:
    own_clients.remove(g.agency, app_key, by=g.staff)
    toast(_("Removed the client"))
    return go(url_for("panel.show_app", app_key=app_key))


def _key(state: AppState) -> str:
    return state.app.key


def _fits(state: AppState, search: str, chosen: str | None) -> bool:
    text = search.casefold()
    if text not in state.app.name.casefold() and text not in state.app.category.casefold():
        return False
    kinds: dict[str | None, tuple[Readiness, ...]] = {
        "ready": (Readiness.OWN, Readiness.SHARED),
        "needs_client": (Readiness.NEEDS_CLIENT,),
        "api_key": (Readiness.API_KEY,),
    }
    return chosen not in kinds or state.readiness in kinds[chosen]


def _page(app_key: str, form: ClientForm, status: int) -> Response:
    state = oauth_clients.state(g.agency, app_key)
    context: dict[str, Any] = {"state": state, "app": state.app, "own": state.own, "form": form}
    return make_response(render_template("panel/apps/show.html", **context), status)

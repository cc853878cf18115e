from typing import Any

from flask import g, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app import clock
from app.errors import DomainError
from app.i18n import _
from app.models import Connection, Revocation
from app.services import (
    audit,
    confirmations,
    connection_events,
    connection_views,
    connections,
    credentials,
    mending_requests,
    revocations,
    scopes,
    usage,
)
from app.services.connection_views import Filters
from app.services.freshness import UnderWay
from app.services.slots import NeedsConfirmation
from app.web.htmx import fragment, go, is_htmx
from app.web.panel import bp
from app.web.panel.access import require_manager
from app.web.panel.forms import ConfirmForm, NameForm
from app.web.toasts import toast

CONNECTION = "/connections/<connection_id>"
LONGEST = 320


@bp.get("/connections")
def show_connections() -> ResponseReturnValue:
    filters, at = _filters(), clock.now()
    after, before = request.args.get("after"), request.args.get("before")
    context: dict[str, Any] = {
        "page": connection_views.page(g.agency, filters, at=at, after=after, before=before),
        "filters": filters,
        "address": _address(filters),
        "options": connection_views.options(g.agency),
    }
    if not is_htmx():
        return render_template("panel/connections/index.html", **context)
    response = fragment("panel/connections/_list.html", **context)
    response.headers["HX-Push-Url"] = url_for("panel.show_connections", **_address(filters))
    return response


@bp.get(CONNECTION)
def show_connection(connection_id: str) -> ResponseReturnValue:
    view = connection_views.get(g.agency, connection_id, at=clock.now())
    after, before = request.args.get("after"), request.args.get("before")
    events = connection_events.page(view.connection, after=after, before=before)
    return render_template(
        "panel/connections/show.html", view=view, events=events, may_change=_may_change(view.connection)
    )


@bp.get(f"{CONNECTION}/rename")
def edit_connection(connection_id: str) -> ResponseReturnValue:
    connection = _to_change(connection_id)
    return _rename_dialog(connection, NameForm(formdata=None, name=connection.name))


@bp.post(f"{CONNECTION}/rename")
def rename_connection(connection_id: str) -> ResponseReturnValue:
    connection, form = _to_change(connection_id), NameForm()
    if not form.does(lambda: connections.rename(connection, form.name.data, by=g.staff)):
        return _rename_dialog(connections.get(g.agency, connection_id), form, status=form.status)
    toast(_("Renamed to %(name)s", name=connection.name))
    return go(url_of(connection_id))


@bp.post(f"{CONNECTION}/refresh")
def refresh_connection(connection_id: str) -> ResponseReturnValue:
    connection = _to_change(connection_id)
    act, name = (credentials.test if connection.is_clients else credentials.refresh_now), connection.name
    try:
        toast(name, act(connection, by=audit.actor_of(g.staff)))
    except UnderWay as other:
        toast(name, str(other), kind="note")
    except credentials.Untested as nothing:
        toast(_("Not tested: %(name)s", name=name), str(nothing), kind="note")
    except DomainError as error:
        toast(name, str(error), kind="error")
    return go(url_of(connection_id))


@bp.get(f"{CONNECTION}/revoke")
def confirm_revocation(connection_id: str) -> ResponseReturnValue:
    connection = _to_change(connection_id)
    workflows = [each.name for each in revocations.affected(connection)]
    asked = mending_requests.standing([connection.id]).get(connection.id)
    withdrawn = asked if asked is not None and asked.status.live else None
    return fragment("panel/connections/_revoke.html", workflows=workflows, asked=withdrawn, **_ending(connection))


@bp.post(f"{CONNECTION}/revoke")
def revoke_connection(connection_id: str) -> ResponseReturnValue:
    connection = _to_change(connection_id)
    revocations.revoke(connection, by=g.staff)
    said = revocations.words(connection)
    toast(_("Revoked %(name)s", name=connection.name), said.text if said else "")
    return go(url_of(connection_id))


@bp.get(f"{CONNECTION}/delete")
def confirm_deletion(connection_id: str) -> ResponseReturnValue:
    connection = _to_change(connection_id)
    names = _used_by(connection)
    return _delete_dialog(connection, confirmations.in_use(names) if names else "")


@bp.post(f"{CONNECTION}/delete")
def delete_connection(connection_id: str) -> ResponseReturnValue:
    connection, form = _to_change(connection_id), ConfirmForm()
    name = connection.name
    try:
        revocations.delete(g.agency, connection_id, confirmed=form.confirmed.data, by=g.staff)
    except NeedsConfirmation as needed:
        return _delete_dialog(connections.get(g.agency, connection_id), str(needed))
    said = revocations.words(connection)
    toast(_("Deleted %(name)s", name=name), said.text if said else "")
    return go(url_for("panel.show_connections"))


def url_of(connection_id: str) -> str:
    """The address of a connection's page."""
    return url_for("panel.show_connection", connection_id=connection_id)


def _filters() -> Filters:
    names = {"search": "q", "workspace": "workspace", "app": "app", "status": "status", "owner": "owner"}
    return Filters(**{name: " ".join(request.args.get(key, "").split())[:LONGEST] for name, key in names.items()})


def _address(filters: Filters) -> dict[str, Any]:
    """What of the filters stands in an address: only what narrows something."""
    given = {
        "q": filters.search,
        "workspace": filters.workspace,
        "app": filters.app,
        "status": filters.status,
        "owner": filters.owner,
    }
    return {name: value for name, value in given.items() if value}


def _to_change(connection_id: str) -> Connection:
    """The connection, if this person may change it; NotFound, Forbidden."""
    connection = connections.get(g.agency, connection_id)
    if not _may_change(connection):
        require_manager()
    return connection


def _may_change(connection: Connection) -> bool:
    """Whether this person may: what is the whole agency's is for owners and admins."""
    return connection.workspace_id is not None or g.staff.manages


def _used_by(connection: Connection) -> list[str]:
    return [each.name for each in usage.workflows_using([connection.id]).get(connection.id, ())]


def _rename_dialog(connection: Connection, form: NameForm, *, status: int = 200) -> ResponseReturnValue:
    return fragment("panel/connections/_rename.html", status=status, connection=connection, form=form)


def _delete_dialog(connection: Connection, loses: str) -> ResponseReturnValue:
    return fragment("panel/connections/_delete.html", loses=loses, **_ending(connection))


def _ending(connection: Connection) -> dict[str, Any]:
    """What a dialog says that ends a connection: of which app, and whether the app is asked to."""
    asks_provider = revocations.standing_of(connection) is Revocation.PENDING
    return {"connection": connection, "app": scopes.app_of(connection), "asks_provider": asks_provider}

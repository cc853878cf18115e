"""`/portal/connections`: what waits for whoever is signed in, the connections that are theirs, and what they do with each."""

from typing import Any

from flask import g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app import clock
from app.errors import ProviderFailed, RateLimited
from app.i18n import _
from app.models import Revocation
from app.services import activity, connections, portal_connections, portal_requests, renewals, revocations
from app.services.audit import Actor
from app.services.portal_connections import Held
from app.web import cards
from app.web.forms import NAME, RuledForm, Text
from app.web.htmx import fragment, is_htmx
from app.web.portal import bp
from app.web.sessions import current_session
from app.web.toasts import toast


class NameForm(RuledForm):
    """What a connection is called."""

    name = Text(validators=[NAME])


@bp.get("/connections")
def show_connections() -> ResponseReturnValue:
    return render_template("portal/connections/index.html", **_outstanding(), **_listed(), **_latest())


@bp.get("/connections/outstanding")
def show_outstanding() -> ResponseReturnValue:
    return fragment("portal/connections/_outstanding.html", **_outstanding())


@bp.get("/connections/list")
def show_list() -> ResponseReturnValue:
    return fragment("portal/connections/_list.html", **_listed(), **_latest(), is_fragment=True)


@bp.get("/connections/activity")
def show_activity() -> ResponseReturnValue:
    page = activity.page(g.visitor, **_place("after", "before"))
    return render_template("portal/activity/index.html", activity=page)


@bp.post("/connections/<connection_id>/reconnect")
def reconnect(connection_id: str) -> ResponseReturnValue:
    held = portal_connections.get(g.visitor, connection_id)
    session_hash = current_session().id_hash
    try:
        started = renewals.start(held.connection, by=g.visitor.email, agency=g.agency, session_hash=session_hash)
    except (ProviderFailed, RateLimited) as error:
        toast(_("%(name)s was not reconnected", name=held.connection.name), str(error), kind="error")
        return back()
    return cards.leave(started)


@bp.get("/connections/<connection_id>/rename")
def edit_name(connection_id: str) -> ResponseReturnValue:
    held = portal_connections.get(g.visitor, connection_id)
    return render_template("portal/connections/rename.html", held=held, form=NameForm(name=held.connection.name))


@bp.post("/connections/<connection_id>/rename")
def rename_connection(connection_id: str) -> ResponseReturnValue:
    held = portal_connections.get(g.visitor, connection_id)
    form = NameForm()
    if not form.does(lambda: connections.rename(held.connection, form.name.data, by=visiting())):
        return render_template("portal/connections/rename.html", held=held, form=form), form.status
    toast(_("Renamed to %(name)s", name=held.connection.name))
    return back()


@bp.get("/connections/<connection_id>/revoke")
def confirm_revocation(connection_id: str) -> ResponseReturnValue:
    held = portal_connections.get(g.visitor, connection_id)
    if held.is_revoked:
        return back()
    asks_provider = revocations.standing_of(held.connection) is Revocation.PENDING
    return render_template("portal/connections/revoke.html", held=held, asks_provider=asks_provider)


@bp.post("/connections/<connection_id>/revoke")
def revoke_connection(connection_id: str) -> ResponseReturnValue:
    held = portal_connections.get(g.visitor, connection_id)
    revocations.revoke(held.connection, by=visiting())
    toast(_("%(name)s is revoked", name=held.connection.name), _said_of_revoking(held))
    return back()


def visiting() -> Actor:
    return Actor.client(g.visitor.email)


def _said_of_revoking(held: Held) -> str:
    """What came of it, unless that is yet to be seen: the row tells it as soon as it is, and a note never changes."""
    if held.connection.revocation is Revocation.PENDING:
        return _("It is not used any more. Its row says what comes of it at %(app)s.", app=held.app.name)
    said = revocations.words(held.connection)
    return said.text if said else ""


def back() -> ResponseReturnValue:
    """To the list as it is now; on a page of its own at the top, where it says what was done."""
    return redirect(url_for(".show_list" if is_htmx() else ".show_connections", **_place("after", "before")), 303)


def _place(*names: str) -> dict[str, Any]:
    """Which page of a list is asked for."""
    return {name: request.args[name] for name in names if name in request.args}


def _outstanding() -> dict[str, Any]:
    place = {name: request.args.get(f"asked-{name}") for name in ("after", "before")}
    return {"inbox": portal_requests.inbox(g.visitor, at=clock.now(), **place), "inbox_place": place}


def _latest() -> dict[str, Any]:
    return {"activity": activity.page(g.visitor, size=activity.FEW)}


def _listed() -> dict[str, Any]:
    place = _place("after", "before")
    return {"page": portal_connections.page(g.visitor, **place), "place": place}

"""`/portal/connections/workflows/<workflow>`: what one workflow asks of who is signed in, on the same cards as the branded page."""

from collections.abc import Sequence
from typing import Any

from flask import g, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app import clock
from app.errors import NotFound
from app.i18n import _
from app.prepared import Row
from app.services import handovers, intake, portal_requests
from app.services.intake import Card
from app.web import destinations
from app.web.cards import FRAGMENT, CardPage, add_card_acts
from app.web.htmx import fragment, go, is_htmx
from app.web.portal import bp
from app.web.portal.stale import show_as_it_is
from app.web.toasts import toast

ADDRESS = "/connections/workflows/<workflow_id>"


@bp.before_request
def find_intake() -> ResponseReturnValue | None:
    """Find what the workflow of the address asks of the visitor; its own page, where it is open still, leads to what does."""
    workflow_id = (request.view_args or {}).get("workflow_id")
    if workflow_id is None:
        return None
    try:
        g.intake = portal_requests.intake_for(g.visitor, workflow_id, at=clock.now())
    except NotFound:
        if destinations.came_from() != f"show_workflow.{workflow_id}" or not (is_htmx() or request.method == "POST"):
            raise
        toast(_("Nothing is asked of you there any more"), kind="error")
        return go(url_for(".show_connections"))
    return None


def _cards() -> list[Card]:
    return intake.cards(g.intake.bundle, workflow=g.intake.bundle.workflow_id)


def _around() -> dict[str, Any]:
    bundle = g.intake.bundle
    return {"missing": portal_requests.missing(bundle.workflow_id), "withdrawn": portal_requests.withdrawn(bundle)}


def _given() -> Sequence[Row]:
    return handovers.given(g.intake.bundle, workflow=g.intake.bundle.workflow_id)


PAGE = CardPage(".show_workflow", ".show_workflow_apps", "portal/workflows/show.html", _around, _cards, _given)


@bp.get(ADDRESS)
def show_workflow(workflow_id: str) -> ResponseReturnValue:
    del workflow_id
    return render_template(PAGE.template, **PAGE.shown())


@bp.get(f"{ADDRESS}/apps")
def show_workflow_apps(workflow_id: str) -> ResponseReturnValue:
    del workflow_id
    return fragment(FRAGMENT, **PAGE.shown())


add_card_acts(bp, ADDRESS, PAGE, otherwise=show_as_it_is)

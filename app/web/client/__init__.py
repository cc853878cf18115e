"""The branded page: what a link opens, without account or login."""

from typing import Any

from flask import Blueprint, Response, g, make_response, request

from app import clock
from app.services import intake
from app.tenancy import enter_tenant
from app.web.errors import link_cannot_be_opened
from app.web.htmx import is_htmx
from app.web.look import brand_of
from app.web.sessions import current_session

bp = Blueprint("client", __name__)


@bp.before_request
def guard() -> Response | None:
    """Let a browser reach the bundles whose links it opened, and nothing else."""
    if request.endpoint == "client.open_link":
        return None
    found = intake.enter(current_session().id_hash, (request.view_args or {}).get("bundle_id", ""), at=clock.now())
    if found is None:
        return _gone()
    g.intake, g.agency = found, found.agency
    enter_tenant(found.bundle.agency_id, found.bundle.workspace_id)
    return None


def _gone() -> Response:
    """The vague page; a page that is open loads anew to show it."""
    if not is_htmx():
        return link_cannot_be_opened()
    response = make_response("", 200)
    response.headers["HX-Refresh"] = "true"
    return response


@bp.context_processor
def branding() -> dict[str, Any]:
    """The agency's look."""
    return {"brand": brand_of(g.agency)} if "agency" in g else {}


from app.web.client import bundles, links  # noqa: E402, F401 - they add their views

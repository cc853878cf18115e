"""The portal's addresses. Until it opens they say so, in the agency's look."""

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.services import agencies
from app.web.look import brand_of

bp = Blueprint("portal", __name__, url_prefix="/portal")


@bp.get("/login")
def login() -> ResponseReturnValue:
    return _closed(None)


@bp.get("/connections")
def show_connections() -> ResponseReturnValue:
    return _closed(None)


@bp.get("/connections/workflows/<workflow_id>")
def show_workflow(workflow_id: str) -> ResponseReturnValue:
    del workflow_id
    return _closed(None)


@bp.get("/login/<agency_slug>")
def sign_in(agency_slug: str) -> ResponseReturnValue:
    return _closed(agency_slug)


def _closed(slug: str | None) -> ResponseReturnValue:
    """The page in the brand of the agency that is named, or of the only one there is."""
    agency = agencies.by_slug(slug) if slug else agencies.only_one()
    return render_template("portal/closed/show.html", brand=brand_of(agency) if agency else None)

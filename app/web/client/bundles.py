"""`/connect/<bundle>`: the apps that a client is asked for, and what the client can do with each."""

from typing import Any

from flask import g, render_template
from flask.typing import ResponseReturnValue

from app.web.cards import FRAGMENT, CardPage, add_card_acts
from app.web.client import bp
from app.web.htmx import fragment


def _around() -> dict[str, Any]:
    return {"agency_slug": g.agency.slug}


PAGE = CardPage(".show_bundle", ".show_apps", "client/intake/show.html", _around)


@bp.get("/connect/<bundle_id>")
def show_bundle(bundle_id: str) -> ResponseReturnValue:
    del bundle_id
    return render_template(PAGE.template, **PAGE.shown())


@bp.get("/connect/<bundle_id>/apps")
def show_apps(bundle_id: str) -> ResponseReturnValue:
    del bundle_id
    return fragment(FRAGMENT, **PAGE.shown())


add_card_acts(bp, "/connect/<bundle_id>", PAGE)

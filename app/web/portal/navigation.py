"""What stands around every page of the portal: the agency's look, where one can go, and who one is."""

from typing import Any

from flask import g, request, url_for

from app import clock
from app.i18n import _
from app.services import agencies, portal_visitors
from app.web.look import brand_of
from app.web.sessions import current_session


def around_page() -> dict[str, Any]:
    """The context of `portal/base.html`: the brand alone for those who are not signed in, and no brand where none is known."""
    if "visitor" in g:
        return {"brand": brand_of(g.visitor.agency), "portal_nav": _nav(), **_person()}
    agency = g.get("agency") or agencies.only_one()
    around = {"brand": brand_of(agency) if agency else None}
    return {**around, **_person()} if "guest" in g else around


def around_missing() -> dict[str, Any] | None:
    """What stands around a page that says that nothing is there, whatever its address; none for who is not signed in."""
    browser = current_session()
    visitor: Any = g.get("visitor")
    if visitor is None and not browser.is_new:
        visitor = portal_visitors.enter(browser.id_hash, at=clock.now(), is_poll=True)
    if visitor is None:
        return None
    return {"brand": brand_of(visitor.agency), "portal_nav": [each | {"current": False} for each in _nav()]}


def _nav() -> list[dict[str, Any]]:
    pages = [("portal.show_connections", _("Connections")), ("portal.show_sessions", _("Sessions"))]
    return [_item(url_for(endpoint), label) for endpoint, label in pages]


def _item(url: str, label: str) -> dict[str, Any]:
    return {"label": label, "url": url, "current": request.path == url or request.path.startswith(f"{url}/")}


def _person() -> dict[str, Any]:
    visitor = g.get("visitor")
    return {
        "portal_person": visitor.name if visitor else g.guest.email,
        "portal_place": visitor.workspace if visitor else None,
        "workspaces_url": url_for("portal.show_workspaces") if visitor and visitor.has_other_places else None,
        "sign_out_url": url_for("portal.sign_out"),
    }

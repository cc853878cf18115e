"""What stands around every page of the panel: where one can go, and who one is."""

from typing import Any

from flask import g, request, url_for

from app.i18n import _
from app.services import attention, broken_connections
from app.services.attention import Counts
from app.services.broken_connections import Banner
from app.web.htmx import is_htmx

LISTING_BROKEN = frozenset({"panel.show_home", "panel.show_broken"})


def start_url() -> str:
    """Where the panel begins."""
    return url_for("panel.show_home")


def around_page() -> dict[str, Any]:
    """The context of `panel/base.html`; nothing of it for those who are not signed in."""
    if "staff" not in g:
        return {}
    return {
        "panel_nav": [*_items(_work(), None), *_items(_agency(), "agency")],
        "panel_foot": {"name": g.staff.name, "url": url_for("panel.show_account")},
        "sign_out_url": url_for("panel.sign_out"),
        "banner": _banner(),
    }


def _banner() -> Banner | None:
    """Which connections need to be reauthorized; not where the page lists them itself, or is no page."""
    if is_htmx() or request.endpoint in LISTING_BROKEN:
        return None
    return broken_connections.banner(g.agency, needing_attention().broken)


def _work() -> list[tuple[str, str]]:
    return [
        ("panel.show_home", _("Home")),
        ("panel.show_workspaces", _("Workspaces")),
        ("panel.show_connections", _("Connections")),
    ]


def _agency() -> list[tuple[str, str]]:
    managed = [("panel.show_branding", _("Branding")), ("panel.show_people", _("People"))]
    return [("panel.show_apps", _("Apps")), *(managed if g.staff.manages else [])]


def _items(pages: list[tuple[str, str]], group: str | None) -> list[dict[str, Any]]:
    return [_item(endpoint, label, group) for endpoint, label in pages]


def _item(endpoint: str, label: str, group: str | None) -> dict[str, Any]:
    url = url_for(endpoint)
    below = not url.endswith("/") and request.path.startswith(f"{url}/")
    current = request.path == url or below
    return {"label": label, "url": url, "current": current, "count": _count(endpoint), "group": group}


def _count(endpoint: str) -> int | None:
    """How many things wait at a page; not asked for where only a part of a page is made."""
    return needing_attention().total if endpoint == "panel.show_home" and not is_htmx() else None


def needing_attention() -> Counts:
    """How many things need somebody; asked once for a page, whoever wants to know."""
    if "attention" not in g:
        g.attention = attention.counts(g.agency)
    found: Counts = g.attention
    return found

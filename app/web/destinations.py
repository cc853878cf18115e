"""Where to go after signing in, or back to: a key that names one of the pages of the surface at hand, never an address."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from flask import current_app, request, url_for
from werkzeug.exceptions import HTTPException

from app.web.htmx import is_htmx

WORD = re.compile(r"[a-z0-9_-]{1,64}")
SAFE = "GET"


def wanted() -> str | None:
    """The key of the page that is asked for, or of the one that a form or an htmx request was sent from."""
    if is_htmx() or request.method != SAFE:
        return came_from()
    return _key(request.endpoint, request.view_args or {})


def came_from() -> str | None:
    """The key of the page that a request was sent from, by what the browser says."""
    return _key_of_url(request.headers.get("HX-Current-URL" if is_htmx() else "Referer", ""))


def _surface() -> str:
    """What the endpoints of the surface at hand begin with."""
    return f"{request.blueprint}."


def _key_of_url(url: str) -> str | None:
    try:
        path = urlsplit(url).path
        endpoint, args = current_app.create_url_adapter(request).match(path, SAFE)  # type: ignore[union-attr]
    except (HTTPException, ValueError):
        return None
    return _key(endpoint, args)


def _key(endpoint: str | None, args: Mapping[str, Any]) -> str | None:
    if not endpoint or not endpoint.startswith(_surface()):
        return None
    parts = [endpoint.removeprefix(_surface()), *(str(args[name]) for name in sorted(args))]
    return ".".join(parts) if all(WORD.fullmatch(part) for part in parts) else None


def url_of(key: str | None) -> str | None:
    """The address that a key stands for; None for a key that names no page of this surface."""
    name, *values = (key or "").split(".")
    if not all(WORD.fullmatch(part) for part in (name, *values)):
        return None
    for rule in current_app.url_map.iter_rules():
        if rule.endpoint == _surface() + name and SAFE in (rule.methods or ()) and len(rule.arguments) == len(values):
            args: dict[str, Any] = dict(zip(sorted(rule.arguments), values, strict=True))
            return url_for(rule.endpoint, **args)
    return None

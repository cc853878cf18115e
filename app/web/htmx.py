"""Answers to htmx: fragments, events and redirects (https://htmx.org/reference/#response_headers)."""

import json
from typing import Any

from flask import Response, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue


def is_htmx() -> bool:
    """Whether htmx asks, and so wants a fragment."""
    return bool(request.environ.get("HTTP_HX_REQUEST") == "true")


def is_poll() -> bool:
    """Whether a page asks on its own: such a request is no sign of life, and keeps no session awake."""
    return bool(request.environ.get("HTTP_X_POLL") == "1")


def fragment(template: str, *, status: int = 200, **context: Any) -> Response:
    """Render a `_name.html`; status 422 for a form that came back with errors."""
    return make_response(render_template(template, **context), status)


def no_content() -> Response:
    """Nothing to swap: what is to be said goes in headers."""
    return make_response("", 204)


def hx_redirect(url: str) -> Response:
    """Send the whole page of an htmx request elsewhere, also to another origin (a 303 would be followed inside)."""
    response = make_response("", 200)
    response.headers["HX-Redirect"] = url
    return response


def go(url: str) -> ResponseReturnValue:
    """Send the whole page to another of ours, whoever asks: a form, a link, or htmx in a part of the page."""
    return hx_redirect(url) if is_htmx() else redirect(url, 303)


def trigger(response: Response, event: str, detail: dict[str, Any] | None = None) -> Response:
    """Have an event fired in the page, beside those that the response fires already."""
    events = json.loads(response.headers.get("HX-Trigger", "{}"))
    events[event] = detail or {}
    response.headers["HX-Trigger"] = json.dumps(events)
    return response


def close_dialog(response: Response, *, retarget: str | None = None) -> Response:
    """Close the open dialog; the response's fragment replaces `retarget` (a CSS selector) instead of the dialog."""
    if retarget:
        response.headers["HX-Retarget"] = retarget
        response.headers["HX-Reswap"] = "outerHTML"
    return trigger(response, "close-dialog")

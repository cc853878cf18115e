"""Errors become answers here and nowhere else: a page, a toast for htmx, or problem+json (RFC 9457)."""

import json
import logging
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, current_app, g, make_response, render_template, request
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from werkzeug.exceptions import HTTPException, InternalServerError

from app.errors import Conflict, DomainError, Forbidden, NotFound, ProviderFailed, RateLimited, Refused
from app.i18n import _
from app.web.htmx import is_htmx, is_poll
from app.web.sessions import Surface, surface_of
from app.web.toasts import toast

log = logging.getLogger(__name__)

STATUS: dict[type[DomainError], int] = {
    NotFound: 404,
    Refused: 422,
    Conflict: 409,
    Forbidden: 403,
    RateLimited: 429,
    ProviderFailed: 502,
}
LINK_PREFIX = "/l/"
NOT_FOUND = 404
# InternalError: PostgreSQL's last word as it stops because it can't write its log (SQLSTATE XX000).
DATABASE_AWAY = (OperationalError, InterfaceError, InternalError, NoConnectionFree)
BACK_SOON = 10  # seconds


Around = Callable[[], dict[str, Any] | None]
AROUND: dict[Surface, tuple[str, Around]] = {}


def surround_missing(surface: Surface, template: str, around: Around) -> None:
    """Have a surface show what is not there on a page of its own, wherever it knows what stands around it."""
    AROUND[surface] = (template, around)


def link_cannot_be_opened() -> Response:
    """The one answer to every link that does not open, whatever the cause: the same bytes, no cookie, no branding."""
    response = make_response(render_template("errors/link.html"), 404)
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def error_answer(status: int, title: str, detail: str) -> Response:
    """The answer in the form that the asker reads."""
    if request.path.startswith("/api/") or _prefers_json():
        return _problem(status, title, detail)
    if is_htmx():
        return _toast(status, title, detail)
    surface = surface_of(request.path)
    branded = surface is not Surface.STAFF
    if status == NOT_FOUND and surface in AROUND and (own := _missing(*AROUND[surface], title, detail)):
        return make_response(own, status)
    # Not by `render_template`: what surrounds a surface's pages is read from the database, which may be what fails.
    page = current_app.jinja_env.get_template("errors/page.html")
    return make_response(page.render(title=title, detail=detail, own_brand=not branded), status)


def _missing(template: str, around: Around, title: str, detail: str) -> str | None:
    try:
        context = around()
    except SQLAlchemyError:
        return None
    page = current_app.jinja_env.get_template(template)
    return None if context is None else page.render(title=title, detail=detail, **context)


def _prefers_json() -> bool:
    accepted = request.accept_mimetypes
    best = accepted.best_match(["text/html", "application/problem+json", "application/json"], default="text/html")
    return best != "text/html" and accepted["text/html"] < accepted[best]


def _problem(status: int, title: str, detail: str) -> Response:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Response(json.dumps(body), status, content_type="application/problem+json")


def _toast(status: int, title: str, detail: str) -> Response:
    response = make_response("", status)
    response.headers["HX-Reswap"] = "none"
    if is_poll() and (status < 500 or status == 503):  # it comes back by itself, and the next poll with it
        return response
    toast(title, detail, kind="error")  # beside what is to be said already
    return response


def words_for(status: int) -> tuple[str, str]:
    """A title and a sentence for a status that nobody has said more about."""
    texts = {
        400: (_("This request can't be read"), _("Go back, reload the page and try again. Nothing was changed.")),
        403: (_("You can't do this"), _("Your role does not allow it, or it was asked for by another site.")),
        404: (_("There is nothing here"), _("The address may be incomplete, or what it led to is gone.")),
        405: (_("This can't be done here"), _("Go back and try it from the page. Nothing was changed.")),
        409: (_("This has changed meanwhile"), _("Reload the page to see how it stands now.")),
        413: (_("This is too large"), _("Choose a smaller file. Nothing was changed.")),
        422: (_("This can't be accepted"), _("Go back and look at what was entered. Nothing was changed.")),
        429: (_("Too many tries"), _("Wait a little, then try again.")),
        502: (_("The app did not answer as it should"), _("Try again in a few minutes. Nothing was changed.")),
        503: (_("This is not available at the moment"), _("Try again in a few minutes.")),
    }
    return texts.get(status, (_("This did not work"), _("Go back and try again.")))


def on_domain_error(error: DomainError) -> Response:
    """Say what a service refused. What is not there and what is somebody else's get the same words."""
    if request.path.startswith(LINK_PREFIX) and not isinstance(error, RateLimited):
        return link_cannot_be_opened()
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 422)
    title, detail = words_for(status)
    if not isinstance(error, NotFound):
        detail = str(error)
    response = error_answer(status, title, detail)
    if isinstance(error, RateLimited):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def on_http_error(error: HTTPException) -> Any:
    """Say what Flask or a view refused, in our words."""
    status = error.code or 500
    if status < 400:
        return error
    if request.path.startswith(LINK_PREFIX) and status < 500 and status != 429:
        return link_cannot_be_opened()
    response = error_answer(status, *words_for(status))
    for name, value in error.get_headers(request.environ):
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response


def on_csrf_error(_error: CSRFError) -> Response:
    """Say that a form is out of date: its session ended, or it never was ours."""
    if request.path.startswith(LINK_PREFIX):
        return link_cannot_be_opened()
    return error_answer(
        400, _("This page is out of date"), _("Reload it and try again. Nothing was changed; you may have to sign in.")
    )


def on_database_away(error: SQLAlchemyError) -> Response:
    """Say that it is not to be had for a moment: the database restarts, is full, or has no connection left."""
    cause = str(getattr(error, "orig", None) or error).partition("\n")[0]
    log.error("No database in %s, request %s: %s", request.endpoint, g.get("request_id"), cause)
    response = error_answer(503, *words_for(503))
    response.headers["Retry-After"] = str(BACK_SOON)
    return response


def on_unexpected(error: InternalServerError) -> Response:
    """Own up to a fault of ours, with the number under which the log has it."""
    log.error(
        "Unexpected error in %s, request %s", request.endpoint, g.get("request_id"), exc_info=error.original_exception
    )
    detail = _(
        "It is not your doing. If it happens again, tell whoever runs this server the number %(number)s.",
        number=g.get("request_id", ""),
    )
    return error_answer(500, _("Something went wrong on our side"), detail)


def _log_nothing(_exc_info: object) -> None:
    """Flask's own record carries the address, and an address may carry a link; `on_unexpected` logs instead."""


def register_errors(app: Flask) -> None:
    """Have every error answered here."""
    app.log_exception = _log_nothing  # type: ignore[assignment, method-assign]
    app.register_error_handler(DomainError, on_domain_error)
    app.register_error_handler(HTTPException, on_http_error)
    app.register_error_handler(CSRFError, on_csrf_error)
    for kind in DATABASE_AWAY:
        app.register_error_handler(kind, on_database_away)
    app.register_error_handler(InternalServerError, on_unexpected)

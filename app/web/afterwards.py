"""What is done once an answer is on its way, so that how long the answer takes tells nothing of it."""

from collections.abc import Callable

import structlog
from flask import Response, after_this_request, current_app, request

from app.extensions import db

log = structlog.get_logger(__name__)


def after_answer(act: Callable[[], None], *, else_log: str) -> None:
    """Have something written when the answer to this request has been sent; what fails then is logged and no more."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - the proxy ends with the request
    address = request.remote_addr

    def write() -> None:
        try:
            with app.app_context():
                db.session().info["address"] = address
                act()
        except Exception:
            log.exception(else_log)

    @after_this_request
    def once_sent(response: Response) -> Response:
        response.call_on_close(write)
        return response

"""Sealed mode: while a key is missing, what needs it is refused in one sentence, and everything else is served.

Without the key that signs nothing a browser brings can be believed, so that there is nothing to serve but this sentence.
"""

import logging

from flask import Flask, Response, current_app, g, request

from app import runtime
from app.i18n import _
from app.vault import KeysUnusable
from app.web.errors import error_answer
from app.web.sessions import signing_key

PROBES = "ops"
BACK_SOON = 30  # seconds
log = logging.getLogger(__name__)


def refuse_unsigned() -> Response | None:
    """Answer everything but probes with the sentence while nothing can be verified; else let the request through."""
    keys = runtime.current().keys
    if not keys.unsigned:
        if current_app.secret_key != (key := keys.secret_key):
            current_app.secret_key = key
        return None
    return None if request.blueprint == PROBES else sealed_answer()


def on_keys_unusable(error: KeysUnusable) -> Response:
    """Say that what was asked for needs a key that is not here."""
    log.error("Sealed in %s, request %s: %s", request.endpoint, g.get("request_id"), error)
    return sealed_answer()


def sealed_answer() -> Response:
    """The one sentence, for whoever asks."""
    detail = _("A key is missing on this server, so nothing secret can be opened or stored. Nothing was changed.")
    response = error_answer(503, _("This is not available at the moment"), detail)
    response.headers["Retry-After"] = str(BACK_SOON)
    return response


def is_sealed() -> bool:
    """Whether pages should say that a key is missing."""
    return runtime.current().keys.sealed


def register_sealed(app: Flask) -> None:
    """Refuse first of all; comes before what looks at sessions and forms."""
    app.secret_key = signing_key(app)
    app.before_request(refuse_unsigned)
    app.register_error_handler(KeysUnusable, on_keys_unusable)
    app.add_template_global(is_sealed)

"""Sending the browser back to the client (RFC 6749 4.1.2, RFC 9207)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from flask import redirect
from werkzeug.wrappers import Response

from app import clock
from app.catalog.protocol import OAuth2
from app.catalog.schema import App
from app.sandbox import facts, people
from app.sandbox.clients import client
from app.sandbox.grants import Ask, Refusal
from app.sandbox.provider import current

Signer = Callable[[Mapping[str, str], str], dict[str, str]]


def back_with_error(app: App, ways: OAuth2, redirect_uri: str, state: str, refused: Refusal) -> Response:
    """Return with an error instead of a code (RFC 6749 4.1.2.1)."""
    described = {"error_description": refused.says} if refused.says else {}
    return _back(app, ways, redirect_uri, {"error": refused.error, **described}, state)


def back_with_code(app: App, ways: OAuth2, ask: Ask, code: str, values: Mapping[str, str]) -> Response:
    """Return with a code, and with all that the app adds to it."""
    params = {ways.callback_code: code, **facts.at_paths(ways.callback_keep, values)}
    return _back(app, ways, ask.redirect_uri, params, ask.state, client_id=ask.client_id)


def kept(app: App, email: str, fields: Mapping[str, str]) -> dict[str, str]:
    """Return all that the app hands out with a grant to be kept, by its name with us."""
    return facts.kept(app, app.keeps(), people.person(email), fields)


def _back(
    app: App, ways: OAuth2, redirect_uri: str, params: Mapping[str, str], state: str, *, client_id: str = ""
) -> Response:
    known = client(app, client_id)
    full = {
        **params,
        **({"state": state} if state else {}),
        **({"iss": current().issuer(app)} if ways.iss_required else {}),
    }
    if ways.callback_check and known:
        full = SIGNERS[ways.callback_check](full, known.secret or "")
    return redirect(f"{redirect_uri}?{urlencode(full)}", 303)


def shopify_hmac(params: Mapping[str, str], secret: str) -> dict[str, str]:
    """Sign a callback as Shopify does: HMAC-SHA256 over all parameters, sorted."""
    full = {**params, "timestamp": str(int(clock.now().timestamp()))}
    made = hmac.new(secret.encode(), urlencode(sorted(full.items())).encode(), hashlib.sha256).hexdigest()
    return {**full, "hmac": made}


SIGNERS: Mapping[str, Signer] = {"shopify_hmac": shopify_hmac}

"""The authorization address of every app (RFC 6749 4.1.1)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from app import clock
from app.catalog.protocol import OAuth2
from app.catalog.schema import App
from app.i18n import _
from app.sandbox import calls
from app.sandbox.callback import back_with_error
from app.sandbox.calls import Caller
from app.sandbox.clients import client
from app.sandbox.grants import Ask, Refusal
from app.sandbox.provider import current, oauth_app
from app.sandbox.rewriting import Step
from app.sandbox.switches import Mode

bp = Blueprint("authorize", __name__)

CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
CHOOSERS = frozenset({"select_account", "login"})  # values of `prompt`, OpenID Connect Core 3.1.2.1


@bp.get(f"/<key>/{Step.AUTHORIZE}")
@bp.get(f"/<key>/{Step.AUTHORIZE}/<path:rest>")
def ask(key: str, rest: str = "") -> ResponseReturnValue:  # noqa: ARG001 - `calls.in_address` reads it raw
    """Check what is asked and lead on to signing in; what can't be answered by the redirect address gets a page."""
    app, ways = oauth_app(key)
    mode = current().switches.get(key).mode
    if mode is Mode.ERROR_PAGE:
        return render_template("sandbox/broken.html", app=app), 503
    try:
        params = calls.ours(ways, calls.query())
        redirect_uri = _redirect_uri(app, params)
    except Refusal as refused:
        return render_template("sandbox/refused.html", app=app, says=refused.says), 400
    state = params.get("state", "")
    if mode is Mode.ERROR_BACK:
        return back_with_error(
            app, ways, redirect_uri, state, Refusal("server_error", "The switch of this app says so.")
        )
    try:
        made = _checked(app, ways, params, redirect_uri)
    except Refusal as refused:
        return back_with_error(app, ways, redirect_uri, state, refused)
    current().store.put(made)
    return redirect(url_for("consent.start", key=key, ask_id=made.id), 303)


def _redirect_uri(app: App, params: Mapping[str, str]) -> str:
    """Return where to send the browser back to, if client and address are known; nothing is sent anywhere else."""
    if client(app, params.get("client_id", "")) is None:
        raise Refusal("invalid_client", _("The client id is none of those that this page's start page lists."))
    uri = params.get("redirect_uri", "")
    known = current().callbacks
    if not uri.startswith(known) or not CLIENT_ID.fullmatch(uri.removeprefix(known)):
        raise Refusal("invalid_request", _("The redirect address must be one below %(address)s.", address=known))
    return uri


def _checked(app: App, ways: OAuth2, params: Mapping[str, str], redirect_uri: str) -> Ask:
    caller = Caller(calls.in_address(ways.authorize_url))
    fields = dict(caller.known)
    calls.check_params(calls.in_our_terms(ways, ways.authorize_params), params, caller)
    if params.get("response_type") != "code":
        raise Refusal("unsupported_response_type", "response_type must be code.")
    if not params.get("state"):
        raise Refusal("invalid_request", "A state is missing.")
    if params.get("response_mode", "") != ways.response_mode:
        raise Refusal("invalid_request", f"response_mode must be “{ways.response_mode}”.")
    if ways.nonce and not params.get("nonce"):
        raise Refusal("invalid_request", "A nonce is missing.")
    return Ask(
        id=secrets.token_urlsafe(24),
        app=app.key,
        client_id=params["client_id"],
        redirect_uri=redirect_uri,
        state=params["state"],
        scopes=_scopes(app, ways, params.get("scope", "")),
        challenge=_challenge(ways, params),
        nonce=params.get("nonce", ""),
        hint=params.get("login_hint", ""),
        choose=not CHOOSERS.isdisjoint(params.get("prompt", "").split()),
        fields={**fields, **caller.known},
        at=clock.now(),
    )


def _challenge(ways: OAuth2, params: Mapping[str, str]) -> str:
    """RFC 7636 4.3, S256 alone; where the app breaks on PKCE, its parameters are not to be there."""
    challenge, method = params.get("code_challenge", ""), params.get("code_challenge_method", "")
    if not ways.pkce:
        if challenge or method:
            raise Refusal("invalid_request", "This app does not know code_challenge.")
        return ""
    if method != "S256" or not CHALLENGE.fullmatch(challenge):
        raise Refusal("invalid_request", "A code_challenge by S256 is missing.")
    return challenge


def _scopes(app: App, ways: OAuth2, text: str) -> tuple[str, ...]:
    asked = tuple(dict.fromkeys(scope for scope in text.split(ways.scope_separator) if scope))
    unknown = [scope for scope in asked if scope not in app.scopes and scope not in ways.default_scopes]
    if unknown:
        raise Refusal("invalid_scope", f"There is no scope “{unknown[0]}”.")
    return asked

"""The token, refresh, exchange and revocation addresses of every app."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from hmac import compare_digest

from flask import Blueprint, Response, abort, request

from app import clock
from app.catalog.protocol import Body, ClientAuth, OAuth2, Revoke, RevokeAuth, RevokeStyle
from app.catalog.schema import App
from app.sandbox import calls
from app.sandbox.answers import as_json, token_answer
from app.sandbox.calls import Caller
from app.sandbox.clients import Client, client
from app.sandbox.documents import document
from app.sandbox.grants import Grant, Refusal
from app.sandbox.misbehaviour import denies_refresh
from app.sandbox.policy import Policy
from app.sandbox.provider import current
from app.sandbox.rewriting import Step
from app.sandbox.views import as_token_error, called

bp = Blueprint("tokens", __name__)


@called(bp, Step.TOKEN, "POST", errors=as_token_error)
def token(app: App, ways: OAuth2) -> Response:
    """Redeem a code, or refresh where the app has no other address for that."""
    params, known, caller = _call(app, ways, ways.token_url)
    kind = params.get("grant_type")
    if kind == ways.token_params.get("grant_type", "authorization_code"):
        return _redeem(app, ways, params, known, caller)
    if not ways.refresh_url and kind == ways.refresh_params.get("grant_type", "refresh_token"):
        return _refresh(app, ways, params, known, caller)
    raise Refusal("unsupported_grant_type", "This is not the address for that.")


@called(bp, Step.REFRESH, "POST", errors=as_token_error)
def refresh(app: App, ways: OAuth2) -> Response:
    """Refresh, where the app has an address for it."""
    if not ways.refresh_url:
        abort(404)
    params, known, caller = _call(app, ways, ways.refresh_url)
    if params.get("grant_type") != ways.refresh_params.get("grant_type", "refresh_token"):
        raise Refusal("unsupported_grant_type", "This address refreshes only.")
    return _refresh(app, ways, params, known, caller)


@called(bp, Step.EXCHANGE, "GET", "POST", errors=as_token_error)
def exchange(app: App, ways: OAuth2) -> Response:
    """Trade a short-lived token for a long-lived one."""
    way, at = ways.exchange, clock.now()
    if way is None or request.method != way.method:
        abort(404)
    params = calls.query() if way.method == "GET" else calls.body_of(Body.FORM)
    caller = Caller(calls.in_address(way.url))
    calls.check_params(way.params, params, caller)
    grant = current().store.bearer(app, caller.known.get("access_token", ""), at=at)
    check_caller(app, grant, caller)
    return _issue(app, ways, grant, at, exchanged=True)


@called(bp, Step.REVOKE, "GET", "POST", "PUT", "DELETE")
def revoke(app: App, ways: OAuth2) -> Response:
    """End a grant, asked for in the app's way."""
    if not (ways.revoke or ways.discovery_url):
        abort(404)
    way = ways.revoke or Revoke(url="")
    if request.method != way.method:
        raise Refusal("invalid_request", f"Revoke by {way.method}.", status=405)
    caller = Caller(calls.in_address(way.url))
    params = calls.query() if way.body is Body.NONE else calls.body_of(way.body)
    if way.body is not Body.NONE:
        caller.take("{token}", params.get(way.token_param), f"The parameter {way.token_param}")
    calls.check_params(way.params, params, caller)
    known = _revoker(app, ways, way, params, caller)
    if known:
        caller.known.update(client_id=known.client_id, client_secret=known.secret)
    given = caller.known.get("token") or caller.known.get(way.token, "")
    wants_refresh = way.token == "refresh_token" and Policy(app, ways).renews  # noqa: S105 - the name of a kind
    grant = current().store.grant_of(app, given, refresh=wants_refresh)
    if grant:
        check_caller(app, grant, caller)
        current().store.end(grant, siblings=way.breaks_siblings)
    elif way.style is not RevokeStyle.RFC7009:
        raise Refusal("invalid_token", "There is no such token.", status=404)
    if way.method == "DELETE" and not way.ok:
        return Response(status=204)
    return as_json(document({way.ok.path: way.ok.equals} if way.ok else {}))


def _revoker(app: App, ways: OAuth2, way: Revoke, params: Mapping[str, str], caller: Caller) -> Client | None:
    """Return the client that revokes, where it proves itself as one."""
    if way.headers:
        calls.check_headers(way.headers, caller)
        return None
    if way.auth is RevokeAuth.BEARER:
        caller.take("Bearer {token}", request.headers.get("Authorization"), "The Authorization header")
    if way.auth in {RevokeAuth.BEARER, RevokeAuth.NONE}:
        return None
    how = {RevokeAuth.BASIC: ClientAuth.BASIC, RevokeAuth.POST: ClientAuth.POST}.get(way.auth)
    return calls.authenticated(app, ways, calls.ours(ways, params), how)


def _call(app: App, ways: OAuth2, template: str) -> tuple[dict[str, str], Client, Caller]:
    caller = Caller(calls.in_address(template))
    params = calls.ours(ways, calls.body_of(ways.token_body))
    known = calls.authenticated(app, ways, params)
    caller.known.update(client_id=known.client_id, client_secret=known.secret)
    return params, known, caller


def _redeem(app: App, ways: OAuth2, params: Mapping[str, str], known: Client, caller: Caller) -> Response:
    at = clock.now()
    grant, code = current().store.redeem(params.get("code", ""), at=at)
    if (grant.app, grant.client_id) != (app.key, known.client_id):
        raise Refusal("invalid_grant", "This code was given to another client.")
    if code.redirect_uri != params.get("redirect_uri"):
        raise Refusal("invalid_grant", "The redirect_uri is not the one that the code was sent to.")
    _check_verifier(code.challenge, params.get("code_verifier", ""))
    calls.check_params(calls.in_our_terms(ways, ways.token_params), params, caller)
    check_caller(app, grant, caller)
    return _issue(app, ways, grant, at)


def _refresh(app: App, ways: OAuth2, params: Mapping[str, str], known: Client, caller: Caller) -> Response:
    at = clock.now()
    if denies_refresh(app.key):
        raise Refusal("invalid_grant", "The switch of this app says so.")
    calls.check_params(calls.in_our_terms(ways, ways.refresh_params), params, caller)
    given = params.get("refresh_token", "")
    grant = current().store.refreshing(given, Policy(app, ways), client_id=known.client_id, at=at)
    check_caller(app, grant, caller)
    return _issue(app, ways, grant, at, again=True)


def _issue(
    app: App, ways: OAuth2, grant: Grant, at: datetime, *, again: bool = False, exchanged: bool = False
) -> Response:
    here = current()
    issued = here.store.issue(grant, Policy(app, ways), at=at, again=again, exchanged=exchanged)
    return token_answer(app, ways, issued, here.signer, issuer=here.issuer(app), at=at)


def _check_verifier(challenge: str, verifier: str) -> None:
    """RFC 7636 4.6, S256 alone; a verifier that no challenge asked for is refused as well."""
    made = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    if not compare_digest(made if verifier else b"", challenge.encode()):
        raise Refusal("invalid_grant", "The code_verifier does not fit the code_challenge.")


def check_caller(app: App, grant: Grant, caller: Caller) -> None:
    """Refuse a call that carries a client, a field or a kept value other than the grant's."""
    known = client(app, grant.client_id)
    expected = {**grant.values, "client_id": grant.client_id, "client_secret": known.secret if known else ""}
    for name, value in caller.known.items():
        if name in expected and not compare_digest(value.encode(), expected[name].encode()):
            raise Refusal("invalid_request", f"{name} is another than when access was given.", status=403)

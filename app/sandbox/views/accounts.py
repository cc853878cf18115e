"""What an app tells about the account behind a token: identity, its API, keys and metadata."""

from __future__ import annotations

from flask import Blueprint, Response, abort, request

from app import clock
from app.catalog.protocol import Body, Identity, OAuth2, Source
from app.catalog.schema import App
from app.sandbox import calls, facts, people
from app.sandbox.answers import as_json, failed, speaks_openid
from app.sandbox.calls import Caller
from app.sandbox.documents import document
from app.sandbox.grants import Grant, Refusal
from app.sandbox.misbehaviour import instead
from app.sandbox.provider import current, oauth_app
from app.sandbox.rewriting import WELL_KNOWN, Step
from app.sandbox.signing import ALGORITHM
from app.sandbox.views import called
from app.sandbox.views.tokens import check_caller

bp = Blueprint("accounts", __name__)


def identity_error(_app: App, ways: OAuth2, refused: Refusal) -> Response:
    """Write a refusal as the app's identity call does."""
    return _refused(ways.identity, refused)


@called(bp, Step.IDENTITY, "GET", "POST", errors=identity_error)
def identity(app: App, ways: OAuth2) -> Response:
    """Say whose token it is."""
    if ways.identity.source is not Source.API:
        abort(404)
    way, caller = ways.identity, Caller(calls.in_address(ways.identity.url))
    calls.check_authorization(app, way.auth, caller)
    calls.check_headers({**app.api.headers, **way.headers}, caller)
    _check_question(way, caller)
    grant = _grant(app, caller)
    return as_json(document(facts.identity(app, way, people.person(grant.email), grant.values)))


@called(bp, Step.API, "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
def api(app: App, ways: OAuth2) -> Response:
    """Answer a call to the app's API with what the token is good for."""
    del ways
    caller = Caller(calls.in_address(app.api.base_url))
    calls.check_authorization(app, None, caller)
    calls.check_headers(app.api.headers, caller)
    grant = _grant(app, caller)
    return as_json({"app": app.key, "account": grant.email, "scopes": list(grant.scopes), "method": request.method})


@called(bp, Step.JWKS, "GET")
def jwks(app: App, ways: OAuth2) -> Response:
    """Publish the signing keys."""
    del app
    if not speaks_openid(ways):
        abort(404)
    return as_json(current().signer.jwks())


@bp.get(f"/<key>/{WELL_KNOWN}")
def metadata(key: str) -> Response:
    """Publish where everything is (OpenID Connect Discovery 1.0, section 4)."""
    app, ways = oauth_app(key)
    wrong = instead(key)
    if wrong or not ways.discovery_url:
        return wrong or abort(404)
    issuer = current().issuer(app)
    return as_json(
        {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/{Step.AUTHORIZE}",
            "token_endpoint": f"{issuer}/{Step.TOKEN}",
            "revocation_endpoint": f"{issuer}/{Step.REVOKE}",
            "userinfo_endpoint": f"{issuer}/{Step.IDENTITY}",
            "jwks_uri": f"{issuer}/{Step.JWKS}",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "code_challenge_methods_supported": ["S256"] if ways.pkce else [],
            "authorization_response_iss_parameter_supported": ways.iss_required,
        }
    )


@bp.route(f"/<key>/{Step.KEY}", methods=["GET", "POST"])
@bp.route(f"/<key>/{Step.KEY}/<path:rest>", methods=["GET", "POST"])
def key_identity(key: str, rest: str = "") -> Response:
    """Say whose API key it is: any will do, but one with “wrong” in it."""
    app = current().catalog.find(key)
    way = app.api_key.identity if app and app.api_key else None
    if app is None or way is None or app.api_key is None:
        abort(404)
    wrong = instead(key)
    if wrong:
        return wrong
    said = " ".join([rest, *request.args.values(), *request.headers.values(), request.get_data(as_text=True)])
    if "wrong" in said.lower():
        return _refused(way, Refusal("invalid_key", "This key is wrong.", status=401))
    return as_json(document(facts.identity(app, way, people.EXAMPLES[0], {})))


@bp.route(f"/<key>/{Step.KEY_REVOKE}", methods=["POST", "DELETE"])
@bp.route(f"/<key>/{Step.KEY_REVOKE}/<path:rest>", methods=["POST", "DELETE"])
def key_revoke(key: str, rest: str = "") -> Response:  # noqa: ARG001 - any key is as good as another
    """End an API key, of which nothing is remembered."""
    app = current().catalog.find(key)
    way = app.api_key.revoke if app and app.api_key else None
    if way is None:
        abort(404)
    return instead(key) or as_json(document({way.ok.path: way.ok.equals} if way.ok else {}))


def _check_question(way: Identity, caller: Caller) -> None:
    if request.method != way.method:
        raise Refusal("invalid_request", f"Ask by {way.method}.", status=405)
    if way.graphql:
        if calls.json_body().get("query") != way.graphql:
            raise Refusal("invalid_request", "This is not the query that the catalog holds.")
        return
    body = Body.FORM if way.params else Body.NONE
    params = calls.query() if way.method == "GET" else calls.body_of(body)
    calls.check_params(way.params, params, caller)


def _grant(app: App, caller: Caller) -> Grant:
    token = caller.known.get("access_token") or caller.known.get("token", "")
    grant = current().store.bearer(app, token, at=clock.now())
    check_caller(app, grant, caller)
    return grant


def _refused(way: Identity, refused: Refusal) -> Response:
    if way.ok:
        return as_json(document(failed(way.ok, {"error": refused.error})))
    return as_json({"error": refused.error, "error_description": refused.says}, refused.status)

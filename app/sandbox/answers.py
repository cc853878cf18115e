"""Writing answers in an app's own way (RFC 6749 5.1 and 5.2, and what became of them)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from flask import Response

from app.catalog.protocol import Body, Condition, ExpiresAs, OAuth2, Reported, ScopeAs, Source
from app.catalog.schema import App
from app.sandbox import facts, people
from app.sandbox.documents import document
from app.sandbox.grants import Issued, Refusal
from app.sandbox.signing import Signer


def as_json(content: Any, status: int = 200) -> Response:
    """Return a JSON answer that nobody keeps."""
    return Response(json.dumps(content), status, content_type="application/json", headers={"Cache-Control": "no-store"})


def token_answer(app: App, ways: OAuth2, issued: Issued, signer: Signer, *, issuer: str, at: datetime) -> Response:
    """Return the answer that carries tokens."""
    shape, person = ways.token, people.person(issued.grant.email)
    content: dict[str, Any] = {"token_type": "Bearer"} if "." not in shape.access_token else {}
    if ways.identity.source is Source.TOKEN_RESPONSE and not ways.identity.special:
        content |= facts.identity(app, ways.identity, person, issued.grant.values)
    content |= facts.at_paths(ways.response_keep, issued.grant.values)
    content[shape.access_token] = issued.access_token
    content |= _if_any(shape.refresh_token, issued.refresh_token)
    content |= _if_any(shape.expires, _ends(shape.expires_as, issued.lifetime, at))
    if shape.refresh_expires and issued.refresh_token and issued.refresh_lifetime:
        content[shape.refresh_expires] = int(issued.refresh_lifetime.total_seconds())
    content |= _scopes(ways.reported, issued.grant.scopes)
    if speaks_openid(ways) and "openid" in issued.grant.scopes:
        content[shape.id_token] = signer.sign(claims(app, ways, issued, issuer=issuer, at=at))
    content |= {shape.ok.path: shape.ok.equals} if shape.ok else {}
    return _written(shape.format, content)


def speaks_openid(ways: OAuth2) -> bool:
    """Whether an app has id_tokens."""
    return bool(ways.discovery_url or ways.jwks_url)


def claims(app: App, ways: OAuth2, issued: Issued, *, issuer: str, at: datetime) -> dict[str, Any]:
    """Return what an id_token says."""
    grant, person = issued.grant, people.person(issued.grant.email)
    said = facts.identity(app, ways.identity, person, grant.values) if ways.identity.source is Source.ID_TOKEN else {}
    now = int(at.timestamp())
    standard: dict[str, Any] = {
        "iss": issuer,
        "aud": grant.client_id,
        "sub": str(people.number(app.key, "sub", grant.email)),
        "iat": now,
        "exp": now + 3600,
        "email": person.email,
        "email_verified": True,
        "name": person.name,
    }
    standard |= {"nonce": grant.nonce} if grant.nonce else {}
    nested = document(said)
    return standard | {name: value for name, value in nested.items() if name not in {"iss", "aud", "nonce"}}


def _if_any(path: str, value: Any) -> dict[str, Any]:
    return {path: value} if path and value else {}


def _ends(expires_as: ExpiresAs, lifetime: timedelta | None, at: datetime) -> int | str | None:
    if lifetime is None:
        return None
    seconds, end = int(lifetime.total_seconds()), at + lifetime
    spelt: dict[ExpiresAs, int | str] = {
        ExpiresAs.SECONDS: seconds,
        ExpiresAs.STRING: str(seconds),
        ExpiresAs.UNIX: int(end.timestamp()),
        ExpiresAs.UNIX_MS: int(end.timestamp()) * 1000,
        ExpiresAs.DATETIME: end.isoformat(timespec="seconds"),
    }
    return spelt.get(expires_as)


def _scopes(reported: Reported, granted: tuple[str, ...]) -> dict[str, Any]:
    """Return the scopes in the app's spelling, without what it grants in silence or what another scope includes."""
    if reported.scope_as is ScopeAs.NONE or not reported.path:
        return {}
    spelt_as = {ours: theirs for theirs, ours in reported.aliases.items()}
    included = {inner for scope in granted for inner in reported.covered([scope]) - {scope}}
    named = [
        spelt_as.get(scope, scope).removeprefix(reported.prefix)
        for scope in granted
        if scope not in reported.unreported and scope not in included
    ]
    return {reported.path: named if reported.scope_as is ScopeAs.LIST else reported.separator.join(named)}


def _written(body: Body, content: Mapping[str, Any], status: int = 200) -> Response:
    if body is Body.FORM:
        flat = {name: str(value) for name, value in content.items()}
        return Response(urlencode(flat), status, content_type="application/x-www-form-urlencoded")
    return as_json(document(content), status)


def refusal(ways: OAuth2, refused: Refusal) -> Response:
    """Return an error at a token address: where the app says “ok” in the answer, or writes forms, its status is 200 all the same."""
    shape = ways.token
    ended = refused.error == "invalid_grant" and shape.grant_ended
    content: dict[str, Any] = {shape.error or "error": shape.grant_ended[0] if ended else refused.error}
    if shape.ok:
        answer = _written(shape.format, failed(shape.ok, content))
    else:
        status = 200 if shape.format is Body.FORM else refused.status
        answer = _written(shape.format, {**content, "error_description": refused.says}, status)
    if answer.status_code == 401:
        answer.headers["WWW-Authenticate"] = 'Basic realm="sandbox"'
    return answer


def failed(condition: Condition, error: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an answer of status 200 says that tells of an error: the condition does not hold, and the error if it has room."""
    return {
        **{path: code for path, code in error.items() if not _clash(path, condition.path)},
        condition.path: _other(condition),
    }


def _clash(one: str, other: str) -> bool:
    """Whether two paths can't be in one document."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _other(condition: Condition) -> str | int | bool:
    """Return a value that says that all did not go well."""
    if isinstance(condition.equals, bool):
        return not condition.equals
    return condition.equals + 1 if isinstance(condition.equals, int) else "error"

"""Giving a grant back to the provider (RFC 7009, and the ways of those who do it otherwise)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from app import clock, egress
from app.catalog import addresses
from app.catalog.protocol import Body, ClientAuth, Revoke, RevokeAuth, RevokeStyle
from app.catalog.schema import App
from app.egress import EgressError, EgressFailed, Response
from app.errors import Refused
from app.oauth import paths
from app.oauth.client import ClientCredentials, basic, ways_of
from app.oauth.endpoints import Endpoints
from app.oauth.faults import OAuthError, note_answer, of_status, wait
from app.vault import Masked

_GONE = frozenset({"invalid_token", "invalid_grant", "token_revoked", "token_expired", "invalid_refresh_token"})


class RevokeOutcome(StrEnum):
    """What became of a revocation: done, not to be had there, or to be tried again."""

    CONFIRMED = "confirmed"
    UNSUPPORTED = "unsupported"
    FAILED = "failed"


class RevokeLater(OAuthError):
    """The provider wants to be asked again later, after `retry_after` seconds."""


def revoke(
    app: App,
    client: ClientCredentials,
    endpoints: Endpoints,
    *,
    access_token: Masked | None,
    refresh_token: Masked | None,
    fields: Mapping[str, str],
) -> RevokeOutcome:
    """Revoke a grant at its provider; `fields` hold what was typed and what was kept.

    Whatever the provider does is an outcome, but for a failure that says when to try again: RevokeLater.

    A token that the provider no longer knows counts as revoked (RFC 7009 2.2), if it is all there is of the grant: an access
    token may have ended, or been replaced, beside a refresh token that lives. Whether siblings would lose theirs too
    (`Revoke.breaks_siblings`) is for the caller to ask first, as it is for the caller to give an access token that has not ended
    (`presents_access`), and the client that got the grant.
    """
    way = _way(app, endpoints)
    access, fresh = (token.reveal() if token else "" for token in (access_token, refresh_token))
    given = _given(way, access, fresh)
    if way is None or not given:
        return RevokeOutcome.UNSUPPORTED
    secrets = {"client_id": client.client_id, "client_secret": client.secret}
    values = {**fields, **secrets, "token": given, "access_token": access, "refresh_token": fresh}
    try:
        answer = _call(app, way, client, endpoints.revoke, values)
    except (Refused, EgressError):
        return RevokeOutcome.FAILED
    outcome = _outcome(way, answer, is_all=given == fresh or not fresh)
    if outcome is RevokeOutcome.FAILED:
        said = answer.body[:1024].decode("utf-8", "replace")
        hide = (access_token, refresh_token, client.client_secret)
        note_answer("oauth.revoke_failed", app.key, said, hide=hide, status=answer.status)
        if later := wait(answer.headers.get("Retry-After"), clock.now()):
            raise RevokeLater(of_status(answer.status), retry_after=later)
    return outcome


def presents_access(
    app: App, endpoints: Endpoints, *, access_token: Masked | None, refresh_token: Masked | None
) -> bool:
    """Whether the provider is given the access token though there is a refresh token, so that it must be one that works."""
    way = _way(app, endpoints)
    if way is None or access_token is None or refresh_token is None:
        return False
    return _given(way, "access", "refresh") == "access"


def _way(app: App, endpoints: Endpoints) -> Revoke | None:
    return ways_of(app).revoke or (Revoke(url=endpoints.revoke) if endpoints.revoke else None)


def _given(way: Revoke | None, access: str, refresh: str) -> str:
    return (refresh or access) if way and way.token == "refresh_token" else (access or refresh)  # noqa: S105


def _call(app: App, way: Revoke, client: ClientCredentials, template: str, values: Mapping[str, str]) -> Response:
    ways = ways_of(app)
    params = {name: addresses.fill(text, values) for name, text in way.params.items()}
    if way.body is not Body.NONE:
        params[way.token_param] = values["token"]
    if way.style is RevokeStyle.RFC7009 and way.auth is RevokeAuth.CLIENT and not way.headers:
        params["token_type_hint"] = "refresh_token" if values["token"] == values["refresh_token"] else "access_token"
    headers = {name: addresses.fill(text, values) for name, text in way.headers.items()}
    if not headers:
        headers, proof = _proof(way.auth, ways.client_auth, client, values["token"])
        params |= {ways.rename.get(name, name): value for name, value in proof.items()}
    sent: dict[str, Any] = {}
    if way.body is not Body.NONE:
        sent = {"json" if way.body is Body.JSON else "data": params}
    elif params:
        sent = {"params": params}
    return egress.current().request(way.method, app.expand(template, values), headers=headers, **sent)


def _proof(
    auth: RevokeAuth, client_auth: ClientAuth, client: ClientCredentials, token: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the headers and parameters that authenticate a revocation; `client` means as at the token address."""
    if auth is RevokeAuth.BEARER:
        return {"Authorization": f"Bearer {token}"}, {}
    if auth is RevokeAuth.BASIC or (auth is RevokeAuth.CLIENT and client_auth is ClientAuth.BASIC):
        return {"Authorization": basic(client)}, {}
    if auth is RevokeAuth.NONE:
        return {}, {}
    public = not client.secret or (auth is RevokeAuth.CLIENT and client_auth is ClientAuth.NONE)
    return {}, {"client_id": client.client_id} | ({} if public else {"client_secret": client.secret})


def _outcome(way: Revoke, answer: Response, *, is_all: bool) -> RevokeOutcome:
    """Say what an answer means; `is_all` of the grant is the token that was given."""
    document = _document(answer)
    if answer.ok and (way.ok is None or paths.holds(way.ok, document)):
        return RevokeOutcome.CONFIRMED
    error = paths.text(document.get("error"))
    is_unknown = (answer.status < 500 and error in _GONE) or (way.method == "DELETE" and answer.status in {404, 410})
    if is_unknown and is_all:
        return RevokeOutcome.CONFIRMED
    if error == "unsupported_token_type":  # RFC 7009 2.2.1
        return RevokeOutcome.UNSUPPORTED
    return RevokeOutcome.FAILED


def _document(answer: Response) -> dict[str, Any]:
    try:
        document = answer.json()
    except EgressFailed:
        return {}
    return document if isinstance(document, dict) else {}

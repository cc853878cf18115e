"""Sending a person to a provider's consent screen (RFC 6749 4.1.1)."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from app.catalog import addresses
from app.catalog.protocol import OAuth2, Source
from app.catalog.schema import App
from app.oauth.client import ClientCredentials, authlib_client, renamed, ways_of
from app.oauth.endpoints import Endpoints, resolve
from app.vault import Masked


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """A flow about to begin: where the browser goes, and what must be remembered until it comes back."""

    url: str = field(repr=False)
    state: Masked
    nonce: str | None
    code_verifier: Masked | None
    endpoints: Endpoints
    scopes: tuple[str, ...]  # all that is asked, the app's default ones included


def begin(
    app: App,
    client: ClientCredentials,
    *,
    redirect_uri: str,
    scopes: Iterable[str],
    fields: Mapping[str, str],
    login_hint: str | None = None,
) -> Authorization:
    """Make the address to approve `scopes` at; raises Refused for a field that does not fit, OAuthError for the provider's metadata.

    The state has 256 random bits; PKCE is S256 (RFC 7636) unless the catalog says that the provider breaks on it.
    """
    ways = ways_of(app)
    endpoints = resolve(app, fields)
    asked = ways.asked(scopes)
    state = secrets.token_urlsafe(32)
    verifier = secrets.token_urlsafe(48) if ways.pkce else None
    nonce = secrets.token_urlsafe(32) if _wants_nonce(ways, asked) else None
    hint = login_hint if _is_openid(ways, asked) else None
    ours = {"response_mode": ways.response_mode, "nonce": nonce, "login_hint": hint}
    extra = filled(app, ways.authorize_params, fields) | {name: value for name, value in ours.items() if value}
    url, _ = authlib_client(ways, client).create_authorization_url(
        endpoints.authorize,
        state=state,
        code_verifier=verifier,
        redirect_uri=redirect_uri,
        scope=ways.scope_text(asked) or None,
    )
    return Authorization(
        url=_completed(ways, endpoints.authorize, url, extra),
        state=Masked(state),
        nonce=nonce,
        code_verifier=Masked(verifier) if verifier else None,
        endpoints=endpoints,
        scopes=asked,
    )


def filled(app: App, params: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """Put checked fields into extra parameters."""
    return {
        name: addresses.fill(text, {place: app.value(place, values) for place in addresses.placeholders(text)})
        for name, text in params.items()
    }


def _wants_nonce(ways: OAuth2, asked: tuple[str, ...]) -> bool:
    return ways.nonce or ways.identity.source is Source.ID_TOKEN or "openid" in asked


def _is_openid(ways: OAuth2, asked: tuple[str, ...]) -> bool:
    """Whether the provider understands `login_hint` (OpenID Connect Core 3.1.2.1); others may break on it."""
    return bool(ways.discovery_url) or "openid" in asked


def _completed(ways: OAuth2, address: str, url: str, extra: Mapping[str, str]) -> str:
    """Add the extra parameters (they win), in the provider's own names; spaces as %20, which every decoder reads."""
    before, _, query = url.partition("?")
    if before == address and not extra and not ways.rename:
        return f"{before}?{query.replace('+', '%20')}"  # in a query as Authlib writes it a plus is a space
    parts = urlsplit(url)
    params = dict(parse_qsl(parts.query, keep_blank_values=True)) | dict(extra)
    return urlunsplit(parts._replace(query=urlencode(renamed(ways, params), quote_via=quote, safe="")))

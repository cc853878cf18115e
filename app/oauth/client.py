"""The agency's registration with a provider, and how its calls are signed (RFC 6749 2.3)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit, urlunsplit

from authlib.integrations.httpx_client import OAuth2Client

from app import egress
from app.catalog.protocol import Body, ClientAuth, OAuth2
from app.catalog.schema import App
from app.oauth.faults import Fault, OAuthError
from app.vault import Masked

METHOD = "catalog"
Signed = tuple[str, MutableMapping[str, str], str | bytes]
Signer = Callable[[Any, str, str, MutableMapping[str, str], str | bytes], Signed]


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """A client id and, unless the client is public, its secret."""

    client_id: str
    client_secret: Masked | None = None

    @property
    def secret(self) -> str:
        """The secret itself, empty for a public client."""
        return self.client_secret.reveal() if self.client_secret else ""


def ways_of(app: App) -> OAuth2:
    """Return how an app does OAuth 2; one that does not is a misconfiguration."""
    if app.oauth2 is None:
        raise OAuthError(Fault.MISCONFIGURED)
    return app.oauth2


def session(ways: OAuth2, client: ClientCredentials, *, deadline: float) -> OAuth2Client:
    """Make Authlib's client for one call; it shares the process's connections and nothing else with other calls."""
    made = OAuth2Client(
        client.client_id,
        client.secret,
        token_endpoint_auth_method=METHOD,
        code_challenge_method="S256" if ways.pkce else None,
        leeway=0,
        transport=egress.current().transport(deadline),
        trust_env=False,
    )
    made.register_client_auth_method((METHOD, _signer(ways, client)))
    return made


def basic(client: ClientCredentials) -> str:
    """Return the Basic header; id and secret are form-encoded first (RFC 6749 2.3.1), which many leave out."""
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.secret)}"
    return "Basic " + base64.b64encode(pair.encode("ascii")).decode("ascii")


def identified(ways: OAuth2, client: ClientCredentials, params: Mapping[str, str]) -> dict[str, str]:
    """Add what identifies the client to the parameters of a call, unless it goes in the header."""
    if ways.client_auth is ClientAuth.BASIC:
        return dict(params)
    named = {**params, "client_id": client.client_id}
    if ways.client_auth is ClientAuth.POST and client.secret:
        named["client_secret"] = client.secret
    return named


def renamed(ways: OAuth2, params: Mapping[str, str]) -> dict[str, str]:
    """Call parameters what the provider calls them."""
    return {ways.rename.get(name, name): value for name, value in params.items()}


def _signer(ways: OAuth2, client: ClientCredentials) -> Signer:
    def sign(_: Any, method: str, uri: str, headers: MutableMapping[str, str], body: str | bytes) -> Signed:
        if ways.client_auth is ClientAuth.BASIC:
            headers["Authorization"] = basic(client)
        if method == "GET":
            parts = urlsplit(uri)
            query = urlencode(renamed(ways, identified(ways, client, dict(_pairs(parts.query)))))
            return urlunsplit(parts._replace(query=query)), headers, body
        params = renamed(ways, identified(ways, client, dict(_pairs(body))))
        if ways.token_body is Body.JSON:
            headers["Content-Type"] = "application/json"
            return uri, headers, json.dumps(params)
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return uri, headers, urlencode(params)

    return sign


def _pairs(text: str | bytes) -> list[tuple[str, str]]:
    return parse_qsl(text.decode("ascii") if isinstance(text, bytes) else text, keep_blank_values=True)

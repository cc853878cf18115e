"""The agency's registration with a provider, and how its calls are signed (RFC 6749 2.3)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote_plus, urlencode

from authlib.oauth2.auth import ClientAuth as Signature
from authlib.oauth2.client import OAuth2Client

from app import egress
from app.catalog.protocol import Body, ClientAuth, OAuth2
from app.catalog.schema import App
from app.egress import Response
from app.oauth.faults import Fault, OAuthError
from app.vault import Masked

METHOD = "catalog"
Signed = tuple[str, dict[str, str], str]
Signer = Callable[[Any, str, str, dict[str, str], Mapping[str, str]], Signed]


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


class Session:
    """What Authlib sends one call through: the process's connections are shared with other calls, and nothing else.

    The answer is kept unread. Authlib's reading of answers fits RFC 6749 alone, so it is given a stand-in to read.
    """

    answer: Response
    status_code = 200

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def post(self, url: str, *, data: Mapping[str, str], headers: Mapping[str, str], auth: Signature) -> Self:
        """Send parameters as `auth` signs them; raises EgressError."""
        uri, signed, body = auth.prepare("POST", url, dict(headers), data)
        self.answer = egress.current().transport(self._deadline).post(uri, headers=signed, content=body.encode("ascii"))
        return self

    def json(self) -> dict[str, str]:
        """Return the stand-in."""
        return {"access_token": "-"}


def authlib_client(ways: OAuth2, client: ClientCredentials, session: Session | None = None) -> OAuth2Client:
    """Make Authlib's client for one call, which goes through `session`."""
    made = OAuth2Client(
        session,
        client.client_id,
        client.secret,
        token_endpoint_auth_method=METHOD,
        code_challenge_method="S256" if ways.pkce else None,
        leeway=0,
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
    def sign(_: Any, _method: str, uri: str, headers: dict[str, str], body: Mapping[str, str]) -> Signed:
        if ways.client_auth is ClientAuth.BASIC:
            headers["Authorization"] = basic(client)
        params = renamed(ways, identified(ways, client, body))
        if ways.token_body is Body.JSON:
            headers["Content-Type"] = "application/json"
            return uri, headers, json.dumps(params)
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return uri, headers, urlencode(params)

    return sign

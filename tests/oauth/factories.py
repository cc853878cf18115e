"""Apps, clients and answers to play a provider with; plain functions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from app.catalog.protocol import Identity as IdentityWay
from app.catalog.protocol import Keep, OAuth2
from app.catalog.schema import Api, App, Field
from app.oauth import ClientCredentials, Endpoints, Token, exchange, identify
from app.oauth.endpoints import resolve
from app.oauth.identify import Identity
from app.vault import Masked

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
CLIENT = ClientCredentials("client-1", Masked("canary-client-secret"))
REDIRECT = "https://access.example/oauth/callback/abc"
HOUR = AT + timedelta(hours=1)
PLAIN = {"access_token": "canary-access", "token_type": "Bearer", "expires_in": 3600}
NOW = int(AT.timestamp())
TOKEN = Token(access_token=Masked("canary-access"))

KEEPS = (
    Keep(path="instance_url", name="instance", pattern=r"https://[a-z]+\.acme\.example", required=True),
    Keep(path="team.id", name="team", pattern="[A-Z0-9]+"),
    Keep(path="domain", name="domain", pattern="[a-z]+", default="us"),
)


def an_app(server: HTTPServer, *, fields: tuple[Field, ...] = (), api: Api | None = None, **quirks: Any) -> App:
    """An app whose provider is the test's server, regular but for `quirks`."""
    base = server.url_for("/").rstrip("/")
    ways: dict[str, Any] = {
        "authorize_url": f"{base}/authorize",
        "token_url": f"{base}/token",
        "identity": IdentityWay(url=f"{base}/me", id=("id",), label=("name",)),
        **quirks,
    }
    if "discovery_url" in quirks:
        del ways["authorize_url"], ways["token_url"]
    return App(
        key="acme",
        name="Acme",
        category="Support",
        website="https://acme.example",
        api=api or Api(base_url=base),
        fields=fields,
        oauth2=OAuth2(**ways),
        loopback_http=True,
    )


def ends_of(app: App, **fields: str) -> Endpoints:
    return resolve(app, fields)


def serve(server: HTTPServer, path: str, answer: object = None, *, status: int = 200, **headers: str) -> None:
    """Answer `path` with JSON, or with bytes as they are."""
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    kind = headers.pop("content_type", "application/json")
    server.expect_request(path).respond_with_data(body, status=status, headers=headers, content_type=kind)


def echo(server: HTTPServer, path: str, answer: object) -> list[Request]:
    """Answer `path` with JSON and return the list in which the calls will be."""
    calls: list[Request] = []

    def handle(asked: Request) -> Response:
        asked.get_data()
        calls.append(asked)
        return Response(json.dumps(answer), content_type="application/json")

    server.expect_request(path).respond_with_handler(handle)
    return calls


def exchanged(
    app: App,
    *,
    client: ClientCredentials = CLIENT,
    kept: Mapping[str, str] | None = None,
    fields: Mapping[str, str] | None = None,
    scopes: tuple[str, ...] = ("read",),
    ends: Endpoints | None = None,
    verifier: str = "v" * 64,
) -> Token:
    """The token for a code."""
    return exchange(
        app,
        client,
        ends or ends_of(app, **(fields or {})),
        code=Masked("canary-code"),
        verifier=Masked(verifier) if verifier else None,
        redirect_uri=REDIRECT,
        fields=fields or {},
        kept=kept or {},
        scopes=scopes,
        at=AT,
    )


def identified(
    app: App,
    token: Token = TOKEN,
    *,
    nonce: str | None = None,
    fields: Mapping[str, str] | None = None,
    ends: Endpoints | None = None,
) -> Identity:
    """Whose account a token is of."""
    fields = fields or {}
    return identify(app, ends or resolve(app, dict(fields)), token, nonce=nonce, fields=fields, client=CLIENT, at=AT)


def answer(**members: object) -> dict[str, object]:
    """A token as most send it, with other members or more."""
    return {**PLAIN, **members}

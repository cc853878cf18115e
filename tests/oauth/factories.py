"""Apps, clients and answers to play a provider with; plain functions."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from app.catalog.protocol import Identity, OAuth2
from app.catalog.schema import Api, App, Field
from app.oauth import ClientCredentials, Endpoints
from app.oauth.endpoints import resolve
from app.vault import Masked

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
CLIENT = ClientCredentials("client-1", Masked("canary-client-secret"))
REDIRECT = "https://access.example/oauth/callback/abc"


def an_app(server: HTTPServer, *, fields: tuple[Field, ...] = (), api: Api | None = None, **quirks: Any) -> App:
    """An app whose provider is the test's server, regular but for `quirks`."""
    base = server.url_for("/").rstrip("/")
    ways: dict[str, Any] = {
        "authorize_url": f"{base}/authorize",
        "token_url": f"{base}/token",
        "identity": Identity(url=f"{base}/me", id=("id",), label=("name",)),
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

"""A fresh access token for a grant (RFC 6749 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from authlib.oauth2.client import OAuth2Client

from app.catalog.schema import App
from app.oauth.answers import Reading, token
from app.oauth.client import ClientCredentials, ways_of
from app.oauth.endpoints import Endpoints
from app.oauth.exchange import ask
from app.oauth.token import Token
from app.vault import Masked

DEADLINE = 30.0


def refresh(
    app: App,
    client: ClientCredentials,
    endpoints: Endpoints,
    *,
    refresh_token: Masked,
    fields: Mapping[str, str],
    scopes: tuple[str, ...],
    at: datetime,
) -> Token:
    """Refresh a grant; `fields` hold what was typed and what was kept. Raises TokenError, whose `ends_grant` alone is final.

    Where no new refresh token comes the old one stays; `scopes` None means that they are as before.
    """
    ways = ways_of(app)

    def call(through: OAuth2Client, url: str, extra: str) -> None:
        through.refresh_token(url, refresh_token=refresh_token.reveal(), body=extra)

    answer = ask(
        app, client, endpoints.refresh, params=ways.refresh_params, values=fields, call=call, deadline=DEADLINE
    )
    hide = (refresh_token, client.client_secret)
    got = token(app, answer, Reading(at=at, asked=scopes, fields=fields, hide=hide, again=True))
    return replace(got, refresh_token=got.refresh_token or refresh_token)

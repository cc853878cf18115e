"""Trading a code for a token (RFC 6749 4.1.3), and that for a long-lived one where the provider has such a thing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from authlib.oauth2.client import OAuth2Client

from app import egress
from app.catalog import addresses
from app.catalog.protocol import Exchange
from app.catalog.schema import App
from app.egress import EgressError, Response
from app.errors import Refused
from app.oauth.answers import Reading, TokenError, token
from app.oauth.authorize import filled
from app.oauth.client import ClientCredentials, Session, authlib_client, ways_of
from app.oauth.endpoints import Endpoints
from app.oauth.faults import Fault, of_egress
from app.oauth.token import Token
from app.vault import Masked

DEADLINE = 20.0


def exchange(
    app: App,
    client: ClientCredentials,
    endpoints: Endpoints,
    *,
    code: Masked,
    verifier: Masked | None,
    redirect_uri: str,
    fields: Mapping[str, str],
    kept: Mapping[str, str],
    scopes: tuple[str, ...],
    at: datetime,
) -> Token:
    """Exchange a code, once; `scopes` are those asked, `kept` what the callback gave. Raises TokenError."""
    ways, values = ways_of(app), {**fields, **kept}
    hide = (code, verifier, client.client_secret)
    reading = Reading(at=at, asked=scopes, fields=fields, hide=hide)

    def call(through: OAuth2Client, url: str, extra: str) -> None:
        proof = {"code_verifier": verifier.reveal()} if verifier else {}
        through.fetch_token(
            url,
            body=extra,
            grant_type="authorization_code",
            code=code.reveal(),
            redirect_uri=redirect_uri,
            **proof,
        )

    answer = ask(app, client, endpoints.token, params=ways.token_params, values=values, call=call, deadline=DEADLINE)
    got = token(app, answer, reading)
    if ways.exchange:
        got = _long_lived(app, client, ways.exchange, got, replace(reading, hide=(*hide, got.access_token)))
    return replace(got, kept={**kept, **got.kept})


def ask(
    app: App,
    client: ClientCredentials,
    template: str,
    *,
    params: Mapping[str, str],
    values: Mapping[str, str],
    call: Callable[[OAuth2Client, str, str], None],
    deadline: float,
) -> Response:
    """Make one call to a token address, shaped and signed by Authlib, and return the answer unread; raises TokenError."""
    secrets = {"client_id": client.client_id, "client_secret": client.secret}
    session = Session(deadline)
    try:
        url, extra = app.expand(template, values), urlencode(filled(app, params, {**values, **secrets}))
        call(authlib_client(ways_of(app), client, session), url, extra)
    except Refused:
        raise TokenError(Fault.MISCONFIGURED) from None
    except EgressError as error:
        raise TokenError(of_egress(error)) from None
    return session.answer


def _long_lived(app: App, client: ClientCredentials, way: Exchange, short: Token, reading: Reading) -> Token:
    """Trade a short-lived token at once; what the second answer leaves out stays as the first one said."""
    values = {
        "access_token": short.access_token.reveal(),
        "client_id": client.client_id,
        "client_secret": client.secret,
    }
    sent: dict[str, Any]
    try:
        params = {name: addresses.fill(text, values) for name, text in way.params.items()}
        sent = {"params": params} if way.method == "GET" else {"data": params}
        url = app.expand(way.url, {**reading.fields, **short.kept})
        answer = egress.current().request(way.method, url, deadline=DEADLINE, **sent)
    except Refused:
        raise TokenError(Fault.MISCONFIGURED) from None
    except EgressError as error:
        raise TokenError(of_egress(error)) from None
    long = token(app, answer, replace(reading, again=True))
    return replace(
        short,
        access_token=long.access_token,
        refresh_token=long.refresh_token or short.refresh_token,
        expires_at=long.expires_at,
        scopes=short.scopes if long.scopes is None else long.scopes,
    )

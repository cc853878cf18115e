"""The whole way of a connection through `app.oauth`, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx2

from app import clock, oauth
from app.catalog.protocol import OAuth2
from app.catalog.schema import App
from app.oauth import Authorization, ClientCredentials, Identity, RevokeOutcome, Token
from app.sandbox import Provider, clients_of
from app.vault import Masked
from tests.sandbox.person import PLAIN, Pairs, Person

PANEL = "http://localhost:8000"
REDIRECT = f"{PANEL}/oauth/callback/tEst-1"


@dataclass
class Flow:
    """One app, one client of it, and the fields that it asks for."""

    app: App
    ways: OAuth2
    client: ClientCredentials
    fields: dict[str, str]
    values: dict[str, str] = field(default_factory=dict)

    @property
    def scopes(self) -> tuple[str, ...]:
        """All that the app's actions need."""
        return self.app.scopes_for(action.key for action in self.app.actions)

    def begin(self, **options: str) -> Authorization:
        return oauth.begin(
            self.app, self.client, redirect_uri=REDIRECT, scopes=self.scopes, fields=self.fields, **options
        )

    def exchange(self, begun: Authorization, callback: Pairs, *, redirect_uri: str | None = None) -> Token:
        """Read the callback and redeem its code."""
        assert oauth.state_of(callback) == begun.state.reveal()
        params = oauth.read(self.app, callback, begun.endpoints, client=self.client, fields=self.fields)
        token = oauth.exchange(
            self.app,
            self.client,
            begun.endpoints,
            code=params.code,
            verifier=begun.code_verifier,
            redirect_uri=redirect_uri or REDIRECT,
            fields=self.fields,
            kept=params.kept,
            scopes=begun.scopes,
            at=clock.now(),
        )
        self.values = {**self.fields, **token.kept}
        return token

    def identify(self, begun: Authorization, token: Token) -> Identity:
        found = oauth.identify(
            self.app,
            begun.endpoints,
            token,
            nonce=begun.nonce,
            fields=self.fields,
            client=self.client,
            at=clock.now(),
        )
        self.values |= found.kept
        return found

    def connect(self, person: Person) -> tuple[Authorization, Token, Identity]:
        """Go from the start to an account that is known."""
        begun = self.begin()
        token = self.exchange(begun, person.approve(begun.url))
        return begun, token, self.identify(begun, token)

    def refresh(self, begun: Authorization, refresh_token: Masked) -> Token:
        return oauth.refresh(
            self.app,
            self.client,
            begun.endpoints,
            refresh_token=refresh_token,
            fields=self.values,
            scopes=begun.scopes,
            at=clock.now(),
        )

    def revoke(self, begun: Authorization, token: Token) -> RevokeOutcome:
        return oauth.revoke(
            self.app,
            self.client,
            begun.endpoints,
            access_token=token.access_token,
            refresh_token=token.refresh_token,
            fields=self.values,
        )

    def call_api(self, token: Token) -> httpx2.Response:
        """Use the credential as a caller does."""
        secrets = {"client_id": self.client.client_id, "client_secret": self.client.secret}
        values = {**self.values, **secrets, "access_token": token.access_token.reveal()}
        url = self.app.expand(self.app.api.base_url, values)
        with httpx2.Client(trust_env=False, verify=PLAIN) as http:
            return http.get(f"{url}/things/1", headers=self.app.headers(values))


class Connector:
    """Makes flows for the apps of a sandbox."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    def __call__(self, key: str, *, own: bool = False) -> Flow:
        app = self.provider.catalog.get(key)
        assert app.oauth2
        made = clients_of(app)[1 if own else 0]
        fields = {one.name: one.clean(one.example if one.required else one.default) for one in app.fields}
        return Flow(app, app.oauth2, ClientCredentials(made.client_id, Masked(made.secret)), fields)

"""The sandbox's memory: bounded, shared by threads, and written to a file if it is given one."""

from __future__ import annotations

import functools
import hashlib
import secrets
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from app.catalog.schema import App
from app.sandbox import snapshot
from app.sandbox.grants import CODE_LIFE, Ask, Browser, Code, Grant, Issued, Refusal, Status, Token
from app.sandbox.policy import Policy

ROOM = 500  # of each kind; the oldest go first
ROOM_FOR_TOKENS = 10 * ROOM
P = ParamSpec("P")
R = TypeVar("R")


def _alone(method: Callable[Concatenate[Store, P], R]) -> Callable[Concatenate[Store, P], R]:
    """Have only one thread at a time in the methods so marked."""

    @functools.wraps(method)
    def alone(self: Store, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.lock:
            return method(self, *args, **kwargs)

    return alone


def _changing(method: Callable[Concatenate[Store, P], R]) -> Callable[Concatenate[Store, P], R]:
    """Likewise, and write the file afterwards, also if the method refuses."""

    @functools.wraps(method)
    def saved(self: Store, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.lock:
            try:
                return method(self, *args, **kwargs)
            finally:
                self.save()

    return saved


def hashed(token: str) -> str:
    """Return what a token is kept under."""
    return hashlib.sha256(token.encode()).hexdigest()


def _bound(room: dict[str, Any], most: int) -> None:
    for oldest in list(room)[:-most]:
        del room[oldest]


class Store:
    """Accounts, grants and tokens; each method is one step that no other thread sees half done."""

    def __init__(self, path: Path | None = None) -> None:
        """Take up what the file at `path` holds, if there is one."""
        self.lock = threading.RLock()
        self.path = path
        self.memory = snapshot.read(path)
        self.asks: dict[str, Ask] = {}
        self.codes: dict[str, Code] = {}

    def save(self) -> None:
        """Write the file if something in it has changed."""
        for room in (self.memory.grants, self.memory.browsers, self.asks, self.codes):
            _bound(room, ROOM)
        _bound(self.memory.tokens, ROOM_FOR_TOKENS)
        self.memory.write(self.path)

    # -- browsers

    @_alone
    def accounts(self, browser: str) -> tuple[str, ...]:
        """Return the accounts used in a browser, the one signed in last first."""
        known = self.memory.browsers.get(browser)
        return tuple(reversed(known.accounts)) if known else ()

    @_changing
    def sign_in(self, browser: str, email: str) -> None:
        """Sign an account in; others stay known."""
        accounts = self.memory.browsers.setdefault(browser, Browser()).accounts
        if email in accounts:
            accounts.remove(email)
        accounts.append(email)
        del accounts[:-8]

    @_changing
    def sign_out(self, browser: str) -> None:
        """Forget a browser's accounts."""
        self.memory.browsers.pop(browser, None)

    # -- authorization

    @_changing
    def put(self, ask: Ask) -> None:
        """Keep an authorization request until it is answered."""
        self.asks[ask.id] = ask

    @_alone
    def ask(self, ask_id: str, at: datetime) -> Ask | None:
        """Find an authorization request that still waits."""
        found = self.asks.get(ask_id)
        return None if found is None or found.is_over(at) else found

    @_alone
    def drop(self, ask: Ask) -> bool:
        """Take an answered request away; False if it was answered before."""
        return self.asks.pop(ask.id, None) is not None

    @_changing
    def approve(
        self, ask: Ask, email: str, scopes: tuple[str, ...], *, kept: Mapping[str, str], adds_up: bool, at: datetime
    ) -> str:
        """Make a grant and return its code; where scopes add up, earlier ones of the account are in it."""
        if not self.drop(ask):
            raise Refusal("invalid_request", "This request was answered before.")
        earlier = (
            [s for grant in self._siblings(ask.app, ask.client_id, email) for s in grant.scopes] if adds_up else []
        )
        grant = Grant(
            id=secrets.token_urlsafe(9),
            app=ask.app,
            client_id=ask.client_id,
            email=email,
            scopes=tuple(dict.fromkeys((*earlier, *scopes))),
            values={**ask.fields, **kept},
            nonce=ask.nonce,
            at=at,
            used_at=at,
        )
        self.memory.grants[grant.id] = grant
        code = secrets.token_urlsafe(24)
        self.codes[hashed(code)] = Code(grant=grant.id, redirect_uri=ask.redirect_uri, challenge=ask.challenge, at=at)
        return code

    @_changing
    def redeem(self, code: str, *, at: datetime) -> tuple[Grant, Code]:
        """Use up a code; a second use ends the grant that the first one gave (RFC 6749 4.1.2)."""
        known = self.codes.get(hashed(code))
        grant = self.memory.grants.get(known.grant) if known else None
        if known is None or grant is None:
            raise Refusal("invalid_grant", "There is no such code.")
        if known.used:
            grant.status = Status.REPLAYED
            raise Refusal("invalid_grant", "This code was used before; what it gave is revoked.")
        known.used = True
        if known.at + CODE_LIFE <= at:
            raise Refusal("invalid_grant", "This code is too old.")
        return grant, known

    # -- tokens

    @_changing
    def issue(
        self, grant: Grant, policy: Policy, *, at: datetime, again: bool = False, exchanged: bool = False
    ) -> Issued:
        """Make tokens for a grant; `again` after a refresh, `exchanged` for the long-lived one."""
        self._forget_ended(at)
        access = policy.access_token(grant)
        lifetime = policy.lifetime(exchanged=exchanged)
        self._keep(access, Token(grant=grant.id, refresh=False, ends_at=at + lifetime if lifetime else None))
        fresh = policy.refresh_token(grant) if policy.gives_refresh_token(again=again) else ""
        if fresh:
            self._keep(fresh, Token(grant=grant.id, refresh=True))
        grant.used_at, grant.tail = at, access[-4:]
        return Issued(
            grant=grant,
            access_token=access,
            refresh_token=fresh,
            lifetime=lifetime,
            refresh_lifetime=policy.refresh_lifetime(grant, at),
        )

    @_changing
    def refreshing(self, refresh_token: str, policy: Policy, *, client_id: str, at: datetime) -> Grant:
        """Find the grant of a refresh token, and spend the token where the app rotates; raises Refusal."""
        token = self.memory.tokens.get(hashed(refresh_token))
        grant = self.memory.grants.get(token.grant) if token and token.refresh else None
        if grant is None or grant.app != policy.app.key or grant.client_id != client_id:
            raise Refusal("invalid_grant", "There is no such refresh token, or it was replaced.")
        if not policy.is_live(grant, at):
            raise Refusal("invalid_grant", f"The grant has ended: {grant.status}.")
        if policy.rotates:
            del self.memory.tokens[hashed(refresh_token)]
        return grant

    @_changing
    def bearer(self, app: App, access_token: str, *, at: datetime) -> Grant:
        """Find the grant that an access token stands for; raises Refusal."""
        token = self.memory.tokens.get(hashed(access_token))
        grant = self.memory.grants.get(token.grant) if token and not token.refresh else None
        ended = token is not None and token.ends_at is not None and token.ends_at <= at
        if grant is None or ended or grant.app != app.key or grant.status is not Status.LIVE:
            raise Refusal("invalid_token", "The access token is unknown, expired or revoked.", status=401)
        grant.used_at = at
        return grant

    @_alone
    def grant_of(self, app: App, token: str, *, refresh: bool) -> Grant | None:
        """Find the grant of a token, which must be of the kind that the app wants to be given; raises Refusal."""
        known = self.memory.tokens.get(hashed(token))
        grant = self.memory.grants.get(known.grant) if known else None
        if known is None or grant is None or grant.app != app.key:
            return None
        if known.refresh is not refresh:
            raise Refusal("unsupported_token_type", "This is the other of the two tokens.")
        return grant

    @_changing
    def end(self, grant: Grant, *, siblings: bool) -> None:
        """End a grant, and with `siblings` all that the account gave to the same client."""
        ended = self._siblings(grant.app, grant.client_id, grant.email) if siblings else [grant]
        for each in ended:
            each.status = Status.REVOKED

    @_changing
    def withdraw(self, grant_id: str) -> None:
        """Take access back, as a person does in the app's own settings."""
        grant = self.memory.grants.get(grant_id)
        if grant and grant.status is Status.LIVE:
            grant.status = Status.WITHDRAWN

    @_alone
    def recent(self, most: int) -> list[Grant]:
        """Return the grants used last, newest first."""
        return sorted(self.memory.grants.values(), key=lambda grant: grant.used_at, reverse=True)[:most]

    def _forget_ended(self, at: datetime) -> None:
        tokens = self.memory.tokens
        for name in [name for name, token in tokens.items() if token.ends_at and token.ends_at <= at]:
            del tokens[name]

    def _keep(self, secret: str, token: Token) -> None:
        self.memory.tokens[hashed(secret)] = token

    def _siblings(self, app: str, client_id: str, email: str) -> list[Grant]:
        wanted = (app, client_id, email, Status.LIVE)
        return [g for g in self.memory.grants.values() if (g.app, g.client_id, g.email, g.status) == wanted]

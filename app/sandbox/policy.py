"""What an app's tokens are like: how long they live, whether they renew, what they look like."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.catalog.protocol import ExpiresAs, OAuth2
from app.catalog.schema import App
from app.sandbox import people
from app.sandbox.grants import Grant

HOUR = timedelta(hours=1)
LONG = timedelta(days=60)
GRANT = timedelta(days=180)
OFFLINE = frozenset({"offline_access", "offline", "refresh_token"})


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one OAuth app."""

    app: App
    ways: OAuth2

    @property
    def rotates(self) -> bool:
        """Whether a refresh token is good for one use."""
        return self.ways.rotation

    @property
    def renews(self) -> bool:
        """Whether there are refresh tokens: not where a token never ends and nothing in the catalog speaks of refreshing."""
        ways = self.ways
        speaks_of_it = (
            ways.rotation
            or ways.refresh_url
            or ways.refresh_params
            or ways.grant_lifetime_days
            or ways.unused_lifetime_days
            or OFFLINE & {*ways.default_scopes, *self.app.scopes}
        )
        ends = ways.token.expires_as is not ExpiresAs.ABSENT
        return bool(ways.token.refresh_token and not ways.exchange and (ends or speaks_of_it))

    def gives_refresh_token(self, *, again: bool) -> bool:
        """Whether an answer carries a refresh token: the first one, and later ones where it rotates."""
        return self.renews and (self.rotates or not again)

    def lifetime(self, *, exchanged: bool) -> timedelta | None:
        """Return how long an access token lives."""
        if self.ways.token.expires_as is ExpiresAs.ABSENT:
            return None
        return LONG if exchanged else HOUR

    def refresh_lifetime(self, grant: Grant, at: datetime) -> timedelta:
        """Return what is left of a grant's life."""
        if self.ways.grant_lifetime_days:
            return grant.at + timedelta(days=self.ways.grant_lifetime_days) - at
        return timedelta(days=self.ways.unused_lifetime_days) if self.ways.unused_lifetime_days else GRANT

    def is_live(self, grant: Grant, at: datetime) -> bool:
        """Whether a grant can still be refreshed."""
        return grant.is_live(at, lifetime=self.ways.grant_lifetime_days, unused=self.ways.unused_lifetime_days)

    def access_token(self, grant: Grant) -> str:
        """Make an access token; some apps put the account's number before a dot."""
        head = f"{people.number(grant.app, grant.email)}." if self.ways.identity.special else "sandbox-"
        return head + secrets.token_urlsafe(24)

    def refresh_token(self, grant: Grant) -> str:
        """Make a refresh token."""
        return f"sandbox-refresh-{grant.app}-{secrets.token_urlsafe(24)}"

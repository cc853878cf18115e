"""How long what a provider gave lasts: the access token, and the grant behind it."""

from datetime import datetime, timedelta

from app.catalog.schema import App
from app.oauth.token import Token


def grant_ends(app: App, token: Token, *, granted_at: datetime, at: datetime) -> datetime | None:
    """When the grant ends unless its owner approves anew or it is used in time; None where the provider names no end.

    The earliest of: what the token answer says of the refresh token, so long after the consent, so long unused.
    """
    ways = app.oauth2
    known = [token.refresh_expires_at]
    if ways is not None and ways.grant_lifetime_days:
        known.append(granted_at + timedelta(days=ways.grant_lifetime_days))
    if ways is not None and ways.unused_lifetime_days:
        known.append(at + timedelta(days=ways.unused_lifetime_days))
    return min(filter(None, known), default=None)

"""How long what a provider gave lasts: the access token, and the grant behind it."""

from datetime import datetime, timedelta

from app.catalog.schema import App
from app.oauth.token import Token

ASSUMED = timedelta(hours=1)  # the life of a token that can be refreshed and names no end
LEFT = timedelta(minutes=15)  # how long before its end a token is refreshed, or at half its life
AMISS = timedelta(minutes=5)  # by how much a clock may be behind that of the host which stored a token


def token_ends(token_at: datetime | None, expires_at: datetime | None, *, refreshable: bool) -> datetime | None:
    """When an access token ends; None for one that is used until the provider refuses it."""
    if expires_at is None and refreshable and token_at is not None:
        return token_at + ASSUMED
    return expires_at


def refresh_due(token_at: datetime | None, expires_at: datetime | None) -> datetime | None:
    """When a token that can be refreshed should be: less than a quarter of an hour, or half its life, is left then.

    None where neither its beginning nor its end is known.
    """
    ends = token_ends(token_at, expires_at, refreshable=True)
    if ends is None or token_at is None:
        return ends
    return ends - min(LEFT, max(ends - token_at, timedelta()) / 2)


def grant_ends(
    app: App, token: Token, *, granted_at: datetime, at: datetime, refreshable: bool = True
) -> datetime | None:
    """When the grant ends unless its owner approves anew or it is used in time; None where the provider names no end.

    The earliest of: what the token answer says of the refresh token, so long after the consent, so long unused; and of an
    access token that is all there is, its own end.
    """
    ways = app.oauth2
    known = [token.refresh_expires_at if refreshable else token.expires_at]
    if ways is not None and ways.grant_lifetime_days:
        known.append(granted_at + timedelta(days=ways.grant_lifetime_days))
    if ways is not None and ways.unused_lifetime_days:
        known.append(at + timedelta(days=ways.unused_lifetime_days))
    return min(filter(None, known), default=None)

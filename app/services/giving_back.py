"""Giving back: a provider is asked to end an access that nobody here is to use any more, unless others live by it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app import clock
from app.catalog.schema import App
from app.database import end_reading
from app.models import Connection
from app.oauth.client import ClientCredentials
from app.oauth.endpoints import Endpoints
from app.oauth.faults import OAuthError
from app.oauth.identify import Identity
from app.oauth.refresh import refresh
from app.oauth.revoke import RevokeLater, RevokeOutcome, presents_access, revoke
from app.oauth.token import Token
from app.services import oauth_clients, secrets, siblings
from app.vault import Masked, VaultError

KEPT_FOR_SIBLING, ACCOUNT_UNKNOWN, NO_CLIENT, ENDED = "kept_for_sibling", "account_unknown", "no_client", "ended"
TOKENS = ("access_token", "refresh_token")
KNOWN_BY = (*TOKENS, "exchanged")  # the refresh token that these were given for is of the same grant
SPARE = timedelta(seconds=30)  # that a token must have left to be worth giving
Tokens = Mapping[str, Masked]


class NotGivenBack(Exception):
    """The provider could not be asked, or did not say yes.

    It should be asked again, in `retry_after` seconds at the earliest and at `until` at the latest.
    """

    def __init__(self, retry_after: int = 0, *, until: datetime | None = None) -> None:
        super().__init__()
        self.retry_after, self.until = retry_after, until


@dataclass(frozen=True, kw_only=True)
class Access:
    """What a provider gave and is to end: by which client of whom, of which account if that is known, and its tokens."""

    app: App
    agency_id: int
    oauth_client: str | None
    client_id: str | None
    account: Identity | None
    endpoints: Mapping[str, Any]
    fields: Mapping[str, str]
    tokens: Tokens
    ends_at: datetime | None  # when the access token does

    @property
    def app_key(self) -> str:
        """Its app."""
        return self.app.key


def ask(access: Access, *, renew: Callable[[], Tokens | None]) -> str:
    """Have the provider end an access, and say what came of it; raises NotGivenBack. Outside a transaction.

    Where that would end other connections of the same account, or another client got it, the provider is not asked. One that wants
    the access token gets one that has not ended: `renew` fetches and keeps it; None if there is none to be had any more.
    """
    app, account = access.app, access.account
    way = app.oauth2.revoke if app.oauth2 else None
    breaks_siblings = bool(way and way.breaks_siblings)
    if breaks_siblings and account is None:
        return ACCOUNT_UNKNOWN
    if _living_by_it(access, breaks_siblings=breaks_siblings):
        return KEPT_FOR_SIBLING
    client = _client(access)
    if client is None or app.oauth2 is None:
        return NO_CLIENT
    end_reading()  # no transaction stays open while we wait
    tokens = renew() if _has_ended(access) else access.tokens
    if tokens is None:
        return ENDED
    # point: grant.revoking
    try:
        given = {name: tokens.get(name) for name in TOKENS}
        outcome = revoke(app, client, Endpoints(**access.endpoints), fields=access.fields, **given)
    except RevokeLater as later:
        raise NotGivenBack(later.retry_after or 0) from None
    if outcome is RevokeOutcome.FAILED:
        raise NotGivenBack
    if outcome is RevokeOutcome.CONFIRMED:
        siblings.doubt(_living_by_it(access, breaks_siblings=breaks_siblings))
    return outcome


def _client(access: Access) -> ClientCredentials | None:
    found = oauth_clients.of(access)
    return ClientCredentials(found.client_id, found.client_secret) if found else None


def _has_ended(access: Access) -> bool:
    """Whether what the provider wants to see is an access token that is no good any more."""
    if access.ends_at is None or clock.now() < access.ends_at - SPARE:
        return False
    given = {name: access.tokens.get(name) for name in TOKENS}
    return presents_access(access.app, Endpoints(**access.endpoints), **given)


def refreshed(access: Access) -> Token | None:
    """A new token of an access that is to be ended; None if its grant is gone. Raises NotGivenBack. Outside a transaction."""
    client = _client(access)
    end_reading()
    if client is None:
        raise NotGivenBack
    at, known = clock.now(), access.tokens["refresh_token"]
    try:
        return refresh(
            access.app,
            client,
            Endpoints(**access.endpoints),
            refresh_token=known,
            fields=access.fields,
            scopes=(),
            at=at,
        )
    except OAuthError as error:
        if getattr(error, "ends_grant", False):
            return None
        raise NotGivenBack(error.retry_after or 0) from None


def tokens_of(token: Token) -> dict[str, Masked]:
    """The parts of a token that was refreshed."""
    parts = {"access_token": token.access_token, "refresh_token": token.refresh_token}
    return {name: value for name, value in parts.items() if value}


def _living_by_it(access: Access, *, breaks_siblings: bool) -> list[Connection]:
    """The living connections that it would end: all of the account's where they hang together, else those with the very token."""
    living = siblings.of(access, access.account) if access.account else siblings.of_any_account(access)
    if breaks_siblings:
        return list(living)
    ours = [access.tokens[name] for name in KNOWN_BY if name in access.tokens]
    return [each for each in living if any(token in ours for token in _tokens_of(each))]


def _tokens_of(connection: Connection) -> list[Masked]:
    try:
        return list(secrets.reveal(connection).values())
    except VaultError:  # what does not open is of no use to anybody, and so not in use
        return []

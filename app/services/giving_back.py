"""Giving back: a provider is asked to end an access that nobody here is to use any more, unless others live by it."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import update

from app.database import end_reading, transaction
from app.extensions import db
from app.models import Agency, Connection, Flow, Health
from app.oauth.client import ClientCredentials
from app.oauth.endpoints import Endpoints
from app.oauth.identify import Identity
from app.oauth.revoke import RevokeLater, RevokeOutcome, revoke
from app.services import connections, oauth_clients, scopes, secrets
from app.tenancy import across_tenants
from app.vault import Masked, VaultError

KEPT_FOR_SIBLING, ACCOUNT_UNKNOWN, NO_CLIENT = "kept_for_sibling", "account_unknown", "no_client"
TOKENS = ("access_token", "refresh_token")
KNOWN_BY = (*TOKENS, "exchanged")  # the refresh token that these were given for is of the same grant


class NotGivenBack(Exception):
    """The provider could not be asked, or did not say yes.

    It should be asked again, in `retry_after` seconds at the earliest and at `until` at the latest.
    """

    def __init__(self, retry_after: int = 0, *, until: datetime | None = None) -> None:
        super().__init__()
        self.retry_after, self.until = retry_after, until


def ask(
    held: Flow | Connection,
    client_key: str,
    tokens: Mapping[str, Masked],
    account: Identity | None,
    *,
    fields: Mapping[str, str],
    endpoints: Mapping[str, str] | None = None,
) -> str:
    """Have the provider end an access, and say what came of it; raises NotGivenBack. Outside a transaction.

    Where that would end other connections of the same account, the provider is not asked. `endpoints`: other than those of now.
    """
    app = scopes.app_of(held)
    way = app.oauth2.revoke if app.oauth2 else None
    breaks_siblings = bool(way and way.breaks_siblings)
    if breaks_siblings and account is None:
        return ACCOUNT_UNKNOWN
    if account and _is_in_use(held.app_key, client_key, account, tokens, breaks_siblings=breaks_siblings):
        return KEPT_FOR_SIBLING
    client = oauth_clients.by_key(db.session.get_one(Agency, held.agency_id), client_key)
    if client is None or app.oauth2 is None:
        return NO_CLIENT
    addresses, app_key = Endpoints(**(endpoints or held.endpoints or {})), held.app_key
    end_reading()  # no transaction stays open while we wait
    # point: grant.revoking
    try:
        outcome = revoke(
            app,
            ClientCredentials(client.client_id, client.client_secret),
            addresses,
            access_token=tokens.get("access_token"),
            refresh_token=tokens.get("refresh_token"),
            fields=fields,
        )
    except RevokeLater as later:
        raise NotGivenBack(later.retry_after or 0) from None
    if outcome is RevokeOutcome.FAILED:
        raise NotGivenBack
    if account and breaks_siblings and outcome is RevokeOutcome.CONFIRMED:
        _doubt(app_key, client_key, account)
    return outcome


def _is_in_use(
    app_key: str, client_key: str, account: Identity, tokens: Mapping[str, Masked], *, breaks_siblings: bool
) -> bool:
    """Whether it would end a connection that lives: all of the account's where they hang together, else one with the very token."""
    living = connections.siblings(app_key, account, oauth_client=client_key)
    if breaks_siblings:
        return bool(living)
    ours = [tokens[name] for name in KNOWN_BY if name in tokens]
    return any(token in ours for each in living for token in _tokens_of(each))


def _tokens_of(connection: Connection) -> list[Masked]:
    try:
        return list(secrets.reveal(connection).values())
    except VaultError:  # what does not open is of no use to anybody, and so not in use
        return []


def _doubt(app_key: str, client_key: str, account: Identity) -> None:
    """Count what was connected of the account while the provider was asked as not seen working: it may have ended with the rest."""
    with across_tenants("a provider does not know our tenants"), transaction() as session:
        session.execute(
            update(Connection)
            .where(*connections.same_account(app_key, account), Connection.oauth_client == client_key)
            .where(Connection.health == Health.ACTIVE)
            .values(health=Health.PENDING)
            .execution_options(synchronize_session=False)
        )

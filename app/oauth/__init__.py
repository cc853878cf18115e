"""The OAuth 2 protocol alone: it takes an app of the catalog and a client, and knows no table and no page.

In order: `begin` a flow, `read` its callback, `exchange` the code, see what is `missing`, `identify` the account; later
`refresh` and `revoke`. All calls go through `app.egress.current()`; nothing is shared between calls but connections.
"""

from app.oauth.answers import TokenError
from app.oauth.authorize import Authorization, begin
from app.oauth.callback import CallbackParams, CallbackRefused, ProviderDenied, ProviderError, read, state_of
from app.oauth.client import ClientCredentials
from app.oauth.endpoints import Endpoints
from app.oauth.exchange import exchange
from app.oauth.faults import Fault, OAuthError
from app.oauth.identify import Identity, IdentityError, identify
from app.oauth.refresh import refresh
from app.oauth.revoke import RevokeOutcome, revoke
from app.oauth.scopes import missing
from app.oauth.token import Token

__all__ = [
    "Authorization",
    "CallbackParams",
    "CallbackRefused",
    "ClientCredentials",
    "Endpoints",
    "Fault",
    "Identity",
    "IdentityError",
    "OAuthError",
    "ProviderDenied",
    "ProviderError",
    "RevokeOutcome",
    "Token",
    "TokenError",
    "begin",
    "exchange",
    "identify",
    "missing",
    "read",
    "refresh",
    "revoke",
    "state_of",
]

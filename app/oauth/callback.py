"""Reading what a provider sends the browser back with (RFC 6749 4.1.2, RFC 9207)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.catalog import special
from app.catalog.schema import App
from app.oauth import paths
from app.oauth.client import ClientCredentials, ways_of
from app.oauth.endpoints import Endpoints
from app.oauth.faults import Fault, OAuthError, note
from app.vault import Masked

Pairs = Iterable[tuple[str, str]]

_VISIBLE = re.compile(r"[\x20-\x7e]{1,8192}")  # RFC 6749 A.11
_STATE = re.compile(r"[A-Za-z0-9_-]{43}")
_ERRORS = ("error", "error_code", "error_reason")
_DENIED = frozenset(
    {"access_denied", "user_denied", "user_cancelled_login", "user_cancelled_authorize", "consent_required"}
)
_PASSING = frozenset({"temporarily_unavailable", "server_error"})
_MISCONFIGURED = frozenset(
    {
        "invalid_client",
        "invalid_client_id",
        "invalid_request",
        "invalid_scope",
        "redirect_uri_mismatch",
        "unauthorized_client",
        "unsupported_response_type",
    }
)


class CallbackRefused(OAuthError):
    """The parameters are not what this provider would send: repeated, contradictory, or from another issuer."""


class ProviderDenied(OAuthError):
    """The person did not approve."""


class ProviderError(OAuthError):
    """The provider answers with an error instead of a code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackParams:
    """A code to be exchanged, and what else of the callback is kept with the connection."""

    code: Masked
    kept: Mapping[str, str]


def state_of(args: Pairs) -> str | None:
    """Return the state to find the flow by; None if it is missing, repeated, or nothing we would have made."""
    states = [value for name, value in args if name == "state"]
    return states[0] if len(states) == 1 and _STATE.fullmatch(states[0]) else None


def read(
    app: App, args: Pairs, endpoints: Endpoints, *, client: ClientCredentials, fields: Mapping[str, str]
) -> CallbackParams:
    """Check all parameters of a callback and take what they hold; raises CallbackRefused, ProviderDenied or ProviderError."""
    ways, pairs = ways_of(app), list(args)
    params = dict(pairs)
    if len(params) != len(pairs):
        raise CallbackRefused(Fault.MISMATCH)
    _check_issuer(params, endpoints)
    code = params.get(ways.callback_code, "")
    failure = next((params[name] for name in _ERRORS if params.get(name)), "")
    if failure and code:
        raise CallbackRefused(Fault.MISMATCH)
    if failure:
        raise _provider_error(app, failure, params.get("error_description", ""))
    if not _VISIBLE.fullmatch(code):
        raise CallbackRefused(Fault.MISMATCH)
    if ways.callback_check and not special.CALLBACK_CHECKS[ways.callback_check](params, client.secret):
        raise CallbackRefused(Fault.MISMATCH)
    try:
        kept = paths.keep(ways.callback_keep, params.get, fields)
    except OAuthError as error:
        raise CallbackRefused(error.code) from None
    return CallbackParams(code=Masked(code), kept=kept)


def _check_issuer(params: Mapping[str, str], endpoints: Endpoints) -> None:
    """RFC 9207 2.4: `iss` is compared whenever we know the issuer, and must be there when its metadata promises it."""
    if "iss" not in params:
        if endpoints.iss_required:
            raise CallbackRefused(Fault.MISMATCH)
    elif (endpoints.issuer or endpoints.iss_required) and not endpoints.issued_by(params["iss"]):
        raise CallbackRefused(Fault.MISMATCH)


def _provider_error(app: App, error: str, description: str) -> OAuthError:
    """RFC 6749 4.1.2.1, and the spellings of those who went their own way."""
    note("oauth.callback_error", app.key, f"{error}: {description}")
    if error in _DENIED:
        return ProviderDenied(Fault.DENIED)
    if error in _PASSING:
        return ProviderError(Fault.UNAVAILABLE)
    return ProviderError(Fault.MISCONFIGURED if error in _MISCONFIGURED else Fault.ERROR)

"""Verifying id_tokens (OpenID Connect Core 1.0, section 3.1.3.7)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeGuard

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from app.oauth import documents
from app.oauth.endpoints import Endpoints
from app.oauth.faults import Fault, OAuthError
from app.vault import Masked

LEEWAY = 120  # seconds that two clocks may differ
MOST_KEYS = 64  # reading one takes half a millisecond, and a mebibyte holds thousands
SIGNED = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)
_KINDS: Mapping[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}


def verify(
    id_token: Masked,
    endpoints: Endpoints,
    *,
    client_id: str,
    nonce: str | None,
    algorithms: tuple[str, ...],
    at: datetime,
) -> dict[str, Any]:
    """Return the claims of an id_token meant for this client and this flow; raises OAuthError(MISMATCH) for any other."""
    claims = _claims(id_token, endpoints.jwks, sorted(SIGNED.intersection(algorithms)))
    fine = (
        endpoints.issued_by(claims.get("iss"), tenant=str(claims.get("tid")))
        and _is_audience(claims, client_id)
        and _is_current(claims, at)
        and (nonce is None or _same(claims.get("nonce"), nonce))
        and isinstance(claims.get("sub"), str)
        and 0 < len(claims["sub"]) <= 255
    )
    if not fine:
        raise OAuthError(Fault.MISMATCH)
    return claims


def _claims(id_token: Masked, jwks: str, algorithms: list[str]) -> dict[str, Any]:
    if not jwks or not algorithms:
        raise OAuthError(Fault.MISCONFIGURED)
    registry = JWSRegistry(algorithms=algorithms, strict_check_header=False)
    for fresh in (False, True):  # keys are rotated: an unknown one is looked for again, once
        try:
            return dict(jwt.decode(id_token.reveal(), _keys(jwks, fresh=fresh), registry=registry).claims)
        except InvalidKeyIdError:
            continue
        except (JoseError, ValueError, TypeError, RecursionError):
            break
    raise OAuthError(Fault.MISMATCH)


def _keys(url: str, *, fresh: bool) -> KeySet:
    """Read the public signing keys that we understand (RFC 7517 5); a shared secret among them is never one."""
    published = documents.fetch(url, fresh=fresh).get("keys")
    keys: list[Any] = []
    for entry in published[:MOST_KEYS] if isinstance(published, list) else []:
        kind = _KINDS.get(str(entry.get("kty"))) if isinstance(entry, dict) else None
        if kind is None or entry.get("use", "sig") != "sig":
            continue
        try:
            keys.append(kind.import_key(entry))
        except (JoseError, ValueError, TypeError):
            continue
    return KeySet(keys)


def _is_audience(claims: Mapping[str, Any], client_id: str) -> bool:
    """Points 3 to 5: meant for us, and, if it says to whom it was issued or has other audiences, issued to us."""
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    party = claims.get("azp")
    if len(audiences) > 1 and party is None:
        return False
    return client_id in audiences and party in {None, client_id}


def _is_current(claims: Mapping[str, Any], at: datetime) -> bool:
    now = at.timestamp()
    end, start, made = claims.get("exp"), claims.get("nbf", 0), claims.get("iat", 0)
    if not (_is_time(end) and _is_time(start) and _is_time(made)):
        return False
    return end > now - LEEWAY and max(start, made) <= now + LEEWAY


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(value: object, expected: str) -> bool:
    return isinstance(value, str) and hmac.compare_digest(value.encode(), expected.encode())

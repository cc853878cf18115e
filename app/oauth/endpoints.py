"""A provider's addresses for one authorization, frozen when it begins (RFC 9700 4.4: so that no later step is led elsewhere)."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from app import egress
from app.catalog import addresses
from app.catalog.schema import CREDENTIALS, App
from app.egress import EgressRefused
from app.oauth import documents
from app.oauth.client import ways_of
from app.oauth.faults import Fault, OAuthError

WELL_KNOWN = "/.well-known/openid-configuration"
_TENANT = "{tenantid}"  # Microsoft's metadata for many tenants has this in place of the id_token's `tid`
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where each step goes. An address that hangs on what the provider answers later keeps its `{place}` until then."""

    authorize: str
    token: str
    refresh: str
    revoke: str = ""
    userinfo: str = ""
    issuer: str = ""
    jwks: str = ""
    iss_required: bool = False

    def to_json(self) -> str:
        """Write for the flow's row."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, written: str) -> Endpoints:
        """Read what `to_json` wrote."""
        return cls(**json.loads(written))

    def issued_by(self, issuer: object, *, tenant: object = None) -> bool:
        """Whether an issuer is this one, compared as plain text (RFC 9207 2.4); for many tenants, that of `tenant` if given."""
        if not isinstance(issuer, str) or not self.issuer:
            return False
        before, many, after = self.issuer.partition(_TENANT)
        if not many:
            return hmac.compare_digest(issuer.encode(), self.issuer.encode())
        found = issuer.removeprefix(before).removesuffix(after)
        return issuer == before + found + after and bool(_UUID.fullmatch(found)) and tenant in {None, found}


def resolve(app: App, fields: Mapping[str, str]) -> Endpoints:
    """Return an app's addresses for these fields, from the catalog or from discovery; raises Refused or OAuthError."""
    ways = ways_of(app)
    found: Mapping[str, Any] = _discovered(app, fields) if ways.discovery_url else {}

    def now(template: str, name: str) -> str:
        return app.expand(template, fields) if template else str(found.get(name) or "")

    def later(template: str, name: str) -> str:
        waits = CREDENTIALS.union(kept.name for kept in app.keeps()) & set(addresses.placeholders(template))
        return template if waits else now(template, name)

    token = later(ways.token_url, "token_endpoint")
    ends = Endpoints(
        authorize=now(ways.authorize_url, "authorization_endpoint"),
        token=token,
        refresh=later(ways.refresh_url, "") or token,
        revoke=later(ways.revoke.url if ways.revoke else "", "revocation_endpoint"),
        userinfo=later(ways.identity.url, "userinfo_endpoint"),
        issuer=now(ways.issuer, "issuer"),
        jwks=now(ways.jwks_url, "jwks_uri"),
        iss_required=ways.iss_required or found.get("authorization_response_iss_parameter_supported") is True,
    )
    if not ends.authorize or not ends.token:
        raise OAuthError(Fault.MISCONFIGURED)
    return ends


def origin(address: str) -> str:
    """Return scheme and host of an address: the issuer of those who name none."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def _discovered(app: App, fields: Mapping[str, str]) -> dict[str, Any]:
    """Read the provider's metadata (OpenID Connect Discovery 1.0 section 4, RFC 8414): its issuer must be the one asked."""
    ways = ways_of(app)
    url = app.expand(ways.discovery_url, fields)
    document = documents.fetch(url)
    expected = app.expand(ways.issuer, fields) if ways.issuer else url.removesuffix(WELL_KNOWN)
    if not _is_issuer(document.get("issuer"), expected):
        raise OAuthError(Fault.MISMATCH)
    for name in ("authorization_endpoint", "token_endpoint", "revocation_endpoint", "userinfo_endpoint", "jwks_uri"):
        value = document.get(name)
        if value is None:
            continue
        if not isinstance(value, str) or addresses.fault(value, loopback_http=app.loopback_http):
            raise OAuthError(Fault.MISCONFIGURED)
        try:
            egress.current().check(value)
        except EgressRefused:
            raise OAuthError(Fault.MISCONFIGURED) from None
    return document


def _is_issuer(named: object, expected: str) -> bool:
    """Whether metadata names the issuer it was asked of; a closing slash is left off when asking (section 4.1)."""
    if not isinstance(named, str):
        return False
    parts, wanted = named.rstrip("/").split("/"), expected.rstrip("/").split("/")
    return len(parts) == len(wanted) and all(
        part == want or (part == _TENANT and want in {"common", "organizations", "consumers"})
        for part, want in zip(parts, wanted, strict=True)
    )

"""The one outbound HTTP client: providers, discovery, webhooks all go through it and nothing else does."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

import httpx2

from app.egress.addresses import Network, check_url, checked
from app.egress.errors import EgressError, EgressFailed, EgressRefused
from app.egress.responses import Response, parse_json
from app.egress.transport import BEHIND, Exchanges, GuardedTransport, Resolver, behind, system_resolver

__all__ = [
    "BEHIND",
    "Egress",
    "EgressError",
    "EgressFailed",
    "EgressRefused",
    "Response",
    "behind",
    "current",
    "install",
    "parse_json",
]

DEADLINE = 10.0

# They log addresses, some of which carry tokens, and at debug level whole headers.
for _name in ("httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class Egress:
    """A pooled client that threads may share; https to public addresses only, or to networks in `allow` (http too)."""

    def __init__(
        self,
        allow: tuple[Network, ...] = (),
        *,
        resolver: Resolver = system_resolver,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Take the allowed networks; `resolver` and `tls` replace the system's name look-up and trust store."""
        self._allow = allow
        self._shared = GuardedTransport(allow, resolver, tls or httpx2.create_ssl_context(trust_env=False))

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        json: Any = None,
        content: bytes | None = None,
        auth: httpx2.Auth | None = None,
        deadline: float = DEADLINE,
    ) -> Response:
        """Send and read the whole answer within `deadline` seconds (30 at most); raises EgressRefused or EgressFailed.

        Redirects are answers like any other. Nothing is retried: whether that is safe only the caller knows.
        """
        with httpx2.Client(transport=self.transport(deadline), trust_env=False, headers=_ACCEPT) as client:
            try:
                address = httpx2.URL(url).copy_merge_params(dict(params or {}))
                answer = client.request(
                    method, address, headers=headers, data=data, json=json, content=content, auth=auth
                )
            except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, UnicodeError, ValueError):
                raise EgressRefused("url") from None
        return Response(answer.status_code, answer.headers, answer.content)

    def check(self, url: str) -> None:
        """Refuse an address that `request` would refuse by its looks alone; nothing is looked up. Raises EgressRefused."""
        try:
            parsed = httpx2.URL(url)
        except (httpx2.InvalidURL, UnicodeError, ValueError):
            raise EgressRefused("url") from None
        check_url(parsed)
        with suppress(ValueError):
            literal = str(ip_address(parsed.raw_host.decode("ascii")))
            checked([literal], self._allow, plain=parsed.scheme == "http")

    def transport(self, deadline: float = DEADLINE) -> Exchanges:
        """Return the guarded transport itself, for calls that others have shaped; closing a client that has it leaves it open."""
        return Exchanges(self._shared, deadline)

    def close(self) -> None:
        """Close idle connections."""
        self._shared.close()


_ACCEPT = {"Accept": "application/json, */*;q=0.1"}


_installed: list[Egress] = []


def install(egress: Egress) -> None:
    """Make this the process's client."""
    _installed[:] = [egress]


def current() -> Egress:
    """Return the process's client."""
    if not _installed:
        raise RuntimeError("No egress client is installed.")
    return _installed[0]

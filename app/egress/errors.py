"""What can go wrong outside: refused by us before a byte was sent, or tried and failed."""

from __future__ import annotations


class EgressError(Exception):
    """An outbound exchange that gave no usable answer; `reason` is a short code of ours, never text from outside."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class EgressRefused(EgressError):
    """We do not talk to this address: reason is url, scheme, userinfo, host, port, address or deadline."""


class EgressFailed(EgressError):
    """We tried in vain: reason is busy, resolve, connect, tls, timeout, connection, protocol, too_large, encoding or not_json."""

"""What an app answers instead, while its switch says so."""

from __future__ import annotations

from flask import Response

from app.sandbox.provider import current
from app.sandbox.switches import Mode

# Cut off, and no text in any encoding that a provider would declare.
GARBAGE = b'<!doctype html><title>Be right back</title>\xff\xfe<p>{"access_token": "sandbox-'


def instead(key: str) -> Response | None:
    """Return what is answered in place of the truth at an address for machines, after the wait that slowness means."""
    switches = current().switches
    switches.dawdle(key)
    switch = switches.get(key)
    match switch.mode:
        case Mode.SERVER_ERROR:
            return Response("Internal Server Error\n", 500, content_type="text/plain; charset=utf-8")
        case Mode.GARBAGE:
            return Response(GARBAGE, 200, content_type="application/json")
        case Mode.RATE_LIMITED:
            return Response(
                "Too Many Requests\n",
                429,
                content_type="text/plain; charset=utf-8",
                headers={"Retry-After": str(switch.seconds)},
            )
        case _:
            return None


def denies_refresh(key: str) -> bool:
    """Whether an app takes refresh tokens for ended ones."""
    return current().switches.get(key).mode is Mode.DENY_REFRESH

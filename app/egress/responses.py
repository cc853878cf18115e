"""What comes back from outside, read whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.egress.errors import EgressFailed


@dataclass(frozen=True)
class Response:
    """An answer read whole: at most 1 MiB, decompressed, without cookies."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether the status is a success (RFC 9110 15.3); a redirect is none."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """Parse the body as JSON; raises EgressFailed("not_json")."""
        return parse_json(self.body)


def parse_json(body: bytes) -> Any:
    """Parse JSON (RFC 8259) from a stranger: UTF-8, no name twice, no depth or number that harms; NaN reads as null."""
    try:
        return json.loads(
            body.decode("utf-8-sig"),
            object_pairs_hook=_distinct,
            parse_constant=lambda _: None,
            parse_int=lambda text: int(text) if len(text) <= 64 else None,
        )
    except (ValueError, RecursionError):
        raise EgressFailed("not_json") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members

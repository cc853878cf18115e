"""A token as the rest of the product knows it, whatever the provider's answer looked like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from app.vault import Masked

NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a token address gave. `scopes` is None where the provider does not report them; `answer` is never stored."""

    access_token: Masked
    refresh_token: Masked | None = None
    id_token: Masked | None = None
    token_type: str = "bearer"  # noqa: S105 - a kind, no secret
    expires_at: datetime | None = None
    refresh_expires_at: datetime | None = None
    scopes: tuple[str, ...] | None = None
    kept: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    answer: Mapping[str, Any] = field(default_factory=lambda: NOTHING, repr=False)

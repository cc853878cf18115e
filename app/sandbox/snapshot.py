"""The part of the sandbox's memory that outlives a restart, as a JSON file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from app.sandbox.grants import Browser, Grant, Status, Token

VERSION = 1
T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Memory:
    """Browsers, grants and tokens by their keys; the key that signs id_tokens as a JWK."""

    browsers: dict[str, Browser] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    signing_key: dict[str, Any] = field(default_factory=dict)
    written: str = ""

    def write(self, path: Path | None) -> None:
        """Replace the file, if there is to be one and anything has changed; only its owner can read it."""
        if path is None:
            return
        kept = {
            "browsers": self.browsers,
            "grants": self.grants,
            "tokens": self.tokens,
            "signing_key": self.signing_key,
        }
        text = json.dumps({"version": VERSION, **kept}, default=_plain)
        if text == self.written:
            return
        fresh = path.with_name(f"{path.name}.new")
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        fresh.replace(path)
        self.written = text


def read(path: Path | None) -> Memory:
    """Read a file; one that is missing, broken or of another version is as good as none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8")) if path else {}
        if document.get("version") != VERSION:
            return Memory()
        return Memory(
            browsers={key: Browser(**value) for key, value in document["browsers"].items()},
            grants=_rows(document["grants"], _grant),
            tokens=_rows(document["tokens"], _token),
            signing_key=dict(document["signing_key"]),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return Memory()


def _rows(table: dict[str, Any], make: Callable[[dict[str, Any]], T]) -> dict[str, T]:
    return {key: make(value) for key, value in table.items()}


def _grant(row: dict[str, Any]) -> Grant:
    times = {name: datetime.fromisoformat(row[name]) for name in ("at", "used_at")}
    return Grant(**(row | times | {"scopes": tuple(row["scopes"]), "status": Status(row["status"])}))


def _token(row: dict[str, Any]) -> Token:
    return Token(**(row | {"ends_at": datetime.fromisoformat(row["ends_at"]) if row["ends_at"] else None}))


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return asdict(value)  # type: ignore[call-overload]

"""Tables to the schema's dataclasses: their annotations are the rules, and every deviation is reported with its path."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from types import MappingProxyType, NoneType, UnionType
from typing import Any, cast, get_args, get_origin, get_type_hints

from app.catalog.lines import Path
from app.catalog.protocol import Identity, Revoke, RevokeStyle

Report = Callable[[Path, str], None]

OURS = frozenset({"loopback_http"})  # set by the loader, never by a file
REVOKE_STYLES: Mapping[str, Mapping[str, str]] = {
    RevokeStyle.RFC7009: {},
    RevokeStyle.DELETE_PATH: {"method": "DELETE", "auth": "none", "body": "none"},
    RevokeStyle.BASIC_JSON: {"auth": "basic", "body": "json"},
    RevokeStyle.BEARER: {"auth": "bearer", "body": "none", "token": "access_token"},
}
SCALARS: Mapping[type, str] = {str: "text in quotation marks", bool: "true or false", int: "a whole number"}


class _Wrong(Exception):
    pass


def build(cls: type[Any], table: object, path: Path, report: Report) -> Any:
    """Make an instance of a schema class from a TOML table; None if anything in it was reported."""
    if not isinstance(table, Mapping):
        report(path, f"{named(path)} must be a table")
        return None
    given = _with_presets(cls, table)
    known = {one.name: one for one in fields(cls) if one.name not in OURS}
    sound = True
    for name in given.keys() - known.keys():
        sound = False
        report((*path, name), f"unknown key {named((*path, name))}{_suggestion(name, known)}")
    for name, one in known.items():
        if name not in given and one.default is MISSING and one.default_factory is MISSING:
            sound = False
            report(path, f"{named((*path, name))} is missing")
    hints = get_type_hints(cls)
    values = {}
    for name in given.keys() & known.keys():
        try:
            values[name] = _value(hints[name], given[name], (*path, name), report)
        except _Wrong as wrong:
            sound = False
            if str(wrong):
                report((*path, name), str(wrong))
    return cls(**values) if sound else None


def named(path: Path) -> str:
    """Write a path as a person would: oauth2.identity.url, actions[2].key."""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _with_presets(cls: type[Any], table: Mapping[str, object]) -> Mapping[str, object]:
    if cls is Revoke:
        return {**REVOKE_STYLES.get(str(table.get("style", RevokeStyle.RFC7009)), {}), **table}
    if cls is Identity:  # one path may stand without its brackets
        return {name: [one] if name in {"id", "label"} and isinstance(one, str) else one for name, one in table.items()}
    return table


def _suggestion(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _value(hint: Any, value: object, path: Path, report: Report) -> object:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is UnionType:
        return _one_of(arguments, value, path, report)
    if origin is tuple:
        return _tuple(arguments[0], value, path, report)
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(arguments[1], value, path, report)
    if is_dataclass(hint):
        built = build(cast("type[Any]", hint), value, path, report)
        if built is None:
            raise _Wrong
        return built
    if issubclass(hint, StrEnum):
        if value not in list(hint):
            raise _Wrong(f"{named(path)} must be {_listed([one.value for one in hint])}")
        return hint(value)
    if type(value) is not hint:
        raise _Wrong(f"{named(path)} must be {SCALARS[hint]}")
    return value


def _one_of(choices: tuple[Any, ...], value: object, path: Path, report: Report) -> object:
    kinds = [choice for choice in choices if choice is not NoneType]
    if len(kinds) == 1:
        return _value(kinds[0], value, path, report)
    if type(value) not in kinds:
        raise _Wrong(f"{named(path)} must be {_listed([SCALARS[kind] for kind in kinds])}")
    return value


def _tuple(kind: Any, value: object, path: Path, report: Report) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise _Wrong(f"{named(path)} must be a list in brackets")
    found = _each(kind, dict(enumerate(value)), path, report)
    return tuple(found.values())


def _mapping(kind: Any, value: object, path: Path, report: Report) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise _Wrong(f"{named(path)} must be a table")
    return MappingProxyType(_each(kind, value, path, report))


def _each(kind: Any, values: Mapping[Any, object], path: Path, report: Report) -> dict[Any, object]:
    made, sound = {}, True
    for name, value in values.items():
        try:
            made[name] = _value(kind, value, (*path, name), report)
        except _Wrong as wrong:
            sound = False
            if str(wrong):
                report((*path, name), str(wrong))
    if not sound:
        raise _Wrong
    return made


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"

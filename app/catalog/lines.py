"""Where in a TOML text a key stands, so that a complaint about its value can name the line."""

from __future__ import annotations

import re
from collections.abc import Mapping

Path = tuple[str | int, ...]

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_PART}(?:\s*\.\s*{_PART})*)\s*\]")
_TOKEN = re.compile(r"""\"{3}|'{3}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|#[^\n]*|[\[\]{}]|\n""")
_OPENING, _CLOSING = "[{", "]}"


def locate(text: str) -> Mapping[Path, int]:
    """Return the line, from 1, of every table and key of a well-formed TOML text."""
    found: dict[Path, int] = {(): 1}
    counts: dict[Path, int] = {}
    table: Path = ()
    position, line = 0, 1
    while position < len(text):
        if header := _HEADER.match(text, position):
            table = _table(_parts(header[2]), counts, many=header[1] == "[[")
            found.setdefault(table, line + _newlines(text, position, header.start(2)))
            end = header.end()
        elif key := _KEY.match(text, position):
            parts = _parts(key[1])
            for length in range(1, len(parts) + 1):
                found.setdefault((*table, *parts[:length]), line + _newlines(text, position, key.start(1)))
            end = _value_end(text, key.end())
        else:
            end = position
        end = text.find("\n", end) + 1 or len(text)
        line += text.count("\n", position, end)
        position = end
    return found


def line_of(found: Mapping[Path, int], path: Path) -> int:
    """Return the line of a path, or of the nearest thing around it."""
    while path not in found:
        path = path[:-1]
    return found[path]


def _newlines(text: str, start: int, end: int) -> int:
    return text.count("\n", start, end)


def _parts(dotted: str) -> Path:
    return tuple(part.strip("\"'") for part in re.findall(_PART, dotted))


def _table(parts: Path, counts: dict[Path, int], *, many: bool) -> Path:
    path: Path = ()
    for part in parts[:-1]:
        path = (*path, part)
        if path in counts:
            path = (*path, counts[path] - 1)
    path = (*path, parts[-1])
    if many:
        counts[path] = counts.get(path, 0) + 1
        path = (*path, counts[path] - 1)
    return path


def _value_end(text: str, position: int) -> int:
    """Return where a value ends: the line break after its last bracket and quotation mark."""
    depth = 0
    while token := _TOKEN.search(text, position):
        position = token.end()
        if token[0] in ('"""', "'''"):
            closing = text.find(token[0], position)
            position = closing + 3 if closing >= 0 else len(text)
        elif token[0] in _OPENING:
            depth += 1
        elif token[0] in _CLOSING:
            depth -= 1
        elif token[0] == "\n" and depth <= 0:
            return token.start()
    return len(text)

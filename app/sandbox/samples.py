"""Text that matches a pattern: what a provider would say where the catalog only knows what it looks like."""

from __future__ import annotations

import importlib
import random
import re
from collections.abc import Callable
from typing import Any

_parser: Any = importlib.import_module("re._parser")
_CATEGORIES = {"CATEGORY_DIGIT": "0123456789", "CATEGORY_WORD": "abcdefghijklmnopqrstuvwxyz", "CATEGORY_SPACE": " "}
_PLAIN = "abcdefghijkmnpqrstuvwxyz23456789"
_LENGTH = 8
_TRIES = 20


def sample(pattern: str, *seed: str) -> str:
    """Return text that `pattern` matches whole, always the same for the same seed; ValueError if none was found."""
    chance = random.Random("\n".join((pattern, *seed)))  # noqa: S311 - examples, no secrets
    tree = _parser.parse(pattern)
    for _ in range(_TRIES):
        text = _sequence(tree, chance)
        if re.fullmatch(pattern, text):
            return text
    raise ValueError(f"No example was found for the pattern {pattern}.")


def _sequence(tree: Any, chance: random.Random) -> str:
    return "".join(_piece(str(kind), detail, chance) for kind, detail in tree)


def _piece(kind: str, detail: Any, chance: random.Random) -> str:
    makers: dict[str, Callable[[], str]] = {
        "LITERAL": lambda: chr(detail),
        "IN": lambda: _one_of(detail, chance),
        "ANY": lambda: chance.choice(_PLAIN),
        "NOT_LITERAL": lambda: chance.choice(_PLAIN),
        "MAX_REPEAT": lambda: _repeated(detail, chance),
        "MIN_REPEAT": lambda: _repeated(detail, chance),
        "POSSESSIVE_REPEAT": lambda: _repeated(detail, chance),
        "SUBPATTERN": lambda: _sequence(detail[-1], chance),
        "ATOMIC_GROUP": lambda: _sequence(detail, chance),
        "BRANCH": lambda: _sequence(chance.choice(detail[1]), chance),
    }
    return makers.get(kind, str)()  # anchors and looks ahead are nothing: the whole is tried in the end


def _one_of(items: Any, chance: random.Random) -> str:
    """Choose a character of a class, a letter or digit of a range where it has one."""
    if str(items[0][0]) == "NEGATE":
        return chance.choice(_PLAIN)
    ranges = [item for item in items if str(item[0]) != "LITERAL"]
    kind, detail = chance.choice(ranges or items)
    match str(kind):
        case "RANGE":
            return chr(chance.randint(*detail))
        case "CATEGORY":
            return chance.choice(_CATEGORIES.get(str(detail), _PLAIN))
        case _:
            return chr(detail)


def _repeated(detail: Any, chance: random.Random) -> str:
    least, most, tree = detail
    alone = len(tree) == 1 and str(tree[0][0]) in {"IN", "ANY", "CATEGORY", "NOT_LITERAL"}
    times = max(least, min(int(most), _LENGTH if alone else 1))
    return "".join(_sequence(tree, chance) for _ in range(times))

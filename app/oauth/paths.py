"""Finding values in what a provider answers: dotted paths, conditions, and what is kept with the connection."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from app.catalog.protocol import Condition, Keep
from app.oauth.faults import Fault, OAuthError

LONGEST_KEPT = 2048


def pick(document: Any, path: str) -> Any:
    """Follow a dotted path, a number picking from a list; None where it leads nowhere. A name may itself hold dots."""
    if not path:
        return None
    if isinstance(document, dict) and path in document:
        return document[path]
    step, _, rest = path.partition(".")
    if isinstance(document, dict):
        found = document.get(step)
    elif isinstance(document, list) and step.isascii() and step.isdigit():
        found = document[int(step)] if int(step) < len(document) else None
    else:
        return None
    return pick(found, rest) if rest else found


def text(value: Any) -> str:
    """Return a value that names something, as text; empty for what can name nothing (null, true, lists, 1.5)."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def holds(condition: Condition | None, document: Any) -> bool:
    """Whether an answer says that all went well; 1 is not true here."""
    if condition is None:
        return True
    found = pick(document, condition.path)
    return type(found) is type(condition.equals) and bool(found == condition.equals)


def keep(keeps: Iterable[Keep], find: Callable[[str], Any], fields: Mapping[str, str]) -> dict[str, str]:
    """Take what is kept out of an answer; a value that fits neither its pattern nor its field is a mismatch."""
    kept: dict[str, str] = {}
    for wanted in keeps:
        value = text(find(wanted.path)) or wanted.default
        if not value:
            if wanted.required:
                raise OAuthError(Fault.MISMATCH)
            continue
        if len(value) > LONGEST_KEPT or not re.fullmatch(wanted.pattern, value):
            raise OAuthError(Fault.MISMATCH)
        if wanted.same_as and value.casefold() != fields.get(wanted.same_as, "").casefold():
            raise OAuthError(Fault.MISMATCH)
        kept[wanted.name] = value
    return kept

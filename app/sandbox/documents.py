"""Building the documents that an app answers with, from dotted paths and the values that belong there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Facts = Mapping[str, Any]


def document(facts: Facts) -> Any:
    """Return nested objects and lists with each value at its path; a number in a path is a place in a list."""
    tree: dict[str, Any] = {}
    for path, value in facts.items():
        _put(tree, path.split("."), value)
    return _listed(tree)


def _put(tree: dict[str, Any], steps: list[str], value: Any) -> None:
    for step in steps[:-1]:
        below = tree.setdefault(step, {})
        if not isinstance(below, dict):
            raise ValueError(f"A value stands where {'.'.join(steps)} leads through.")  # noqa: TRY004 - the data is at fault
        tree = below
    tree[steps[-1]] = value


def _listed(tree: Any) -> Any:
    """Make lists of what is numbered; places that no path names hold empty objects."""
    if not isinstance(tree, dict):
        return tree
    below = {step: _listed(value) for step, value in tree.items()}
    if below and all(step.isascii() and step.isdigit() for step in below):
        return [below.get(str(place), {}) for place in range(max(map(int, below)) + 1)]
    return below

"""Which of the scopes asked were granted, over all the ways of spelling and reporting them (RFC 6749 3.3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.catalog.protocol import ScopeAs
from app.catalog.schema import App
from app.oauth.client import ways_of


def granted(app: App, value: Any, asked: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the scopes that a token answer reports, spelt as they were asked; None if it reports none.

    Words that neither we nor the catalog know are left out: they would be asked for and shown to people the next time.
    """
    reported = ways_of(app).reported
    if reported.scope_as is ScopeAs.NONE or not isinstance(value, str | list):
        return None
    spelt = (*app.scopes, *asked, *reported.aliases, *reported.aliases.values(), *reported.implies)
    known = {_plain(scope) for scope in (*spelt, *reported.covered(spelt))}
    return app.ordered(sorted(scope for scope in reported.read(value, asked=asked) if _plain(scope) in known))


def missing(required: Iterable[str], granted: Iterable[str] | None, app: App) -> tuple[str, ...]:
    """Return what is required and was not granted, in the order required; who reports nothing is taken at their word."""
    if granted is None:
        return ()
    reported = ways_of(app).reported
    spelt = {reported.aliases.get(scope, scope) for scope in granted}
    held = {_plain(scope) for scope in (*reported.covered(spelt), *reported.unreported)}
    return tuple(scope for scope in required if not {_plain(scope), _plain(reported.aliases.get(scope, scope))} & held)


def _plain(scope: str) -> str:
    """Letter case and a closing slash never tell two scopes of one provider apart."""
    return scope.casefold().rstrip("/")

"""The apps that Gatehouse knows: data read and checked at start."""

from __future__ import annotations

from app.catalog.loader import Catalog, CatalogError, load
from app.catalog.schema import Action, App, Field

__all__ = ["Action", "App", "Catalog", "CatalogError", "Field", "current", "install", "load"]

_installed: list[Catalog] = []


def install(catalog: Catalog) -> None:
    """Make this the process's catalog."""
    _installed[:] = [catalog]


def current() -> Catalog:
    """Return the process's catalog; there is none before `install`."""
    return _installed[0]

"""The apps that Gatehouse knows: data read and checked at start."""

from __future__ import annotations

from app.catalog.loader import Catalog, CatalogError, load
from app.catalog.schema import Action, App, Field

__all__ = ["Action", "App", "Catalog", "CatalogError", "Field", "load"]

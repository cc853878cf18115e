"""What the sandbox's views work with."""

from __future__ import annotations

from dataclasses import dataclass, field

from flask import abort, current_app

from app.catalog import Catalog
from app.catalog.protocol import OAuth2
from app.catalog.schema import App
from app.sandbox.rewriting import issuer_of
from app.sandbox.signing import Signer
from app.sandbox.store import Store
from app.sandbox.switches import Switches

CALLBACK = "/oauth/callback/"


@dataclass(frozen=True, slots=True)
class Provider:
    """One per application."""

    catalog: Catalog
    base_url: str
    panel_url: str
    store: Store = field(repr=False)
    switches: Switches
    signer: Signer = field(repr=False)

    @property
    def callbacks(self) -> str:
        """Return how every redirect address begins."""
        return self.panel_url + CALLBACK

    def issuer(self, app: App) -> str:
        """Return an app's issuer."""
        return issuer_of(app, self.base_url)


def current() -> Provider:
    """Return the provider of the application at hand."""
    provider: Provider = current_app.extensions["sandbox"]
    return provider


def oauth_app(key: str) -> tuple[App, OAuth2]:
    """Return an app and how it does OAuth; 404 for one that does not."""
    app = current().catalog.find(key)
    if app is None or app.oauth2 is None:
        abort(404)
    return app, app.oauth2

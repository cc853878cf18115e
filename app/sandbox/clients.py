"""The OAuth clients that are registered with every app of the sandbox."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from app.catalog import Catalog
from app.catalog.schema import App
from app.i18n import _

SHARED, OWN = "shared", "agency"


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client. A public one has a secret too, as at some apps, which it is not to show at the token address."""

    client_id: str
    secret: str
    kind: str

    @property
    def name(self) -> str:
        """Return who asks, as a consent screen says it."""
        return "Gatehouse" if self.kind == SHARED else _("Your agency")


def clients_of(app: App) -> tuple[Client, ...]:
    """Return an app's clients: the installation's shared one, and one for an agency to set up as its own."""
    if app.oauth2 is None:
        return ()
    return tuple(Client(f"{kind}-{app.key}", _secret(app.key, kind), kind) for kind in (SHARED, OWN))


def client(app: App, client_id: str) -> Client | None:
    """Find a client of an app."""
    return next((known for known in clients_of(app) if known.client_id == client_id), None)


def demo_clients(catalog: Catalog) -> dict[str, tuple[str, str | None]]:
    """Return id and secret of the shared client of every OAuth app, as `Config.oauth_clients` takes them."""
    return {
        app.key: (made.client_id, made.secret) for app in catalog for made in clients_of(app) if made.kind == SHARED
    }


def _secret(key: str, kind: str) -> str:
    """Return a secret with characters in it that a careless client would not escape; no secret from anybody."""
    return f"sandbox:{hashlib.sha256(f'{kind} {key}'.encode()).hexdigest()[:24]}/+%&="

"""OAuth clients: who Gatehouse is to a provider. The agency's own wins over the installation's shared one."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import SimpleNamespace
from typing import Protocol

from app import runtime
from app.catalog.schema import App
from app.models import Agency, OAuthClient
from app.prepared import Row
from app.services import own_clients
from app.services.own_clients import Owner
from app.vault import Masked

SHARED = "shared-"


class Granted(Protocol):
    """A flow or a connection: what a client was used for."""

    @property
    def agency_id(self) -> int:
        """Whose it is."""

    @property
    def oauth_client(self) -> str | None:
        """The client's key."""

    @property
    def client_id(self) -> str | None:
        """The client's id at the provider."""


class Readiness(StrEnum):
    """What an agency can do with an app."""

    OWN = "own"
    SHARED = "shared"
    NEEDS_CLIENT = "needs_client"
    API_KEY = "api_key"


@dataclass(frozen=True)
class UsableClient:
    """A client as the protocol needs it; `key` is the last part of its redirect address."""

    key: str
    app_key: str
    client_id: str
    client_secret: Masked | None
    redirect_uri: str
    paused_until: int | None = field(default=None, compare=False)  # as `pauses` has it, where it was asked for


@dataclass(frozen=True)
class AppState:
    """An app of the catalog as it stands for an agency; `own` is its client, or the draft of one."""

    app: App
    readiness: Readiness
    own: OAuthClient | None = None

    @property
    def own_redirect_uri(self) -> str | None:
        """Where the provider sends people back to when the agency's own client is used."""
        return redirect_uri(self.own.public_id) if self.own else None

    @property
    def shared_redirect_uri(self) -> str | None:
        """The same for the installation's shared client, if there is one."""
        there = self.app.oauth2 and self.app.key in runtime.current().config.oauth_clients
        return redirect_uri(f"{SHARED}{self.app.key}") if there else None

    @property
    def ready(self) -> bool:
        """Whether clients can be asked for it."""
        return self.readiness in (Readiness.OWN, Readiness.SHARED)


def redirect_uri(key: str) -> str:
    """The redirect address of a client, unlike any other's."""
    return f"{runtime.current().config.base_url}/oauth/callback/{key}"


def for_app(agency: Owner, app_key: str) -> UsableClient | None:
    """The client to use for an app: the agency's own, else the shared one."""
    own = own_clients.usable(agency, app_key, other=f"{SHARED}{app_key}")
    found = _shared(app_key) if own.client_id is None else _usable(own)
    return replace(found, paused_until=own.paused_until) if found else None


def by_key(agency: Owner, key: str) -> UsableClient | None:
    """The client that a redirect address, a flow or a connection names, if the agency may use it."""
    if key.startswith(SHARED):
        return _shared(key.removeprefix(SHARED))
    own = own_clients.by_key(agency, key)
    return _usable(own) if own and own.client_id else None


def of(granted: Granted) -> UsableClient | None:
    """The client that a flow or a connection got its grant with; none where another stands in its place by now, or none does.

    Only to that client does what its provider says of the grant apply. One that is not known counts as the one in its place.
    """
    found = by_key(SimpleNamespace(id=granted.agency_id), granted.oauth_client or "")
    return None if found and granted.client_id not in (None, found.client_id) else found


def known_by(granted: Granted) -> str | None:
    """What the provider knows the client by that got a grant; its key here where that is not known any more."""
    if granted.client_id or granted.oauth_client is None:
        return granted.client_id
    if granted.oauth_client.startswith(SHARED):
        shared = runtime.current().config.oauth_clients.get(granted.oauth_client.removeprefix(SHARED))
        return shared[0] if shared else granted.oauth_client
    own = own_clients.by_key(SimpleNamespace(id=granted.agency_id), granted.oauth_client)
    return own.client_id if own and own.client_id else granted.oauth_client


def eligible(agency: Agency, app: App) -> bool:
    """Whether a client can be asked for an app: it speaks OAuth, and there is a client id for it."""
    if not app.eligible_for_clients:
        return False
    if app.key in runtime.current().config.oauth_clients:
        return True
    own = own_clients.find(agency, app.key)
    return own is not None and own.client_id is not None


def states(agency: Agency) -> dict[str, AppState]:
    """Every app of the catalog as it stands for the agency, by key; one statement."""
    own = own_clients.by_app(agency)
    return {app.key: _state(app, own.get(app.key)) for app in runtime.current().catalog}


def state(agency: Agency, app_key: str) -> AppState:
    """One app as it stands for the agency; NotFound for an app that the catalog does not have."""
    app = runtime.current().catalog.get(app_key)
    return _state(app, own_clients.find(agency, app_key))


def _state(app: App, own: OAuthClient | None) -> AppState:
    if app.oauth2 is None:
        return AppState(app, Readiness.API_KEY)
    if own and own.client_id:
        return AppState(app, Readiness.OWN, own)
    shared = app.key in runtime.current().config.oauth_clients
    return AppState(app, Readiness.SHARED if shared else Readiness.NEEDS_CLIENT, own)


def _usable(own: OAuthClient | Row) -> UsableClient:
    uri = redirect_uri(own.public_id)
    return UsableClient(own.public_id, own.app_key, own.client_id or "", own_clients.secret_of(own), uri)


def _shared(app_key: str) -> UsableClient | None:
    found = runtime.current().config.oauth_clients.get(app_key)
    if found is None:
        return None
    client_id, secret = found
    key = f"{SHARED}{app_key}"
    return UsableClient(key, app_key, client_id, Masked(secret) if secret else None, redirect_uri(key))

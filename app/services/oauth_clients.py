"""OAuth clients: who Gatehouse is to a provider. The agency's own wins over the installation's shared one."""

import re
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from app import clock, runtime
from app.catalog.protocol import ClientAuth
from app.catalog.schema import App
from app.database import transaction
from app.errors import Conflict, NotFound, Refused
from app.extensions import db
from app.i18n import _
from app.models import Agency, Connection, OAuthClient, Staff
from app.services import audit
from app.vault import Masked, Place, open_, seal

SHARED = "shared-"
PRINTABLE = re.compile(r"[\x20-\x7e]+")  # VSCHAR, RFC 6749, appendix A
LONGEST_ID, LONGEST_SECRET = 400, 2000


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


def for_app(agency: Agency, app_key: str) -> UsableClient | None:
    """The client to use for an app: the agency's own, else the shared one."""
    own = own_client(agency, app_key)
    return _usable(own) if own and own.client_id else _shared(app_key)


def by_key(agency: Agency, key: str) -> UsableClient | None:
    """The client that a redirect address, a flow or a connection names, if the agency may use it."""
    if key.startswith(SHARED):
        return _shared(key.removeprefix(SHARED))
    own = db.session.scalar(select(OAuthClient).where(OAuthClient.agency_id == agency.id, OAuthClient.public_id == key))
    return _usable(own) if own and own.client_id else None


def eligible(agency: Agency, app: App) -> bool:
    """Whether a client can be asked for an app: it speaks OAuth, and there is a client id for it."""
    if not app.eligible_for_clients:
        return False
    if app.key in runtime.current().config.oauth_clients:
        return True
    own = own_client(agency, app.key)
    return own is not None and own.client_id is not None


def states(agency: Agency) -> dict[str, AppState]:
    """Every app of the catalog as it stands for the agency, by key; one statement."""
    own = {
        row.app_key: row for row in db.session.scalars(select(OAuthClient).where(OAuthClient.agency_id == agency.id))
    }
    return {app.key: _state(app, own.get(app.key)) for app in runtime.current().catalog}


def state(agency: Agency, app_key: str) -> AppState:
    """One app as it stands for the agency; NotFound for an app that the catalog does not have."""
    app = runtime.current().catalog.get(app_key)
    return _state(app, own_client(agency, app_key))


def _state(app: App, own: OAuthClient | None) -> AppState:
    if app.oauth2 is None:
        return AppState(app, Readiness.API_KEY)
    if own and own.client_id:
        return AppState(app, Readiness.OWN, own)
    shared = app.key in runtime.current().config.oauth_clients
    return AppState(app, Readiness.SHARED if shared else Readiness.NEEDS_CLIENT, own)


def own_client(agency: Agency, app_key: str) -> OAuthClient | None:
    """The agency's own client of an app, or the draft of one."""
    return db.session.scalar(
        select(OAuthClient).where(OAuthClient.agency_id == agency.id, OAuthClient.app_key == app_key)
    )


def draft(agency: Agency, app_key: str, *, by: Staff) -> OAuthClient:
    """The agency's client of an app, made if need be, so that its redirect address is there before the client is."""
    at = clock.now()
    app = runtime.current().catalog.get(app_key)
    if app.oauth2 is None:
        raise Refused(_("%(app)s is connected with an API key; it needs no client.", app=app.name))
    if own := own_client(agency, app_key):
        return own
    try:
        with transaction() as session, session.begin_nested():
            own = OAuthClient(agency_id=agency.id, app_key=app_key, created_at=at)
            session.add(own)
            session.flush()
            audit.record("oauth_client.drafted", own, by=by, at=at, app=app_key)
    except IntegrityError:  # somebody else was faster: theirs it is
        own = own_client(agency, app_key)
    if own is None:
        raise NotFound
    return own


def configure(agency: Agency, app_key: str, *, client_id: str, client_secret: str, by: Staff) -> OAuthClient:
    """Store the id and the secret that the provider gave out; the secret is sealed and never shown again."""
    at = clock.now()
    app = runtime.current().catalog.get(app_key)
    client_id = _credential(client_id, field="client_id", most=LONGEST_ID)
    secret = _secret(app, client_secret)
    with transaction():
        own = draft(agency, app_key, by=by)
        replaced = own.client_id is not None
        own.client_id, own.configured_at = client_id, at
        own.client_secret = seal(runtime.current().keyring, secret.encode(), _place(own)) if secret else None
        audit.record("oauth_client.set", own, by=by, at=at, app=app_key, client_id=client_id, replaced=replaced)
    return own


def remove(agency: Agency, app_key: str, *, by: Staff) -> None:
    """Forget the agency's client of an app; its redirect address stays for the next one."""
    at = clock.now()
    with transaction():
        own = own_client(agency, app_key)
        if own is None or own.client_id is None:
            raise Conflict(_("There is no client of your own to remove."))
        own.client_id = own.client_secret = own.configured_at = None
        audit.record("oauth_client.removed", own, by=by, at=at, app=app_key)


def connections_made_with(own: OAuthClient) -> int:
    """How many connections depend on a client to be refreshed."""
    return (
        db.session.scalar(
            select(func.count())
            .select_from(Connection)
            .where(
                Connection.agency_id == own.agency_id,
                Connection.oauth_client == own.public_id,
                Connection.revoked_at.is_(None),
            )
        )
        or 0
    )


def _secret(app: App, text: str) -> str:
    public = app.oauth2 is not None and app.oauth2.client_auth is ClientAuth.NONE
    if public and not text.strip():
        return ""
    return _credential(text, field="client_secret", most=LONGEST_SECRET)


def _credential(text: str, *, field: str, most: int) -> str:
    value = text.strip()
    if not value:
        raise Refused(_("This is required."), field=field)
    if len(value) > most:
        raise Refused(_("At most %(most)s characters; this has %(count)s.", most=most, count=len(value)), field=field)
    if not PRINTABLE.fullmatch(value):
        raise Refused(_("Only letters, digits and signs of a plain keyboard; copy it once more."), field=field)
    return value


def _place(own: OAuthClient) -> Place:
    return Place("oauth_client_secret", own.agency_id, None, own.public_id)


def _usable(own: OAuthClient) -> UsableClient:
    secret = None
    if own.client_secret is not None:
        secret = Masked(open_(runtime.current().keyring, own.client_secret, _place(own)).decode())
    return UsableClient(own.public_id, own.app_key, own.client_id or "", secret, redirect_uri(own.public_id))


def _shared(app_key: str) -> UsableClient | None:
    found = runtime.current().config.oauth_clients.get(app_key)
    if found is None:
        return None
    client_id, secret = found
    key = f"{SHARED}{app_key}"
    return UsableClient(key, app_key, client_id, Masked(secret) if secret else None, redirect_uri(key))

"""An agency's own clients: what a provider gave it for its own name there, the secret sealed."""

import re
from typing import Protocol

from sqlalchemy import String, and_, bindparam, func, select, update
from sqlalchemy.exc import IntegrityError

from app import clock, runtime
from app.catalog.protocol import ClientAuth
from app.catalog.schema import App
from app.database import lock, transaction
from app.errors import Conflict, NotFound, Refused
from app.extensions import db
from app.i18n import _
from app.models import Agency, Connection, OAuthClient, Staff
from app.prepared import Prepared, Row
from app.services import audit, pauses, sealed
from app.vault import Masked, VaultError, open_, seal

PRINTABLE = re.compile(r"[\x20-\x7e]+")  # VSCHAR, RFC 6749, appendix A
LONGEST_ID, LONGEST_SECRET = 400, 2000


class Owner(Protocol):
    """An agency, known by its id."""

    @property
    def id(self) -> int:
        """The primary key."""


def find(agency: Owner, app_key: str) -> OAuthClient | None:
    """The agency's own client of an app, or the draft of one."""
    return db.session.scalar(
        select(OAuthClient).where(OAuthClient.agency_id == agency.id, OAuthClient.app_key == app_key)
    )


_is_usable = and_(
    OAuthClient.agency_id == Agency.id,
    OAuthClient.app_key == bindparam("app"),
    OAuthClient.client_id.is_not(None),
)
_USABLE = Prepared(
    select(
        OAuthClient.agency_id,
        OAuthClient.public_id,
        OAuthClient.app_key,
        OAuthClient.client_id,
        OAuthClient.client_secret,
        pauses.end_of(func.coalesce(OAuthClient.public_id, bindparam("other", type_=String))).label("paused_until"),
    )
    .select_from(Agency)
    .outerjoin(OAuthClient, _is_usable)
    .where(Agency.id == bindparam("agency"))
)


def usable(agency: Owner, app_key: str, *, other: str) -> Row:
    """What it takes to use the agency's own client of an app; a draft is of no use, and then all but `paused_until` is none.

    That is when the last pause ends which the provider asked of it, else of the `other` one.
    """
    return _USABLE(agency=agency.id, app=app_key, other=other).one()


def by_key(agency: Owner, key: str) -> OAuthClient | None:
    """The agency's own client that a redirect address names."""
    return db.session.scalar(
        select(OAuthClient).where(OAuthClient.agency_id == agency.id, OAuthClient.public_id == key)
    )


def by_app(agency: Agency) -> dict[str, OAuthClient]:
    """All of the agency's own clients and drafts, by app."""
    rows = db.session.scalars(select(OAuthClient).where(OAuthClient.agency_id == agency.id))
    return {row.app_key: row for row in rows}


def draft(agency: Agency, app_key: str, *, by: Staff) -> OAuthClient:
    """The agency's client of an app, made if need be, so that its redirect address is there before the client is."""
    at = clock.now()
    app = runtime.current().catalog.get(app_key)
    if app.oauth2 is None:
        raise Refused(_("%(app)s is connected with an API key; it needs no client.", app=app.name))
    if own := find(agency, app_key):
        return own
    try:
        with transaction() as session, session.begin_nested():
            own = OAuthClient(agency_id=agency.id, app_key=app_key, created_at=at)
            session.add(own)
            session.flush()
            audit.record("oauth_client.drafted", own, by=by, at=at, app=app_key)
    except IntegrityError:  # somebody else was faster: theirs it is
        own = find(agency, app_key)
    if own is None:
        raise NotFound
    return own


def configure(agency: Agency, app_key: str, *, client_id: str, client_secret: str, by: Staff) -> OAuthClient:
    """Store the id and the secret that the provider gave out; the secret is sealed and never shown again."""
    at = clock.now()
    runtime.current().keys.require()
    app = runtime.current().catalog.get(app_key)
    client_id = _credential(client_id, field="client_id", most=LONGEST_ID)
    secret = _secret(app, client_secret)
    with transaction():
        own = draft(agency, app_key, by=by)
        lock(own)
        if own.client_id == client_id and own.configured_at and _is_secret_of(own, secret):
            return own  # the same again
        replaced = own.client_id is not None
        if own.client_id != client_id:
            _remember(own)
        own.client_id, own.configured_at = client_id, at
        own.client_secret = (
            seal(runtime.current().keyring, secret.encode(), sealed.client_place(own)) if secret else None
        )
        audit.record("oauth_client.set", own, by=by, at=at, app=app_key, client_id=client_id, replaced=replaced)
    return own


def remove(agency: Agency, app_key: str, *, by: Staff) -> None:
    """Forget the agency's client of an app; its redirect address stays for the next one."""
    at = clock.now()
    with transaction():
        own = find(agency, app_key)
        if own:
            lock(own)
        if own is None or own.client_id is None:
            raise Conflict(_("There is no client of your own to remove."))
        _remember(own)
        own.client_id = own.client_secret = own.configured_at = None
        audit.record("oauth_client.removed", own, by=by, at=at, app=app_key)


def _remember(own: OAuthClient) -> None:
    """Write down which client got what was connected before that was written, while it still stands. Within a transaction."""
    db.session.execute(
        update(Connection)
        .where(Connection.oauth_client == own.public_id, Connection.client_id.is_(None))
        .values(client_id=own.client_id)
        .execution_options(synchronize_session=False)
    )


def secret_of(own: OAuthClient | Row) -> Masked | None:
    """The client's secret; None for a public one."""
    if own.client_secret is None:
        return None
    return Masked(open_(runtime.current().keyring, own.client_secret, sealed.client_place(own)).decode())


def _is_secret_of(own: OAuthClient, secret: str) -> bool:
    try:
        return secret_of(own) == (Masked(secret) if secret else None)
    except VaultError:  # what does not open any more is nobody's
        return False


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

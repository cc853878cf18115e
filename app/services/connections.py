"""Connections: stored when a client approves, one for each external account of a workspace."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import joinedload, selectinload

from app.catalog.schema import App
from app.database import across_tenants
from app.extensions import db
from app.i18n import _
from app.models import Connection, Flow, Health, Slot
from app.oauth import scopes as protocol
from app.oauth.faults import Fault, OAuthError
from app.oauth.identify import Identity
from app.oauth.token import Token
from app.services import audit, scopes, secrets
from app.services.audit import Actor


class Narrower(Exception):
    """The new token lacks what a live slot needs of the account, so that it must not take the old one's place."""

    def __init__(self, missing: tuple[str, ...]) -> None:
        super().__init__("The new token is narrower than what is in use.")
        self.missing = missing


@dataclass(frozen=True)
class Grant:
    """What a provider gave in one authorization: the token, whose account it is, and what it covers."""

    token: Token
    identity: Identity | None
    scopes: tuple[str, ...]
    fault: OAuthError | None = None  # why the account could not be told


def store(flow: Flow, app: App, grant: Grant, *, at: datetime) -> Connection:
    """Keep a grant as the connection of its account: a new one, or the one this workspace has of it. Raises Narrower.

    Within a transaction that holds the workspace's lock.
    """
    identity = grant.identity
    if identity is None:
        raise ValueError("A grant whose account is not known makes no connection.")
    connection = _of_account(flow, identity)
    is_new = connection is None
    if connection is None:
        connection = _new(flow, app, identity, at=at)
    elif lacking := protocol.missing(needed_of(connection), grant.scopes, app):
        raise Narrower(lacking)
    connection.health, connection.health_reason, connection.revoked_at = (
        Health.ACTIVE,
        None,
        None,
    )  # the identity is proof
    connection.owner_email = flow.bundle.recipient
    connection.account = identity.label or connection.account
    connection.oauth_client, connection.endpoints = flow.oauth_client, flow.endpoints
    connection.fields, connection.kept = flow.fields, {**grant.token.kept, **identity.kept}
    connection.scopes, connection.expires_at = list(grant.scopes), grant.token.expires_at
    connection.updated_at = at
    credential = _credential(connection, grant.token)
    connection.refreshable = credential["refresh_token"] is not None
    secrets.keep(connection, credential, at=at)
    audit.record(
        "connection.created" if is_new else "connection.updated",
        connection,
        by=Actor.client(flow.bundle.recipient),
        at=at,
        app=app.key,
        account=connection.account,
        scopes=connection.scopes,
    )
    return connection


def _of_account(flow: Flow, identity: Identity) -> Connection | None:
    return db.session.scalar(
        select(Connection)
        .where(Connection.workspace_id == flow.workspace_id, *_same_account(flow.app_key, identity))
        .with_for_update(of=Connection)
    )


def _same_account(app_key: str, identity: Identity) -> tuple[ColumnElement[bool], ...]:
    return (
        Connection.app_key == app_key,
        Connection.issuer == identity.issuer,
        Connection.external_id == identity.id,
    )


def _new(flow: Flow, app: App, identity: Identity, *, at: datetime) -> Connection:
    connection = Connection(
        agency_id=flow.agency_id,
        workspace_id=flow.workspace_id,
        app_key=app.key,
        name=_free_name(flow, identity.label or app.name),
        issuer=identity.issuer,
        external_id=identity.id,
        account=identity.label,
        created_at=at,
        updated_at=at,
    )
    db.session.add(connection)
    db.session.flush()
    return connection


def _credential(connection: Connection, token: Token) -> dict[str, str | None]:
    """What is sealed. A provider that gives no new refresh token for the same grant means the old one to stay."""
    fresh = token.refresh_token
    kept = None if fresh or connection.secret is None else secrets.reveal(connection).get("refresh_token")
    refresh_token = fresh or kept
    return {
        "access_token": token.access_token.reveal(),
        "refresh_token": refresh_token.reveal() if refresh_token else None,
        "token_type": token.token_type,
    }


def _free_name(flow: Flow, wanted: str) -> str:
    """The account's name, with a number behind it while another connection of the app has it."""
    same = (Connection.workspace_id == flow.workspace_id, Connection.app_key == flow.app_key)
    key = wanted.strip().casefold()
    taken = set(
        db.session.scalars(
            select(Connection.name_key).where(*same, Connection.name_key.startswith(key, autoescape=True))
        )
    )
    name, number = wanted, 1
    while name.strip().casefold() in taken:
        number += 1
        name = f"{wanted} ({number})"
    return name


def needed_of(connection: Connection) -> tuple[str, ...]:
    """What all slots that use a connection need of it together."""
    using = db.session.scalars(
        select(Slot).where(Slot.connection_id == connection.id).options(selectinload(Slot.nodes))
    ).all()
    return tuple(dict.fromkeys(scope for slot in using for scope in scopes.of_slot(slot)))


def why_broken(connection: Connection) -> str:
    """The cause in plain words."""
    app = scopes.app_of(connection).name
    causes: dict[str, str] = {
        Fault.DENIED: _("The owner said no in %(app)s.", app=app),
        Fault.GRANT_ENDED: _("Access was removed or ran out in %(app)s.", app=app),
        Fault.CREDENTIAL: _("%(app)s no longer accepts the access that was given.", app=app),
        Fault.MISCONFIGURED: _("%(app)s no longer accepts the client that is set up for it.", app=app),
        Fault.LIMITED: _("%(app)s was asked too often.", app=app),
        Fault.UNAVAILABLE: _("%(app)s does not answer.", app=app),
        Fault.GARBAGE: _("%(app)s gives answers that can't be understood.", app=app),
        Fault.MISMATCH: _("%(app)s answers for another account than the one that was connected.", app=app),
        Fault.ERROR: _("%(app)s refuses it and gives no reason.", app=app),
    }
    return causes.get(connection.health_reason or Fault.ERROR, causes[Fault.ERROR])


def siblings(app_key: str, identity: Identity, *, oauth_client: str) -> Sequence[Connection]:
    """The live connections that stand on the same account and client, whoever's they are: the provider sees one grant."""
    with across_tenants("a provider does not know our tenants"):
        return db.session.scalars(
            select(Connection)
            .where(
                *_same_account(app_key, identity),
                Connection.oauth_client == oauth_client,
                Connection.health != Health.REVOKED,
            )
            .options(joinedload(Connection.secret))
        ).all()

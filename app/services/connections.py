"""Connections: stored when a client approves, one for each external account of a workspace."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, String, bindparam, func, select
from sqlalchemy.orm import joinedload, selectinload

from app.catalog.schema import App
from app.extensions import db
from app.i18n import _
from app.models import Connection, Health, Slot
from app.oauth import scopes as protocol
from app.oauth.faults import Fault, OAuthError
from app.oauth.identify import Identity
from app.oauth.token import Token
from app.prepared import Prepared, Row
from app.services import audit, scopes, secrets
from app.services.audit import Actor
from app.services.secrets import Kept
from app.tenancy import across_tenants
from app.vault import Masked, VaultError


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


def sought(app: App, identity: Identity | None) -> dict[str, str | None]:
    """What `flow_rows.ASKED` looks for: the connection that the workspace has of this account, and one of its name."""
    if identity is None:
        return {"app": app.key, "by": None, "named": None, "name": None}
    return {"app": app.key, "by": identity.issuer, "named": identity.id, "name": _key(identity.label or app.name)}


def store(flow: Row, asked: Row, app: App, grant: Grant, *, at: datetime) -> Connection | Kept:
    """Keep a grant as the connection of its account: a new one, or the one this workspace has of it. Raises Narrower.

    Within a transaction that holds the workspace's lock, in which `asked` was read.
    """
    identity = grant.identity
    if identity is None:
        raise ValueError("A grant whose account is not known makes no connection.")
    account = {"app": flow.app_key, "by": identity.issuer, "named": identity.id}
    known = _OF_ACCOUNT(workspace=flow.workspace_id, **account).scalar() if asked.known else None
    # point: connection.found
    brought = {
        "health": Health.ACTIVE,  # the identity is proof
        "owner_email": flow.recipient,
        "oauth_client": flow.oauth_client,
        "endpoints": flow.endpoints,
        "fields": flow.fields,
        "kept": {**grant.token.kept, **identity.kept},
        "scopes": list(grant.scopes),
        "expires_at": grant.token.expires_at,
    }
    kept: Connection | Kept
    if known is None:
        brought["name"] = _free_name(flow, asked, identity.label or app.name)
        kept = _new(flow, app, identity, grant.token, brought, at=at)
    else:
        kept = _renew(known, app, grant, brought, at=at)
    # point: secret.kept
    subject = audit.Subject("connection", kept.public_id, flow.workspace_id)
    told = {"app": app.key, "account": kept.account, "scopes": brought["scopes"]}
    act = "connection.created" if known is None else "connection.updated"
    audit.record(act, subject, by=Actor.client(flow.recipient), at=at, **told)
    return kept


def _renew(connection_id: int, app: App, grant: Grant, brought: dict[str, Any], *, at: datetime) -> Connection:
    """Put a new grant in the place of the one that a connection has."""
    connection = db.session.get_one(Connection, connection_id)
    if lacking := protocol.missing(needed_of(connection), grant.scopes, app):
        raise Narrower(lacking)
    for name, value in brought.items():
        setattr(connection, name, value)
    connection.health_reason, connection.revoked_at, connection.updated_at = None, None, at
    connection.account = (grant.identity.label if grant.identity else "") or connection.account
    # point: connection.written
    credential = _credential(grant.token, of=connection)
    connection.refreshable = credential["refresh_token"] is not None
    secrets.keep(connection, credential, at=at)
    return connection


def _same_account(app_key: str, identity: Identity) -> tuple[ColumnElement[bool], ...]:
    return (
        Connection.app_key == app_key,
        Connection.issuer == identity.issuer,
        Connection.external_id == identity.id,
    )


_OF_ACCOUNT = Prepared(
    select(Connection.id)
    .where(
        Connection.workspace_id == bindparam("workspace"),
        Connection.app_key == bindparam("app"),
        Connection.issuer == bindparam("by"),
        Connection.external_id == bindparam("named"),
    )
    .with_for_update()
)


def _new(flow: Row, app: App, identity: Identity, token: Token, brought: dict[str, Any], *, at: datetime) -> Kept:
    credential = _credential(token)
    return secrets.keep_new(
        credential,
        at=at,
        agency_id=flow.agency_id,
        workspace_id=flow.workspace_id,
        app_key=app.key,
        issuer=identity.issuer,
        external_id=identity.id,
        account=identity.label,
        refreshable=credential["refresh_token"] is not None,
        **brought,
    )


def _credential(token: Token, *, of: Connection | None = None) -> dict[str, str | None]:
    """What is sealed. A provider that gives no new refresh token for the same grant means the old one to stay."""
    fresh = token.refresh_token
    kept = None if fresh or of is None else _refresh_token_of(of)
    refresh_token = fresh or kept
    return {
        "access_token": token.access_token.reveal(),
        "refresh_token": refresh_token.reveal() if refresh_token else None,
        "token_type": token.token_type,
    }


def _refresh_token_of(connection: Connection) -> Masked | None:
    try:
        return secrets.reveal(connection).get("refresh_token")
    except VaultError:  # what does not open any more must not keep its owner from connecting anew
        return None


_KEY = bindparam("key", type_=String)
_NAMES = Prepared(
    select(Connection.name_key).where(
        Connection.workspace_id == bindparam("workspace"),
        Connection.app_key == bindparam("app"),
        func.substr(Connection.name_key, 1, func.length(_KEY)) == _KEY,
    )
)


def _free_name(flow: Row, asked: Row, wanted: str) -> str:
    """The account's name, with a number behind it while another connection of the app has it."""
    if not asked.is_named:
        return wanted
    taken = set(_NAMES(workspace=flow.workspace_id, app=flow.app_key, key=_key(wanted)).scalars())
    name, number = wanted, 1
    while _key(name) in taken:
        number += 1
        name = f"{wanted} ({number})"
    return name


def _key(name: str) -> str:
    return name.strip().casefold()


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

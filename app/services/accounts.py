"""Accounts: what a client approved is kept as the connection of its external account, one for each of a workspace."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import String, bindparam, func, select

from app.catalog.schema import App
from app.extensions import db
from app.models import Connection, Flow, Health, Kind
from app.oauth import scopes as protocol
from app.oauth.faults import Fault, OAuthError
from app.oauth.identify import Identity
from app.oauth.token import Token
from app.prepared import Prepared, Row
from app.services import audit, lifetimes, ownership, refresh_plans, scopes, secrets, staff
from app.services.audit import Actor
from app.services.secrets import Kept
from app.tenancy import acting_for
from app.vault import Masked, VaultError


class Narrower(Exception):
    """The new token lacks what a live slot needs of the account, so that it must not take the old one's place."""

    def __init__(self, missing: tuple[str, ...]) -> None:
        super().__init__("The new token is narrower than what is in use.")
        self.missing = missing


class Theirs(Exception):
    """Staff signed in with an account that a client gave, whose secret is not theirs to replace."""


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


def store(flow: Row | Flow, asked: Row, app: App, grant: Grant, *, at: datetime) -> Connection | Kept:
    """Keep a grant as the connection of its account: a new one, or the one this workspace has of it. Raises Narrower, Theirs.

    Within a transaction that holds the workspace's lock, in which `asked` was read.
    """
    identity = grant.identity
    if identity is None:
        raise ValueError("A grant whose account is not known makes no connection.")
    account = {"app": flow.app_key, "by": identity.issuer, "named": identity.id}
    known = _OF_ACCOUNT(workspace=flow.workspace_id, **account).scalar() if asked.known else None
    # point: connection.found
    if known is not None:
        kept_before = db.session.get_one(Connection, known)
        if kept_before.deleted_at is not None:  # its name may have been given to another meanwhile
            kept_before.name = _free_name(flow, asked, identity.label or app.name)
        elif asked.kind is Kind.CONNECT and _is_theirs(kept_before, flow):
            raise Theirs
        return renew(kept_before, flow, app, grant, at=at)
    refreshable = grant.token.refresh_token is not None
    brought = _brought(flow, app, grant, refreshable=refreshable, at=at)
    brought["name"] = _free_name(flow, asked, identity.label or app.name)
    kept = _new(flow, app, identity, grant.token, brought, at=at)
    # point: secret.kept
    if refreshable:
        refresh_plans.put(kept, 1, agency_id=flow.agency_id, expires_at=grant.token.expires_at, at=at)
    _record("connection.created", kept, flow, brought["scopes"], at=at)
    return kept


def _is_theirs(connection: Connection, flow: Row | Flow) -> bool:
    """Whether a client owns it, and it is staff who connect its account now; what was revoked has no secret to replace."""
    if connection.owner_email in (None, flow.recipient) or connection.health is Health.REVOKED:
        return False
    with acting_for(flow.agency_id):  # whoever is a client sees no staff
        is_staff = staff.is_one(flow.agency_id, flow.recipient)
        return is_staff and not staff.was_ever(flow.agency_id, connection.owner_email)


def renew(connection: Connection, flow: Row | Flow, app: App, grant: Grant, *, at: datetime) -> Connection:
    """Put a new grant in the place of the one that a connection has, which lives on with it. Raises Narrower.

    Within a transaction that holds the workspace's lock.
    """
    if lacking := protocol.missing(scopes.needed_of(connection), grant.scopes, app):
        raise Narrower(lacking)
    was_broken = connection.health is Health.ERROR
    before = ownership.of(connection)
    credential = _credential(grant.token, of=connection if _goes_on(connection, flow) else None)
    refreshable = credential["refresh_token"] is not None
    for name, value in (_brought(flow, app, grant, refreshable=refreshable, at=at) | _WHOLE).items():
        setattr(connection, name, value)
    connection.updated_at = at
    connection.account = (grant.identity.label if grant.identity else "") or connection.account
    # point: connection.written
    # Beyond what a secret that was shredded since can have come to, whose work would be taken for this one's.
    version = secrets.keep(connection, credential, at=at, first=int(at.timestamp()) // 60).version
    # point: secret.renewed
    if refreshable:
        refresh_plans.put(connection, version, agency_id=connection.agency_id, expires_at=connection.expires_at, at=at)
    ownership.pass_on(connection, before, version=version, at=at)
    _record("connection.updated", connection, flow, connection.scopes, at=at)
    if was_broken:
        _record("connection.mended", connection, flow, connection.scopes, at=at)
    return connection


def _goes_on(connection: Connection, flow: Row | Flow) -> bool:
    """Whether the refresh token that it has may be one of the new grant too: of the same person and client, and not at its end."""
    if connection.health is Health.REVOKED:  # nothing of what it had may be used again
        return False
    if connection.health is Health.ERROR and connection.health_reason == Fault.GRANT_ENDED:
        return False
    is_same_id = connection.client_id is None or connection.client_id == flow.client_id
    is_same_person = connection.owner_email == flow.recipient
    return is_same_person and is_same_id and connection.oauth_client == flow.oauth_client


_WHOLE: dict[str, Any] = dict.fromkeys(  # what is no longer so of a connection that its owner approved anew
    (
        "broken_at",
        "deleted_at",
        "health_reason",
        "owner_left_at",
        "refresh_after",
        "refresh_called_at",
        "refresh_failed_at",
        "refresh_lease",
        "revocation",
        "revoked_at",
    )
) | {"refresh_failures": 0}


def _brought(flow: Row | Flow, app: App, grant: Grant, *, refreshable: bool, at: datetime) -> dict[str, Any]:
    """What a connection is by its newest grant."""
    kept = grant.identity.kept if grant.identity else {}
    return {
        "health": Health.ACTIVE,  # the identity is proof
        "owner_email": flow.recipient,
        "oauth_client": flow.oauth_client,
        "client_id": flow.client_id,
        "endpoints": flow.endpoints,
        "fields": flow.fields,
        "kept": {**grant.token.kept, **kept},
        "scopes": list(grant.scopes),
        "granted_at": at,
        "token_at": at,
        "expires_at": grant.token.expires_at,
        "refreshable": refreshable,
        "grant_ends_at": lifetimes.grant_ends(app, grant.token, refreshable=refreshable, granted_at=at, at=at),
    }


def _record(act: str, kept: Connection | Kept, flow: Row | Flow, scopes: Sequence[str], *, at: datetime) -> None:
    subject = audit.Subject("connection", kept.public_id, flow.workspace_id)
    told = {"app": flow.app_key, "account": kept.account, "scopes": list(scopes), "surface": flow.surface}
    audit.record(act, subject, by=Actor.client(flow.recipient), at=at, **told)


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


def _new(
    flow: Row | Flow, app: App, identity: Identity, token: Token, brought: dict[str, Any], *, at: datetime
) -> Kept:
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


def _free_name(flow: Row | Flow, asked: Row, wanted: str) -> str:
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

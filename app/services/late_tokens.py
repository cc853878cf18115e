"""Late tokens: what a refresh brought when its connection had no place for it any more, given back like grants that nobody keeps."""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import delete

from app import clock, runtime
from app.database import lock, new_public_id, transaction
from app.extensions import db
from app.models import Connection, Revocation, Secret
from app.oauth.identify import Identity
from app.oauth.token import Token
from app.prepared import Row
from app.services import audit, giving_back, grants, lifetimes, outbox, scopes, sealed
from app.services.audit import SYSTEM
from app.services.giving_back import Access, Tokens
from app.tenancy import acting_for
from app.vault import Masked, open_, seal


def hold(standing: Row, token: Token, *, exchanged: Masked, at: datetime) -> None:
    """Seal a token until its provider has taken it back. Within a transaction.

    `standing` is the connection as it stood when the refresh began, with the refresh token that was `exchanged`.
    """
    written = {
        "access_token": token.access_token.reveal(),
        "refresh_token": (token.refresh_token or exchanged).reveal(),
        "exchanged": exchanged.reveal(),
        "oauth_client": standing.oauth_client,
        "client_id": standing.client_id,
        "ends": (token.expires_at or at + lifetimes.ASSUMED).isoformat(),
        "endpoints": standing.endpoints,
        "fields": {**standing.fields, **standing.kept, **token.kept},
    }
    secret = Secret(
        public_id=new_public_id(),
        agency_id=standing.agency_id,
        workspace_id=standing.workspace_id,
        purpose=sealed.LATE,
        owner=standing.public_id,
        version=1,
        sealed_at=at,
    )
    secret.blob = seal(runtime.current().keyring, json.dumps(written).encode(), sealed.credential_place(secret))
    db.session.add(secret)
    db.session.flush()
    ids = {"secret": secret.id, "connection": standing.id}
    outbox.put(grants.KIND, secret.public_id, agency_id=standing.agency_id, at=at, **ids)


def discard(secret_id: int, connection_id: int, *, agency_id: int) -> None:
    """Give a late token back at its provider, then shred it; raises `giving_back.NotGivenBack`."""
    with acting_for(agency_id):
        secret = db.session.get(Secret, secret_id, populate_existing=True)
        if secret is None:
            return
        written = json.loads(open_(runtime.current().keyring, secret.blob, sealed.credential_place(secret)))
        connection = db.session.get_one(Connection, connection_id)
        access = Access(
            app=scopes.app_of(connection),
            agency_id=agency_id,
            oauth_client=written["oauth_client"],
            client_id=written["client_id"],
            account=_account(connection),
            endpoints=written["endpoints"] or {},
            fields=written["fields"],
            tokens={name: Masked(written[name]) for name in giving_back.KNOWN_BY},
            ends_at=datetime.fromisoformat(written["ends"]),
        )
        outcome = giving_back.ask(access, renew=lambda: _renewed(secret_id, access, written))
    shred(secret_id, connection_id, agency_id=agency_id, outcome=outcome, at=clock.now())


def _renewed(secret_id: int, access: Access, written: dict[str, Any]) -> Tokens | None:
    """Have it refreshed, and seal that one for the next try; none if its provider says that the grant is gone."""
    token = giving_back.refreshed(access)
    if token is None:
        return None
    tokens = giving_back.tokens_of(token)
    ends_at = token.expires_at or clock.now() + lifetimes.ASSUMED
    again = written | {name: value.reveal() for name, value in tokens.items()} | {"ends": ends_at.isoformat()}
    with transaction() as session:
        secret = session.get_one(Secret, secret_id, populate_existing=True)
        secret.blob = seal(runtime.current().keyring, json.dumps(again).encode(), sealed.credential_place(secret))
    return tokens


def _account(connection: Connection) -> Identity | None:
    if connection.external_id is None:
        return None
    return Identity(issuer=connection.issuer, id=connection.external_id, label=connection.account or "")


def shred(secret_id: int, connection_id: int, *, agency_id: int, outcome: str, at: datetime) -> None:
    """Destroy a late token, and record what the provider said of it; a connection that was revoked says no more than is true."""
    with acting_for(agency_id), transaction() as session:
        connection = session.get_one(Connection, connection_id)
        lock(connection)
        gone = session.execute(
            delete(Secret).where(Secret.id == secret_id).execution_options(synchronize_session=False)
        )
        if gone.rowcount != 1:  # type: ignore[attr-defined]
            return
        if connection.revocation in (Revocation.CONFIRMED, Revocation.UNCONFIRMED) and outcome != Revocation.CONFIRMED:
            connection.revocation = Revocation(outcome) if outcome in set(Revocation) else Revocation.UNCONFIRMED
        audit.record("grant.discarded", connection, by=SYSTEM, at=at, app=connection.app_key, outcome=outcome)

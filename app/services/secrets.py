"""Sealed credentials: written whole, opened for one use, shredded."""

import json
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import delete

from app import runtime
from app.database import new_public_id
from app.extensions import db
from app.models import Connection, Secret
from app.vault import Masked, Place, open_, seal

CONNECTION = "connection"


def keep(connection: Connection, credential: Mapping[str, str | None], *, at: datetime) -> Secret:
    """Seal a credential for a connection, in place of the one it had; the old one is shredded in the same transaction."""
    old = connection.secret
    secret = Secret(
        public_id=new_public_id(),
        agency_id=connection.agency_id,
        workspace_id=connection.workspace_id,
        purpose=CONNECTION,
        owner=connection.public_id,
        version=old.version + 1 if old else 1,
        sealed_at=at,
    )
    secret.blob = seal(runtime.current().keyring, json.dumps(credential).encode(), _place(connection, secret))
    session = db.session()
    session.add(secret)
    session.flush()
    connection.secret_id = secret.id
    session.flush()
    if old is not None:
        shred(old)
    session.refresh(connection, ["secret"])
    return secret


def reveal(connection: Connection) -> dict[str, Masked]:
    """The credential's parts, masked; raises VaultError if the blob is not this connection's."""
    if connection.secret is None:
        return {}
    parts = json.loads(open_(runtime.current().keyring, connection.secret.blob, _place(connection, connection.secret)))
    return {name: Masked(value) for name, value in parts.items() if value is not None}


def shred(secret: Secret) -> None:
    """Destroy a secret: without its blob nothing can bring it back."""
    db.session.execute(delete(Secret).where(Secret.id == secret.id).execution_options(synchronize_session=False))
    db.session.expunge(secret)


def _place(connection: Connection, secret: Secret) -> Place:
    """Where a secret belongs, said by the connection that wants it: one that was put elsewhere does not open there."""
    return Place(
        CONNECTION,
        connection.agency_id,
        connection.workspace_id,
        connection.public_id,
        secret.public_id,
        secret.version,
    )

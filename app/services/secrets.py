"""Sealed credentials: written whole, opened for one use, shredded."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import bindparam, delete, insert, update

from app import runtime
from app.database import new_public_id
from app.errors import Conflict
from app.extensions import db
from app.i18n import _
from app.models import Connection, Health, Secret
from app.prepared import Prepared, Row
from app.services import sealed
from app.vault import Masked, Place, open_, seal

_SECRET = Prepared(insert(Secret).returning(Secret.id))
_CONNECTION = Prepared(insert(Connection).returning(Connection.id))


def keep(connection: Connection, credential: Mapping[str, str | None], *, at: datetime, first: int = 1) -> Secret:
    """Seal a credential for a connection, in place of the one it had; the old one is shredded in the same transaction.

    Its version goes on from there; `first` is the version where there was none.
    """
    old = connection.secret
    secret = Secret(
        public_id=new_public_id(),
        agency_id=connection.agency_id,
        workspace_id=connection.workspace_id,
        purpose=sealed.CONNECTION,
        owner=connection.public_id,
        version=old.version + 1 if old else first,
        sealed_at=at,
    )
    secret.blob = seal(runtime.current().keyring, json.dumps(credential).encode(), _place(connection, secret))
    session = db.session()
    session.add(secret)
    session.flush()
    # point: secret.sealed
    connection.secret_id = secret.id
    session.flush()
    if old is not None:
        shred(old)
    # point: secret.replaced
    session.refresh(connection, ["secret"])
    return secret


@dataclass(frozen=True)
class Kept:
    """A connection that was just made."""

    id: int
    public_id: str
    account: str | None


def keep_new(credential: Mapping[str, str | None], *, at: datetime, **values: Any) -> Kept:
    """Seal a credential, and make the connection that it belongs to."""
    of, connection_id = SimpleNamespace(**values), new_public_id()
    of.public_id = connection_id
    secret = SimpleNamespace(public_id=new_public_id(), version=1)
    sealed_in = _SECRET(
        public_id=secret.public_id,
        agency_id=of.agency_id,
        workspace_id=of.workspace_id,
        purpose=sealed.CONNECTION,
        owner=connection_id,
        version=secret.version,
        blob=seal(runtime.current().keyring, json.dumps(credential).encode(), _place(of, secret)),
        sealed_at=at,
    ).scalar()
    # point: secret.made
    named = {"public_id": connection_id, "name_key": of.name.strip().casefold()}
    made = _CONNECTION(secret_id=sealed_in, created_at=at, updated_at=at, **named, **values).scalar()
    # point: connection.made
    return Kept(made, connection_id, of.account)


_RESEAL = Prepared(
    update(Secret)
    .where(Secret.id == bindparam("secret"), Secret.version == bindparam("was"))
    .values(blob=bindparam("sealed"), version=bindparam("becomes"), sealed_at=bindparam("moment"))
)


def replace(held: Row, credential: Mapping[str, str | None], *, at: datetime) -> int | None:
    """Seal a credential in place of the very one that was read; its version, or None if that is not there any more.

    `held` has the connection's columns, and `secret_id`, `secret_public_id` and `version` of its secret.
    """
    becomes = held.version + 1
    place = _place(held, SimpleNamespace(public_id=held.secret_public_id, version=becomes))
    blob = seal(runtime.current().keyring, json.dumps(credential).encode(), place)
    kept = _RESEAL(secret=held.secret_id, was=held.version, sealed=blob, becomes=becomes, moment=at)
    return becomes if kept.rowcount == 1 else None


def opened(held: Row) -> dict[str, Masked]:
    """The credential's parts, as `reveal` gives them, of a row that has the secret's columns and its `blob` beside the connection's."""
    if held.health is Health.REVOKED:
        raise Conflict(_("This connection was revoked."))
    return opened_revoked(held)


def opened_revoked(held: Row) -> dict[str, Masked]:
    """The same of one that was revoked, as `reveal_revoked` gives them."""
    place = _place(held, SimpleNamespace(public_id=held.secret_public_id, version=held.version))
    return _parts(open_(runtime.current().keyring, held.blob, place))


def reveal(connection: Connection) -> dict[str, Masked]:
    """The credential's parts, masked; raises VaultError if the blob is not this connection's, Conflict once it was revoked."""
    if connection.health is Health.REVOKED:
        raise Conflict(_("This connection was revoked."))
    return _opened(connection)


def reveal_revoked(connection: Connection) -> dict[str, Masked]:
    """The same of a connection that was revoked: for its provider, which is to end it, and for nobody else."""
    return _opened(connection)


def _opened(connection: Connection) -> dict[str, Masked]:
    if connection.secret is None:
        return {}
    return _parts(open_(runtime.current().keyring, connection.secret.blob, _place(connection, connection.secret)))


def _parts(credential: bytes) -> dict[str, Masked]:
    return {name: Masked(value) for name, value in json.loads(credential).items() if value is not None}


def destroy(connection: Connection) -> None:
    """Shred a connection's credential; it has none from then on."""
    old = connection.secret
    if old is not None:
        connection.secret_id = None
        db.session.flush()
        shred(old)
        db.session.refresh(connection, ["secret"])


def shred(secret: Secret) -> None:
    """Destroy a secret: without its blob nothing can bring it back."""
    db.session.execute(delete(Secret).where(Secret.id == secret.id).execution_options(synchronize_session=False))
    db.session.expunge(secret)


def _place(connection: Any, secret: Any) -> Place:
    """Where a secret belongs, said by the connection that wants it: one that was put elsewhere does not open there."""
    return Place(
        sealed.CONNECTION,
        connection.agency_id,
        connection.workspace_id,
        connection.public_id,
        secret.public_id,
        secret.version,
    )

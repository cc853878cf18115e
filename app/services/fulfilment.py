"""Fulfilment: what a client connected settles what was asked, and a revocation takes that back."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Boolean, ColumnElement, bindparam, or_, select, update

from app.database import transaction
from app.extensions import db
from app.models import Connection, ConnectionRequest, Kind, Slot, Staff, Status
from app.prepared import Prepared, Row
from app.services import audit, bundles, connection_requests
from app.services.audit import Actor
from app.services.secrets import Kept

_FULFIL = Prepared(
    update(ConnectionRequest)
    .where(
        ConnectionRequest.id == bindparam("asked"),
        or_(*(ConnectionRequest.status == status for status in connection_requests.FROM[Status.FULFILLED])),
    )
    .values(
        status=Status.FULFILLED,
        transition=ConnectionRequest.transition + 1,
        settled_at=bindparam("at"),
        connection_id=bindparam("connection"),
        other_account=or_(ConnectionRequest.other_account, bindparam("other", type_=Boolean)),
        notice=None,
        granted_scopes=None,
        hand_over_to=None,
    )
)
_FILL = Prepared(
    update(Slot).where(Slot.id == bindparam("slot")).values(connection_id=bindparam("connection"), lost_at=None)
)


def fulfil(
    asked: ConnectionRequest | Row,
    connection: Connection | Row | Kept,
    *,
    generation: int,
    at: datetime,
    by: Actor,
    other_account: bool = False,
) -> bool:
    """Settle a request with the connection that was made for it; false when it was withdrawn or settled meanwhile.

    Within a transaction that began by touching the workspace, and so holds its lock.
    """
    if asked.generation != generation:
        return False
    done = _FULFIL(asked=asked.id, connection=connection.id, other=other_account, at=at)
    if done.rowcount != 1:
        return False
    # point: request.moved
    if asked.slot_id is not None:
        _FILL(slot=asked.slot_id, connection=connection.id)
    # point: slot.filled
    if asked.bundle_id is not None:
        bundles.close_settled(asked.bundle_id, at=at)
    subject = audit.Subject("connection_request", asked.public_id, asked.workspace_id)
    told = {"app": asked.app_key, "connection": connection.public_id}
    audit.record("request.fulfilled", subject, by=by, at=at, **told, kind=asked.kind)
    if other_account:
        audit.record("request.other_account", subject, by=by, at=at, app=asked.app_key, account=connection.account)
    db.session.expire_all()
    return True


def mended(connection: Connection | Kept, *, besides: int | None = None, by: Actor, at: datetime) -> None:
    """Settle what still asks that a connection be mended, now that it is: one that was not sent yet is withdrawn.

    Within a transaction that holds the workspace's lock.
    """
    for asked in mending(ConnectionRequest.connection_id == connection.id, ConnectionRequest.id != (besides or 0)):
        if asked.status is Status.QUEUED:
            connection_requests.withdraw(asked, by=by, at=at)
        else:
            fulfil(asked, connection, generation=asked.generation, at=at, by=by)


def mending(*which: ColumnElement[bool]) -> Sequence[ConnectionRequest]:
    """Those of these requests that ask, or may still be answered, to mend a connection."""
    return db.session.scalars(
        select(ConnectionRequest)
        .where(
            ConnectionRequest.kind == Kind.REAUTHORIZE,
            ConnectionRequest.status.in_([Status.QUEUED, Status.PENDING, Status.DECLINED]),
            *which,
        )
        .order_by(ConnectionRequest.id)
    ).all()


def revoke_for(connection: Connection, *, by: Staff | Actor, at: datetime) -> None:
    """Mark the fulfilled requests behind a connection as revoked with it."""
    with transaction() as session:
        behind = select(ConnectionRequest).where(
            ConnectionRequest.connection_id == connection.id, ConnectionRequest.status == Status.FULFILLED
        )
        for asked in session.scalars(behind).all():
            if connection_requests.moved(asked, to=Status.REVOKED):
                audit.record("request.revoked", asked, by=by, at=at, app=asked.app_key)


def kept_others(connection_ids: Collection[int]) -> dict[int, str]:
    """The account that was expected of each of these whose owner kept another, by the connection's id; one query."""
    found = select(ConnectionRequest.connection_id, ConnectionRequest.expected_account).where(
        ConnectionRequest.connection_id.in_(connection_ids),
        ConnectionRequest.status == Status.FULFILLED,
        ConnectionRequest.other_account.is_(True),
    )
    rows = db.session.execute(found.order_by(ConnectionRequest.id))
    return {connection_id: expected for connection_id, expected in rows if connection_id}

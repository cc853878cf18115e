"""What is asked for a slot."""

from collections.abc import Sequence

from sqlalchemy import select

from app.extensions import db
from app.models import ConnectionRequest, Kind, Slot, Status


def live_for(slot: Slot) -> ConnectionRequest | None:
    """The queued or pending request of a slot, of which there is one at most."""
    return db.session.scalar(
        select(ConnectionRequest).where(
            ConnectionRequest.slot_id == slot.id,
            ConnectionRequest.kind == Kind.CONNECT,
            ConnectionRequest.status.in_([Status.QUEUED, Status.PENDING]),
        )
    )


def unsettled_for(slot: Slot) -> Sequence[ConnectionRequest]:
    """The slot's requests that something may still come of: queued, pending or declined."""
    return db.session.scalars(
        select(ConnectionRequest)
        .where(
            ConnectionRequest.slot_id == slot.id,
            ConnectionRequest.kind == Kind.CONNECT,
            ConnectionRequest.status.in_([Status.QUEUED, Status.PENDING, Status.DECLINED]),
        )
        .order_by(ConnectionRequest.id)
    ).all()

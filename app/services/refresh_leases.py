"""Who refreshes a connection: one process at a time, which holds a lease of it.

A process that died with a lease is known by one that did not change for as long as a lease lasts, by the observer's own
steady clock. What the hosts' clocks say decides nothing.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import select

from app import clock
from app.database import transaction
from app.extensions import db
from app.models import Connection
from app.services import causes, claims, mending, refresh_rows
from app.tenancy import acting_for

LEASE = claims.LEASE.total_seconds()  # a refresh takes thirty seconds at most
MOST = 1000  # that one observer has in view


class Mark(NamedTuple):
    """A lease that somebody holds."""

    connection_id: int
    agency_id: int
    lease: str
    called_at: datetime | None

    def looks_abandoned(self, *, at: datetime) -> bool:
        """Whether it is held for longer than a refresh may take, by the clock: enough to watch it, and no more."""
        return self.called_at is None or not self.called_at <= at < self.called_at + timedelta(seconds=LEASE)


def in_hand() -> list[Mark]:
    """The leases that are held now."""
    held = Connection.refresh_lease.is_not(None)
    columns = (Connection.id, Connection.agency_id, Connection.refresh_lease, Connection.refresh_called_at)
    rows = db.session.execute(select(*columns).where(held).order_by(Connection.refresh_lease).limit(MOST))
    return [Mark(row.id, row.agency_id, row.refresh_lease or "", row.refresh_called_at) for row in rows]


def lapse(mark: Mark) -> None:
    """Take a lease from a process that died with it: the connection needs its owner, since nobody knows what the provider did.

    Asking again with a refresh token that may be used up would end the grant at many providers, so nobody does.
    """
    at = clock.now()
    with acting_for(mark.agency_id), transaction():
        if refresh_rows.FREED(connection=mark.connection_id, holder=mark.lease).rowcount != 1:
            return
        held = refresh_rows.HELD(connection=mark.connection_id).one_or_none()
        if held is not None:  # else its secret is gone, and there is nothing to mend
            mending.mark_broken(held, causes.INTERRUPTED, at=at)
        # point: refresh.lapsed

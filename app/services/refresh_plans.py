"""When a connection's token is to be refreshed ahead of its end: a piece of work for each credential that was stored."""

from datetime import datetime, timedelta
from typing import Protocol

from app.models.outbox import PLANNED
from app.services import lifetimes, outbox

KIND = PLANNED
SHORTEST = timedelta(minutes=1)  # what lives for less is refreshed as it is used


class Kept(Protocol):
    """A connection, or what is known of one."""

    @property
    def id(self) -> int:
        """The primary key."""

    @property
    def public_id(self) -> str:
        """Its id on the outside."""


def put(
    connection: Kept,
    version: int,
    *,
    agency_id: int,
    expires_at: datetime | None,
    at: datetime,
    token_at: datetime | None = None,
) -> None:
    """Have a token that came at `token_at`, or now, be refreshed in time. Within the transaction that stores it.

    The work for an older version of the credential finds that it is superseded.
    """
    due_at = lifetimes.refresh_due(token_at or at, expires_at)
    if due_at is not None:
        due_at = max(due_at, at + SHORTEST)
    came_at = int((token_at or at).timestamp())  # so that no two credentials of a connection have the same key
    key = f"{connection.public_id}:{version}:{came_at}"
    outbox.put(
        KIND, key, agency_id=agency_id, at=at, due_at=due_at, connection=connection.id, version=version
    )  # fmt: skip

"""Giving back what revoked connections had, for a day at most."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from app import runtime
from app.database import end_reading
from app.models import OutboxState
from app.services import giving_back, returns
from app.services.claims import Claimed, Failed, Superseded
from app.tenancy import across_tenants
from app.worker import asking
from app.worker.owed import Owed


def is_ready() -> bool:
    """Whether there are the keys to open them."""
    return not runtime.current().keys.sealed


def look(batch: Sequence[Claimed]) -> None:
    """Look up at once whose providers are asked."""
    with across_tenants("the worker does everybody's work"):
        clients = returns.clients([item.payload["connection"] for item in batch])
    end_reading()
    for item in batch:
        item.seen["provider"] = clients.get(item.payload["connection"])


@contextmanager
def opened(_owed: Owed) -> Iterator[Callable[[Claimed], None]]:
    """A run of connections, a few at once."""
    with asking.opened(_give_back) as run:
        yield run


def _give_back(item: Claimed) -> None:
    interrupted = "interrupted" in item.payload
    try:
        wanted = returns.give_back(item.payload["connection"], agency_id=item.agency_id, is_interrupted=interrupted)
    except giving_back.NotGivenBack as error:
        raise Failed("provider", later=error.retry_after, until=error.until) from error
    if not wanted:
        raise Superseded


def settled(item: Claimed, state: OutboxState, /, *, at: datetime) -> None:
    """Shred what could not be given back in the end."""
    if state is OutboxState.DEAD:
        returns.give_up(item.payload["connection"], agency_id=item.agency_id, at=at)

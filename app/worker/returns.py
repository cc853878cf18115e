"""Giving back what revoked connections had, for a day at most."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from app import runtime
from app.models import OutboxState
from app.services import giving_back, returns
from app.services.claims import Claimed, Failed, Superseded
from app.worker.owed import Owed


def is_ready() -> bool:
    """Whether there are the keys to open them; providers are reached one by one."""
    return not runtime.current().keys.sealed


@contextmanager
def opened(_owed: Owed) -> Iterator[Callable[[Claimed], None]]:
    """A run of connections, each on its own."""
    yield _give_back


def _give_back(item: Claimed) -> None:
    try:
        wanted = returns.give_back(item.payload["connection"], agency_id=item.agency_id)
    except giving_back.NotGivenBack as error:
        raise Failed("provider", later=error.retry_after, until=error.until) from error
    if not wanted:
        raise Superseded


def settled(item: Claimed, state: OutboxState, /, *, at: datetime) -> None:
    """Shred what could not be given back in the end."""
    if state is OutboxState.DEAD:
        returns.give_up(item.payload["connection"], agency_id=item.agency_id, at=at)

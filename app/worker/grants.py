"""Giving back grants that nobody is going to use."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from app import runtime
from app.models import OutboxState
from app.services import giving_back, grants
from app.services.claims import Claimed, Failed
from app.worker.owed import Owed


def is_ready() -> bool:
    """Whether there are the keys to open them; providers are reached one by one."""
    return not runtime.current().keys.sealed


@contextmanager
def opened(_owed: Owed) -> Iterator[Callable[[Claimed], None]]:
    """A run of grants, each on its own."""
    yield _discard


def _discard(item: Claimed) -> None:
    try:
        grants.discard(item.payload["flow"], agency_id=item.agency_id)
    except giving_back.NotGivenBack as error:
        raise Failed("provider", later=error.retry_after) from error


def settled(item: Claimed, state: OutboxState, /, *, at: datetime) -> None:
    """Shred what could not be given back in the end: it is not kept for longer than it takes to try."""
    if state is OutboxState.DEAD:
        grants.shred(item.payload["flow"], agency_id=item.agency_id, outcome="unconfirmed", at=at)

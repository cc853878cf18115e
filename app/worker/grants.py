"""Giving back grants that nobody is going to use."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from app import runtime
from app.models import OutboxState
from app.services import giving_back, grants, late_tokens
from app.services.claims import Claimed, Failed
from app.worker.owed import Owed

UNCONFIRMED = "unconfirmed"


def is_ready() -> bool:
    """Whether there are the keys to open them; providers are reached one by one."""
    return not runtime.current().keys.sealed


@contextmanager
def opened(_owed: Owed) -> Iterator[Callable[[Claimed], None]]:
    """A run of grants, each on its own."""
    yield _discard


def _discard(item: Claimed) -> None:
    try:
        if "flow" in item.payload:
            grants.discard(item.payload["flow"], agency_id=item.agency_id)
        else:
            late_tokens.discard(item.payload["secret"], item.payload["connection"], agency_id=item.agency_id)
    except giving_back.NotGivenBack as error:
        raise Failed("provider", later=error.retry_after) from error


def settled(item: Claimed, state: OutboxState, /, *, at: datetime) -> None:
    """Shred what could not be given back in the end: it is not kept for longer than it takes to try."""
    if state is not OutboxState.DEAD:
        return
    if "flow" in item.payload:
        grants.shred(item.payload["flow"], agency_id=item.agency_id, outcome=UNCONFIRMED, at=at)
        return
    ids = item.payload["secret"], item.payload["connection"]
    late_tokens.shred(*ids, agency_id=item.agency_id, outcome=UNCONFIRMED, at=at)

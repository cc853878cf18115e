"""Giving back grants that nobody is going to use."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from app import runtime
from app.database import end_reading
from app.models import OutboxState
from app.services import giving_back, grants, late_tokens, returns
from app.services.claims import Claimed, Failed
from app.tenancy import across_tenants
from app.worker import asking
from app.worker.owed import Owed

UNCONFIRMED = "unconfirmed"


def is_ready() -> bool:
    """Whether there are the keys to open them."""
    return not runtime.current().keys.sealed


def look(batch: Sequence[Claimed]) -> None:
    """Look up at once whose providers are asked."""
    with across_tenants("the worker does everybody's work"):
        of_flows = grants.clients([item.payload["flow"] for item in batch if "flow" in item.payload])
        of_connections = returns.clients([item.payload["connection"] for item in batch if "flow" not in item.payload])
    end_reading()
    for item in batch:
        ids = item.payload
        item.seen["provider"] = of_flows.get(ids["flow"]) if "flow" in ids else of_connections.get(ids["connection"])


@contextmanager
def opened(_owed: Owed) -> Iterator[Callable[[Claimed], None]]:
    """A run of grants, a few at once."""
    with asking.opened(_discard) as run:
        yield run


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

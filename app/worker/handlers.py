"""What is done for each kind of work in the outbox."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.models import OutboxState
from app.services import bundle_mail, due_letters, joining, letters, refresh_plans, refreshing, revocations
from app.services import grants as held_grants
from app.services.claims import Claimed
from app.tenancy import acting_for
from app.worker import grants, joined, mail, refreshes, returns
from app.worker.owed import Owed


class Settled(Protocol):
    """Told how a piece of work ended, in the transaction that says so."""

    def __call__(self, item: Claimed, state: OutboxState, /, *, at: datetime) -> None: ...


def _look_at_nothing(_batch: Sequence[Claimed]) -> None:
    pass


@dataclass(frozen=True)
class Handler:
    """How one kind is done: `open` makes, for a batch, the function that does one item or raises what `claims` names.

    If that is `turns.Several` besides, it can do a few at once. It is given what the worker owes: `owes` says that what was done of this kind may be written down with the next.

    `ready` says whether it can be done at all at present; until then it stays in the outbox untouched. `look` may look up
    at once what a batch needs. `ahead`: all of it is written for later, and nothing is due before this clock says so.
    `grace`: for how many seconds what is in hand is waited for at least, where more would be lost than time.
    """

    kind: str
    open: Callable[[Owed], AbstractContextManager[Callable[[Claimed], None]]]
    ready: Callable[[], bool]
    settled: Settled
    look: Callable[[Sequence[Claimed]], None] = _look_at_nothing
    owes: bool = False
    ahead: bool = False
    batch: int = 50
    grace: float = 0.0


HANDLERS = (
    Handler(
        bundle_mail.KIND,
        open=mail.BUNDLES.opened,
        ready=mail.is_ready,
        settled=bundle_mail.settled,
        look=mail.BUNDLES.look,
        owes=True,
        batch=100,
    ),
    *(
        Handler(
            kind,
            open=mail.LETTERS.opened,
            ready=mail.is_ready,
            settled=due_letters.settled,
            look=mail.LETTERS.look,
            owes=True,
        )
        for kind in letters.KINDS
    ),
    Handler(held_grants.KIND, open=grants.opened, ready=grants.is_ready, settled=grants.settled, look=grants.look),
    Handler(revocations.KIND, open=returns.opened, ready=returns.is_ready, settled=returns.settled, look=returns.look),
    Handler(
        refresh_plans.KIND,
        open=refreshes.opened,
        ready=refreshes.is_ready,
        settled=refreshes.settled,
        look=refreshes.look,
        owes=True,
        ahead=True,
        batch=refreshes.WIDTH * refreshes.ROUNDS,
        grace=refreshing.GRACE,
    ),
    Handler(joining.KIND, open=joined.opened, ready=joined.is_ready, settled=joined.settled),
)


def settled(item: Claimed, state: OutboxState, *, at: datetime) -> None:
    """Tell the handler of its kind how a piece of work ended in other hands. Within the transaction that says so."""
    with acting_for(item.agency_id):
        for handler in HANDLERS:
            if handler.kind == item.kind:
                handler.settled(item, state, at=at)

"""What is done for each kind of work in the outbox."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.models import OutboxState
from app.services import bundle_mail
from app.services import grants as held_grants
from app.services.claims import Claimed
from app.worker import grants, mail


class Settled(Protocol):
    """Told how a piece of work ended, in the transaction that says so."""

    def __call__(self, item: Claimed, state: OutboxState, /, *, at: datetime) -> None: ...


@dataclass(frozen=True)
class Handler:
    """How one kind is done: `open` makes, for a batch, the function that does one item or raises what `claims` names.

    `ready` says whether it can be done at all at present; until then it stays in the outbox untouched.
    """

    kind: str
    open: Callable[[], AbstractContextManager[Callable[[Claimed], None]]]
    ready: Callable[[], bool]
    settled: Settled
    batch: int = 50


HANDLERS = (
    Handler(bundle_mail.KIND, open=mail.opened, ready=mail.is_ready, settled=bundle_mail.settled),
    Handler(held_grants.KIND, open=grants.opened, ready=grants.is_ready, settled=grants.settled),
)

"""What the worker looks after besides the outbox."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from app import clock, runtime
from app.database import transaction
from app.extensions import db
from app.services import audit_chain, counters, housekeeping, leases, refresh_leases, vault_keys
from app.services.leases import Watch
from app.worker import handlers


@dataclass
class Chore:
    """Something to be done every so many seconds."""

    every: float
    do: Callable[[], None]
    _due: float = field(default=0.0, init=False)

    def is_due(self) -> bool:
        """Whether its time has come; if so, the next one begins."""
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = now + self.every
        return True


def of(watch: Watch[leases.Mark], refreshes: Watch[refresh_leases.Mark]) -> list[Chore]:
    """The chores of one worker, which watches what is in hand and who refreshes what."""
    return [
        Chore(5, lambda: take_over(watch)),
        Chore(5, lambda: free(refreshes)),
        Chore(5, link),
        Chore(10, look_for_keys),
        Chore(3600, forget),
    ]


def take_over(watch: Watch[leases.Mark]) -> None:
    """Free what workers that died left in their hands, and settle what that ends."""
    hold = runtime.current().config.mail_ambiguous == "hold"
    for mark in watch.lapsed(leases.in_hand()):
        at = clock.now()
        with transaction():
            taken = leases.release(mark, at=at, hold=hold)
            if taken:
                handlers.settled(*taken, at=at)


def free(watch: Watch[refresh_leases.Mark]) -> None:
    """Take leases of connections from processes that died while they refreshed them."""
    for mark in watch.lapsed(refresh_leases.in_hand()):
        refresh_leases.lapse(mark)


def link() -> None:
    """Link new rows of the audit trail."""
    audit_chain.link()


def look_for_keys() -> None:
    """Learn which keys are in use by now, here and on other machines."""
    vault_keys.relearn(db.engine, runtime.current().keys)


def forget() -> None:
    """Drop counts that no limit looks at any more, and rows that have served their time."""
    at = clock.now()
    counters.forget(before=at - timedelta(days=1))
    housekeeping.sweep(at=at)

"""Turns: a batch of one kind of work claimed, done item by item, and each settled whatever becomes of it."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Protocol, runtime_checkable

import structlog
from flask import Flask
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from app import clock, runtime
from app.database import transaction
from app.extensions import db
from app.models import OutboxState
from app.services import audit, claims, leases
from app.services.claims import Claimed, Failed, LeaseLost, Postponed, Superseded
from app.tenancy import across_tenants, acting_for
from app.vault import Sealed
from app.worker.handlers import Handler
from app.worker.owed import Owed

INSISTS, PAUSE = 60.0, 1.0  # seconds: how long a database that went away may take to come back, and how often to look
log = structlog.get_logger(__name__)


@runtime_checkable
class Several(Protocol):
    """What can do several at once: `width` of those that are left; it tells of each how it ended."""

    def width(self, left: Sequence[Claimed], /) -> int:
        """How many of the first of these may be done together, at least one."""

    def several(
        self, items: Sequence[Claimed], stopping: Callable[[], bool], /
    ) -> Iterator[tuple[Claimed, Exception | None]]:
        """Do these, and begin none once it is to stop; says of each, as soon as it is known, what went wrong if anything did."""


@contextmanager
def everybody(app: Flask) -> Iterator[None]:
    """An application context of its own, for work that belongs to no one tenant."""
    with app.app_context(), across_tenants("the worker does everybody's work"):
        yield


class Turns:
    """What one worker does, in any of its threads; `tally` counts how it ended."""

    def __init__(self, app: Flask, stopping: threading.Event) -> None:
        self._app, self._stopping = app, stopping
        self._held: dict[int, Claimed] = {}
        self._lock = threading.Lock()
        self.tally: Counter[str] = Counter()

    def take(self, handler: Handler) -> bool:
        """Do one batch of what is due; false if there was nothing that could be done."""
        with everybody(self._app):
            at = clock.now()
            if not handler.ready() or not claims.is_due([handler.kind], at=at, ahead=handler.ahead):
                return False
            # point: work.found
            batch = claims.claim([handler.kind], at=at, limit=handler.batch, ahead=handler.ahead)
        # point: work.claimed
        with self._lock:
            self._held |= {item.id: item for item in batch}
        try:
            self._run(handler, batch)
        finally:
            with self._lock:
                left = [self._held.pop(item.id) for item in batch if item.id in self._held]
            if left:
                with everybody(self._app):
                    claims.give_back(left)
        return bool(batch)

    def heartbeat(self) -> None:
        """Show that what is in hand is not forgotten."""
        with self._lock:
            held = list(self._held.values())
        if held:
            with everybody(self._app):
                leases.renew(held, at=clock.now())

    def _run(self, handler: Handler, batch: list[Claimed]) -> None:
        owed = Owed(partial(self._write, handler), partial(self._finish, handler, outcome=None))
        with everybody(self._app), handler.open(owed) as do:
            handler.look(batch)
            done, left = 0, deque(batch)
            try:
                while left and not self._stopping.is_set():
                    # point: work.begun
                    for item, outcome in self._next(do, left):
                        # point: work.done
                        done += outcome is None
                        if handler.owes and outcome is None:
                            owed.put(item)
                        else:
                            owed.pay()
                            self._finish(handler, item, outcome)
            finally:
                owed.pay()
                if done:
                    log.info("work settled", kind=handler.kind, outcome=OutboxState.DONE.value, items=done)

    def _next(self, do: Callable[[Claimed], None], left: deque[Claimed]) -> Iterator[tuple[Claimed, Exception | None]]:
        """Do the next of those that are left, or the next few at once."""
        width = do.width(left) if isinstance(do, Several) else 1
        if width > 1 and isinstance(do, Several):
            for item, error in do.several([left.popleft() for _ in range(width)], self._stopping.is_set):
                yield item, self._outcome(partial(_raise, error), item)
        else:
            item = left.popleft()
            yield item, self._outcome(do, item)

    def _outcome(self, do: Callable[[Claimed], None], item: Claimed) -> Exception | None:
        try:
            with acting_for(item.agency_id):
                do(item)
        except (Superseded, Postponed, Failed, LeaseLost) as outcome:
            return outcome
        except Sealed:
            raise  # the key went missing just now: this waits for it like all else, with no attempt counted
        except Exception:
            log.exception("work failed", kind=item.kind, id=item.id)
            return Failed("internal")
        finally:
            db.session.rollback()
        return None

    def _write(self, handler: Handler, items: Sequence[Claimed]) -> Callable[[], None]:
        """Say in the transaction at hand that these are done; returns what is to be told of them then."""
        at = clock.now()
        if len(items) > 1 and len({item.agency_id for item in items}) == 1:
            with acting_for(items[0].agency_id):
                claims.done_all(items, at=at)
                with audit.together():
                    for item in items:
                        handler.settled(item, OutboxState.DONE, at=at)
        else:
            for item in items:
                with acting_for(item.agency_id):
                    self._end(handler, item, None, at=at)

        def tell() -> None:
            for item in items:
                self._count(item, OutboxState.DONE.value)
                self._let_go(item)

        return tell

    def _let_go(self, item: Claimed) -> None:
        with self._lock:
            del self._held[item.id]

    def _finish(self, handler: Handler, item: Claimed, outcome: Exception | None) -> None:
        self._insist(handler, item, outcome)
        # point: work.settled
        self._let_go(item)

    def _insist(self, handler: Handler, item: Claimed, outcome: Exception | None) -> None:
        deadline = time.monotonic() + INSISTS
        while not isinstance(outcome, LeaseLost):
            try:
                with acting_for(item.agency_id):
                    self._settle(handler, item, outcome, at=clock.now())
            except LeaseLost as lost:
                outcome = lost
            except Exception as error:
                if not _may_pass(error):
                    log.exception("work could not be settled", kind=item.kind, id=item.id)
                    return  # left in hand: it lapses, counts as a failed try, and stops no other meanwhile
                if time.monotonic() > deadline:
                    raise
                time.sleep(PAUSE)
            else:
                return
        log.warning("lease lost", kind=item.kind, id=item.id)

    def _settle(self, handler: Handler, item: Claimed, outcome: Exception | None, *, at: datetime) -> None:
        if isinstance(outcome, Postponed):
            claims.postpone(item, until=outcome.until, error=outcome.error)
            self._count(item, "postponed", outcome.error)
        elif isinstance(outcome, Superseded):
            claims.done(item, at=at, note="superseded")
            self._count(item, "superseded")
        else:
            failure = outcome if isinstance(outcome, Failed) else None
            with transaction():
                state = self._end(handler, item, failure, at=at)
            self._count(item, state.value, failure.error if failure else None)

    def _end(self, handler: Handler, item: Claimed, failure: Failed | None, *, at: datetime) -> OutboxState:
        state = OutboxState.DONE
        if failure:
            hold = runtime.current().config.mail_ambiguous == "hold"
            state = claims.fail(item, failure, at=at, hold=hold)
        else:
            claims.done(item, at=at)
        # point: work.settling
        handler.settled(item, state, at=at)
        # point: work.recorded
        return state

    def _count(self, item: Claimed, outcome: str, error: str | None = None) -> None:
        with self._lock:
            self.tally[outcome] += 1
        if outcome != OutboxState.DONE.value:
            log.info("work settled", kind=item.kind, id=item.id, outcome=outcome, error=error)


def _raise(error: Exception | None, _item: Claimed) -> None:
    if error:
        raise error


def _may_pass(error: Exception) -> bool:
    """Whether the database only went away; what it refuses, or we can't make of a row, stays so."""
    return isinstance(error, DBAPIError) and not isinstance(error, DataError | IntegrityError)

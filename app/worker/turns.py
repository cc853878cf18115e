"""Turns: a batch of one kind of work claimed, done item by item, and each settled whatever becomes of it."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import structlog
from flask import Flask
from sqlalchemy.exc import DBAPIError

from app import clock, runtime
from app.database import across_tenants, acting_for, transaction
from app.models import OutboxState
from app.services import claims, leases
from app.services.claims import Claimed, Failed, LeaseLost, Postponed, Superseded
from app.worker.handlers import Handler

INSISTS, PAUSE = 60.0, 1.0  # seconds: how long a database that went away may take to come back, and how often to look
log = structlog.get_logger(__name__)


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
            if not handler.ready() or not claims.is_due([handler.kind], at=at):
                return False
            batch = claims.claim([handler.kind], at=at, limit=handler.batch)
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
        with self._app.app_context(), handler.open() as do:
            for item in batch:
                if self._stopping.is_set():
                    return
                self._finish(handler, item, self._outcome(do, item))
                with self._lock:
                    del self._held[item.id]

    def _outcome(self, do: Callable[[Claimed], None], item: Claimed) -> Exception | None:
        try:
            with self._app.app_context(), acting_for(item.agency_id):
                do(item)
        except (Superseded, Postponed, Failed, LeaseLost) as outcome:
            return outcome
        except Exception:
            log.exception("work failed", kind=item.kind, id=item.id)
            return Failed("internal")
        return None

    def _finish(self, handler: Handler, item: Claimed, outcome: Exception | None) -> None:
        deadline = time.monotonic() + INSISTS
        while not isinstance(outcome, LeaseLost):
            try:
                with self._app.app_context(), acting_for(item.agency_id):
                    self._settle(handler, item, outcome, at=clock.now())
            except LeaseLost as lost:
                outcome = lost
            except DBAPIError:
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
            with transaction():
                if isinstance(outcome, Failed):
                    hold = runtime.current().config.mail_ambiguous == "hold"
                    state = claims.fail(item, outcome, at=at, hold=hold)
                else:
                    state = OutboxState.DONE
                    claims.done(item, at=at)
                handler.settled(item, state, at=at)
            self._count(item, state.value, outcome.error if isinstance(outcome, Failed) else None)

    def _count(self, item: Claimed, outcome: str, error: str | None = None) -> None:
        with self._lock:
            self.tally[outcome] += 1
        log.info("work settled", kind=item.kind, id=item.id, outcome=outcome, error=error)

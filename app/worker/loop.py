"""The worker: a thread for each kind of work, so that a slow one hinders no other, and one for signs of life and chores."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import structlog
from flask import Flask

from app import clock
from app.services import claims, leases, outbox, refresh_leases
from app.worker import chores
from app.worker.handlers import HANDLERS, Handler
from app.worker.turns import Turns, everybody

POLL, AFTER_ERROR = 1.0, 5.0  # seconds
HEARTBEAT = 20.0
GRACE = 28.0
log = structlog.get_logger(__name__)


class Worker:
    """Does what is due. `patience` is how long, in seconds, a row in another's hands must look dead to be taken over."""

    def __init__(
        self,
        app: Flask,
        *,
        handlers: Sequence[Handler] = HANDLERS,
        patience: float = claims.LEASE.total_seconds(),
    ) -> None:
        self._app, self._handlers, self._patience = app, handlers, patience
        self._stopping = threading.Event()
        self._asked: float | None = None
        self._turns = Turns(app, self._stopping)
        self._watch = leases.Watch[leases.Mark](patience)
        self._refreshes = leases.Watch[refresh_leases.Mark](patience)
        self._chores = chores.of(self._watch, self._refreshes)
        self._wakers: list[threading.Event] = []
        self._threads: list[tuple[threading.Thread, float]] = []

    @property
    def tally(self) -> Counter[str]:
        """How many pieces of work ended how: done, retry, dead, held, postponed, superseded."""
        return self._turns.tally

    def start(self) -> None:
        """Begin, in threads that do not keep the process alive."""
        for handler in self._handlers:
            waker = threading.Event()
            outbox.wakers.add(waker)
            self._wakers.append(waker)
            self._thread(f"worker {handler.kind}", partial(self._turns.take, handler), POLL, waker, handler.grace)
        self._thread("worker chores", self._do_chores, POLL, self._stopping)
        self._thread("worker heartbeat", self._beat, HEARTBEAT, self._stopping)

    def stop(self, grace: float = GRACE) -> bool:
        """Finish what is in hand and begin nothing more; false if that took longer than `grace` seconds.

        They count from when it was first asked to stop; kinds of work that need longer have it. What is then still in hand is taken over by another worker, as after a crash.
        """
        self.ask_to_stop()
        for waker in self._wakers:
            waker.set()
        asked = self._asked or time.monotonic()
        for thread, longer in self._threads:
            thread.join(max(0.0, asked + max(grace, longer) - time.monotonic()))
        return not any(thread.is_alive() for thread, _ in self._threads)

    def wait(self) -> None:
        """Block until somebody stops it."""
        self._stopping.wait()

    def ask_to_stop(self) -> None:
        """Have it begin nothing more, and `wait` and `run_once` return soon; safe in a signal handler."""
        self._asked = self._asked or time.monotonic()
        self._stopping.set()

    def run_once(self) -> None:
        """Do all that is due, in this thread, then the chores.

        A row that looks abandoned is watched for as long as it takes to be sure, and then done too.
        """
        beat = threading.Thread(target=self._repeat, args=(self._beat, HEARTBEAT, self._stopping), daemon=True)
        beat.start()
        deadline = time.monotonic() + self._patience + 2 * POLL
        while not self._stopping.is_set():
            if any(self._turns.take(handler) for handler in self._handlers):
                continue
            if not self._abandoned() or time.monotonic() > deadline:
                break
            self._stopping.wait(min(POLL, self._patience))
        self._do_chores()
        self._stopping.set()
        beat.join()

    def _abandoned(self) -> bool:
        with everybody(self._app):
            chores.take_over(self._watch)
            chores.free(self._refreshes)
            at = clock.now()
            lapsed = any(mark.leased_until <= at for mark in leases.in_hand())
            lapsed = lapsed or any(mark.looks_abandoned(at=at) for mark in refresh_leases.in_hand())
            return lapsed or any(h.ready() and claims.is_due([h.kind], at=at, ahead=h.ahead) for h in self._handlers)

    def _thread(
        self, name: str, work: Callable[[], bool], poll: float, waker: threading.Event, longer: float = 0.0
    ) -> None:
        thread = threading.Thread(target=self._repeat, args=(work, poll, waker), name=name, daemon=True)
        self._threads.append((thread, longer))
        thread.start()

    def _repeat(self, work: Callable[[], bool], poll: float, waker: threading.Event) -> None:
        while not self._stopping.is_set():
            try:
                pause = 0.0 if work() else poll
            except Exception:
                log.exception("worker stumbled")
                pause = AFTER_ERROR
            if pause and waker.wait(pause) and waker is not self._stopping:
                waker.clear()

    def _do_chores(self) -> bool:
        for chore in self._chores:
            if chore.is_due() and not self._stopping.is_set():
                with everybody(self._app):
                    chore.do()
        return False

    def _beat(self) -> bool:
        self._turns.heartbeat()
        return False


def start_embedded(app: Flask) -> Worker:
    """A worker in threads of this process, already at work."""
    worker = Worker(app)
    worker.start()
    return worker

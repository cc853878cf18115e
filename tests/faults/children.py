"""What the processes of an installation do that are killed: they work off the outbox, or serve, or both."""

import contextlib
import itertools
import json
import os
import signal
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import select

from app import clock, create_app
from app.cli import serving
from app.errors import DomainError
from app.extensions import db
from app.mailer.smtp import Wire
from app.models import Connection, Staff
from app.services import connections, credentials, refresh_leases, revocations
from app.services.audit import SYSTEM
from app.services.leases import Watch
from app.tenancy import acting_for
from app.worker import Worker, chores, loop
from app.worker.turns import everybody
from tests.faults import acts, spoilt, warm
from tests.support.processes import LOOPBACK

PORT = "TEST_PORT"


@dataclass(frozen=True)
class Made:
    """The application, and where it is served: open from the start, so that who comes between two processes waits."""

    app: Flask
    door: socket.socket


def prepare() -> Made:
    app = create_app()
    warm.up(app)
    return Made(app, socket.create_server((LOOPBACK, int(os.environ[PORT]))))


def work(made: Made, *, patience: float = 0, halfway: int = 0, hold: bool = False, without: str = "") -> None:
    """Do what is due; `halfway`: die with half of the so manieth mail on the wire."""
    _spoil(without)
    if halfway:
        _die_halfway(halfway)
    if hold:
        _hold(made.app)
    _worker(made.app, patience).run_once()


def serve(made: Made, *, working: bool = False, patience: float = 0.5, without: str = "", wrong: float = 0) -> None:
    """Serve until SIGTERM, with a worker beside where that is wished; on a host whose clock is `wrong` by so many seconds."""
    _spoil(without)
    _set_clock(wrong)
    worker = _worker(made.app, patience)
    if working:
        worker.start()
    serving.run(made.app, [made.door], threads=4, listening=lambda: None, stopping=worker.ask_to_stop)
    if working:
        worker.stop()


def let_go(made: Made, *, agency: int, connection: str, delete: bool = False) -> None:
    """Revoke a connection as staff, or delete it."""
    with made.app.app_context(), acting_for(agency):
        staff = db.session.scalars(select(Staff)).one()
        if delete:
            revocations.delete(staff.agency, connection, by=staff, confirmed=True)
        else:
            revocations.revoke(connections.get(staff.agency, connection), by=staff)


def act(made: Made, **given: Any) -> None:
    """Do one of `acts.ACTS`."""
    acts.do(made.app, **given)


def _worker(app: Flask, patience: float) -> Worker:
    """One that gives and looks for signs of life in proportion; without patience it is the only one alive."""
    if not patience:
        return Worker(app, patience=0)
    loop.HEARTBEAT = loop.POLL = patience / 4
    worker = Worker(app, patience=patience)
    for chore in worker._chores:
        chore.every = min(chore.every, patience)
    return worker


def _spoil(without: str) -> None:
    if without:
        getattr(spoilt, without)()


def _die_halfway(nth: int) -> None:
    numbers, hand_over = itertools.count(1), Wire.hand_over

    def half(wire: Wire, message: bytes) -> tuple[int, bytes]:
        if next(numbers) == nth:
            wire.send(message[: len(message) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return hand_over(wire, message)

    Wire.hand_over = half


def _hold(app: Flask) -> None:
    runtime = app.extensions["gatehouse"]
    app.extensions["gatehouse"] = replace(runtime, config=replace(runtime.config, mail_ambiguous="hold"))


def _set_clock(wrong: float) -> None:
    """Have this process be of a host whose clock is wrong by so many seconds."""
    if wrong:
        clock.follow(datetime.now(UTC) + timedelta(seconds=wrong), counted=clock.steady())


def watch(made: Made, *, seconds: Sequence[float], wrong: float) -> None:
    """Look after the leases of refreshes as a worker does, when so many seconds have passed by its own steady clock."""
    _set_clock(wrong)
    passed = iter(seconds)
    steady = Watch[refresh_leases.Mark](steady=lambda: next(passed))
    with everybody(made.app):
        for _ in seconds:
            chores.free(steady)
            db.session.rollback()


def use(made: Made, *, agency: int, connection: int, tests: bool = False, wrong: float = 0) -> None:
    """Ask for a connection's credential, which is refreshed first if that is due; or test it."""
    _set_clock(wrong)
    with made.app.app_context(), acting_for(agency):
        found = db.session.get_one(Connection, connection)
        with contextlib.suppress(DomainError):
            if tests:
                credentials.test(found, by=SYSTEM)
            else:
                credentials.use(found, by=SYSTEM)
        db.session.remove()


def use_at_once(
    made: Made, *, agency: int, connection: int, threads: int, asking: str, told: str, wrong: float = 0
) -> None:
    """Ask for it in so many threads, all of which do once the file `asking` is there; what each was handed, or the words of
    the refusal, stands in the file `told` in the end.
    """
    _set_clock(wrong)
    gate = threading.Barrier(threads, Path(asking).touch)

    def ask(_number: int) -> str:
        with made.app.app_context(), acting_for(agency):
            found = db.session.get_one(Connection, connection)
            db.session.rollback()
            gate.wait()
            try:
                token = credentials.use(found, by=SYSTEM).token
                return token.reveal() if token else ""
            except DomainError as error:
                return f"{type(error).__name__}: {error}"
            finally:
                db.session.remove()

    with ThreadPoolExecutor(threads) as pool:
        Path(told).write_text(json.dumps(list(pool.map(ask, range(threads)))))

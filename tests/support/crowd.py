"""Many at once: the same act in several processes with several threads each, all let go at the same moment."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from typing import Any

from flask import Flask

from app import create_app
from app.config import Config
from app.extensions import db

Act = Callable[[Flask, Any], Any]


def crowd(config: Config, act: Act, payload: Any, *, processes: int = 2, threads: int = 10) -> list[Any]:
    """What each thread of each process came to: what `act` returned, or the name of the error that it raised.

    `act` is a function of a module, since it is called in fresh processes; the application there has the same settings.
    """
    spawn = multiprocessing.get_context("forkserver")
    spawn.set_forkserver_preload(["app", "tests.factories"])  # what takes longest to import
    start, results = spawn.Barrier(processes * threads), spawn.Queue()
    given = (config, act, payload, threads, start, results)
    members = [spawn.Process(target=_member, args=given, daemon=True) for _ in range(processes)]
    for member in members:
        member.start()
    came_to = [result for _ in members for result in results.get(timeout=90)]
    for member in members:
        member.join(30)
    return came_to


def _member(config: Config, act: Act, payload: Any, threads: int, start: Barrier, results: "Queue[list[Any]]") -> None:
    app = create_app(config)
    app.testing = True

    def one(_: int) -> Any:
        with app.app_context():
            start.wait(90)
            try:
                return act(app, payload)
            except Exception as error:  # noqa: BLE001 - what it is decides the test
                return f"{type(error).__name__}: {error}"
            finally:
                db.session.remove()

    with ThreadPoolExecutor(threads) as pool:
        results.put(list(pool.map(one, range(threads))))
    with app.app_context():
        db.engine.dispose()

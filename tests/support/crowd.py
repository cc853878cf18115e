"""Many at once: acts in several processes with several threads each, all let go at the same moment."""

import contextlib
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any

from flask import Flask

from app import create_app
from app.config import Config
from app.extensions import db

Act = Callable[[Flask, Any], Any]
PATIENCE = 90  # seconds


@dataclass(frozen=True)
class Task:
    """An act for one of the processes, begun `after` seconds; a function of a module, since it is called in fresh processes."""

    act: Act
    payload: Any = None
    process: int = 0
    after: float = 0.0


class Company:
    """Processes that stay, each with an application of the same settings."""

    def __init__(self, lines: Sequence[Connection]) -> None:
        self._lines = lines

    def at_once(self, tasks: Sequence[Task]) -> list[Any]:
        """Let all of these go at the same moment; what each returned, or the kind and words of the error that it raised."""
        for number, line in enumerate(self._lines):
            line.send([(place, task) for place, task in enumerate(tasks) if task.process == number])
        came_to: list[Any] = [None] * len(tasks)
        for line in self._lines:
            if not line.poll(PATIENCE):
                raise AssertionError(f"A process of the crowd was not done within {PATIENCE} s.")
            for place, result in line.recv():
                came_to[place] = result
        return came_to

    def everywhere(self, act: Act, payload: Any = None) -> list[Any]:
        """Do it once in each process."""
        return self.at_once([Task(act, payload, process=number) for number in range(len(self._lines))])


@contextlib.contextmanager
def company(config: Config, *, processes: int = 2) -> Iterator[Company]:
    """Start processes that wait to be asked, and end them."""
    spawn = multiprocessing.get_context("forkserver")
    spawn.set_forkserver_preload(["app", "tests.factories"])  # what takes longest to import
    start = spawn.Barrier(processes)
    pairs = [spawn.Pipe() for _ in range(processes)]
    members = [spawn.Process(target=_member, args=(config, start, theirs), daemon=True) for _, theirs in pairs]
    for member, (_, theirs) in zip(members, pairs, strict=True):
        member.start()
        theirs.close()
    ours = [mine for mine, _ in pairs]
    try:
        yield Company(ours)
    finally:
        for line in ours:
            with contextlib.suppress(BrokenPipeError):
                line.send(None)
        for member, line in zip(members, ours, strict=True):
            member.join(30)
            member.kill()
            line.close()


def crowd(config: Config, act: Act, payload: Any, *, processes: int = 2, threads: int = 10) -> list[Any]:
    """What the same act came to, done by each thread of each process at the same moment."""
    with company(config, processes=processes) as there:
        return there.at_once([Task(act, payload, number) for number in range(processes) for _ in range(threads)])


def _member(config: Config, start: Barrier, line: Connection) -> None:
    app = create_app(config)
    app.testing = True
    with ThreadPoolExecutor(64) as pool:
        while (asked := line.recv()) is not None:
            gate = threading.Barrier(len(asked) + 1)
            running = [(place, pool.submit(_do, app, task, gate)) for place, task in asked]
            start.wait(PATIENCE)
            gate.wait(PATIENCE)
            line.send([(place, done.result()) for place, done in running])
    with app.app_context():
        db.engine.dispose()


def _do(app: Flask, task: Task, gate: threading.Barrier) -> Any:
    with app.app_context():
        gate.wait(PATIENCE)
        time.sleep(task.after)
        try:
            return task.act(app, task.payload)
        except Exception as error:  # noqa: BLE001 - what it is decides the test
            return f"{type(error).__name__}: {error}"
        finally:
            db.session.remove()

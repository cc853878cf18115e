"""A nursery: one process that has imported everything, and forks a child for each act; points are compiled in.

    with nursery("tests.faults.children", env=…) as nursery:
        child = nursery.child("work", points.kill("smtp.sent"), patience=0.1)
        assert child.ended() == -signal.SIGKILL

The module has `prepare()`, which is called once, and a function for each act, which gets what `prepare` made and what the
test says. A child ends with 0 when its act returns. It dies with the test, however that ends.
"""

import contextlib
import ctypes
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.support import points
from tests.support.points import Order
from tests.support.processes import PR_SET_PDEATHSIG, Running, running

PATIENCE = 60.0  # seconds that a test waits for a child


class Child:
    """A process of the nursery's."""

    def __init__(self, line: socket.socket, nursery: Running) -> None:
        self._line, self._nursery, self._status = line, nursery, None
        self._words = line.makefile("r")
        line.settimeout(PATIENCE)
        self.pid = int(self._words.readline())

    def close(self) -> None:
        """Have done with it: it is killed if it still lives."""
        self._words.close()
        self._line.close()

    def kill(self) -> None:
        """End it by SIGKILL, wherever it is."""
        with contextlib.suppress(OSError):
            self._line.sendall(b"k")
        self.ended()

    def ask_to_stop(self) -> None:
        """Send it SIGTERM."""
        self._line.sendall(b"t")

    def ended(self, timeout: float = PATIENCE) -> int:
        """Wait for its end; returns its status, a signal's number below zero."""
        if self._status is None:
            self._line.settimeout(timeout)
            self._status = int(self._words.readline())
            self.close()
        return self._status

    def succeeds(self) -> None:
        """Wait for its end, which must be a good one."""
        assert self.ended() == 0, self._nursery.output()[-4000:]


class Nursery:
    """Where children come from."""

    def __init__(self, address: str, process: Running) -> None:
        self._address, self._process = address, process
        self._children: list[Child] = []

    def child(self, act: str, *orders: Order, trace: Path | None = None, **given: Any) -> Child:
        """Start a process that does an act, and follows these orders."""
        points.check(orders)
        told = {"act": act, "given": given, "orders": [asdict(order) for order in orders]}
        told["trace"] = str(trace) if trace else None
        line = socket.socket(socket.AF_UNIX)
        line.connect(self._address)
        line.sendall(json.dumps(told).encode() + b"\n")
        self._children.append(Child(line, self._process))
        return self._children[-1]

    def close(self) -> None:
        """Have done with all of them."""
        for child in self._children:
            child.close()

    def output(self) -> str:
        """What it and its children have said."""
        return self._process.output()


@contextlib.contextmanager
def nursery(module: str, *, env: Mapping[str, str]) -> Iterator[Nursery]:
    """Start a nursery whose children act as this module says; its environment is theirs."""
    with tempfile.TemporaryDirectory(prefix="gatehouse-nursery-") as folder:
        address = str(Path(folder) / "door")
        command = [sys.executable, "-W", "error", "-m", "tests.support.nursery", address, module]
        with contextlib.ExitStack() as life:
            process = life.enter_context(running(command, ready=Path(address).exists, env=env))
            yield life.enter_context(contextlib.closing(Nursery(address, process)))


# ── In the nursery ───────────────────────────────────────────────────────────


def serve(address: str, name: str) -> None:
    """Fork a child for each that knocks, and tell how it ends."""
    points.install()
    module = importlib.import_module(name)
    made = module.prepare()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(f"{address}.new")
        door.listen(64)
        Path(f"{address}.new").rename(address)
        House(door, module, made).keep()


class House:
    """The children that live, each with the line to its test and a pipe whose other end closes when it dies."""

    def __init__(self, door: socket.socket, module: ModuleType, made: Any) -> None:
        self._door, self._module, self._made = door, module, made
        self._waiting = selectors.DefaultSelector()
        self._waiting.register(door, selectors.EVENT_READ)

    def keep(self) -> None:
        while True:
            ready = {key.fd: key for key, _ in self._waiting.select()}
            for key in list(ready.values()):
                if key.data and key.fileobj is key.data[1]:
                    self._hear(*key.data)
            for key in list(ready.values()):
                if key.data and key.fileobj is key.data[2]:
                    self._bury(*key.data)
            if self._door.fileno() in ready:
                self._bear(self._door.accept()[0])

    def _bear(self, line: socket.socket) -> None:
        with line.makefile("r") as words:
            told = json.loads(words.readline())
        life, alive = os.pipe()
        pid = os.fork()
        if pid == 0:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            for fd in (life, line.detach(), *self._waiting.get_map()):
                os.close(fd)
            _act(self._module, self._made, told)
        os.close(alive)
        line.sendall(f"{pid}\n".encode())
        pipe = os.fdopen(life, "rb", buffering=0)
        for each in (line, pipe):
            self._waiting.register(each, selectors.EVENT_READ, (pid, line, pipe))

    def _hear(self, pid: int, line: socket.socket, _life: Any) -> None:
        """The test says how a child shall end; a test that is gone wants none any more."""
        said = line.recv(1)
        os.kill(pid, signal.SIGTERM if said == b"t" else signal.SIGKILL)
        if not said:
            self._waiting.unregister(line)

    def _bury(self, pid: int, line: socket.socket, life: Any) -> None:
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(OSError):
            line.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        for each in (line, life):
            with contextlib.suppress(KeyError):
                self._waiting.unregister(each)
            each.close()


def _act(module: ModuleType, made: Any, told: dict[str, Any]) -> None:
    status = 1
    try:
        points.arm([Order(**order) for order in told["orders"]], trace=Path(told["trace"]) if told["trace"] else None)
        getattr(module, told["act"])(made, **told["given"])
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it was, the nursery's own loop must not go on in the child
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve(*sys.argv[1:])

"""Points: lines of the application that a test can name, and have a process die, wait or fail at.

A point is a comment of its own line in `app/`:

    # point: mail.accepted

It costs nothing in production, where it is a comment. A process that has called `install` compiles the modules that hold
any with a call in place of each such comment, on the same line; `arm` says what happens there. `tests.support.nursery`
starts such processes. Counting begins when a process is armed, or once the point `after` was reached.
"""

import builtins
import io
import os
import re
import signal
import threading
import time
import tokenize
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from tests.support import rewriting
from tests.support.rewriting import Rewrite

APP = Path(__file__).resolve().parents[2] / "app"
POINT = re.compile(r"# point: ([a-z_]+\.[a-z_]+)")
CALL = "__reached__"


class NoSuchPoint(LookupError):
    """A test names a point that stands nowhere in the application, or that stands there twice."""


@dataclass(frozen=True)
class Order:
    """What to do when a point is reached for the `nth` time, counted from when `after` was first reached."""

    point: str
    act: Literal["kill", "pause", "fail"]
    nth: int = 1
    after: str = ""
    times: int = 1
    file: str = ""


def kill(point: str, *, nth: int = 1, after: str = "") -> Order:
    """Die there by SIGKILL."""
    return Order(point, "kill", nth, after)


def pause(point: str, file: Path, *, nth: int = 1, after: str = "") -> Order:
    """Wait there: `file` appears when the point is reached, and the thread goes on once somebody removes it."""
    return Order(point, "pause", nth, after, file=str(file))


def fail(point: str, *, nth: int = 1, after: str = "", times: int = 1) -> Order:
    """Raise OSError there, `times` times in a row."""
    return Order(point, "fail", nth, after, times)


def check(orders: Sequence[Order]) -> None:
    """Raise NoSuchPoint unless every point that these name stands in the application once."""
    for order in orders:
        for name in filter(None, (order.point, order.after)):
            places = every().get(name, ())
            if len(places) != 1:
                raise NoSuchPoint(f"{name} stands at {list(places) or 'no line'}.")


@cache
def every() -> Mapping[str, Sequence[str]]:
    """All points of the application, with the lines that they stand at."""
    found: dict[str, list[str]] = {}
    for path in sorted(APP.rglob("*.py")):
        for line, name in names(path.read_text()).items():
            found.setdefault(name, []).append(f"{path.relative_to(APP.parent)}:{line}")
    return found


def names(source: str) -> dict[int, str]:
    """The points of a source by the number of their line; a comment that looks like one but is none raises."""
    if "# point:" not in source:
        return {}
    found = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and token.string.startswith("# point:"):
            named = POINT.fullmatch(token.string)
            if named is None or token.line.strip() != token.string:
                raise NoSuchPoint(f"A point is `# point: noun.verb` on a line of its own, not {token.line.strip()!r}.")
            found[token.start[0]] = named[1]
    return found


def instrumented(source: str) -> str:
    """The source with a call in place of each point, every line where it was."""
    lines = source.splitlines(keepends=True)
    for number, name in names(source).items():
        line = lines[number - 1]
        lines[number - 1] = line.replace(f"# point: {name}", f"{CALL}({name!r})")
    return "".join(lines)


# ── In the process ───────────────────────────────────────────────────────────


def install() -> None:
    """Have the application loaded with its points; before any of it is."""
    setattr(builtins, CALL, reached)
    rewriting.install(_choose)


def _choose(_module: str, path: Path) -> Rewrite | None:
    return instrumented if names(path.read_text()) else None


class _Armed:
    """What this process was told, and how often it has been where."""

    def __init__(self) -> None:
        self.orders: Sequence[Order] = ()
        self.counts: list[int] = []
        self.passed: Counter[str] = Counter()
        self.trace: int | None = None
        self.lock = threading.Lock()


_armed = _Armed()


def arm(orders: Sequence[Order], *, trace: Path | None = None) -> None:
    """Follow these from now on; counting begins anew."""
    check(orders)
    _armed.__init__()  # type: ignore[misc]
    _armed.orders, _armed.counts = tuple(orders), [0] * len(orders)
    if trace:
        _armed.trace = os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def reached(name: str) -> None:
    """The application is at a point."""
    with _armed.lock:
        due = _due(name)
        _armed.passed[name] += 1
    if _armed.trace is not None:
        os.write(_armed.trace, f"{name}\n".encode())
    for order in due:
        _follow(order)


def _due(name: str) -> list[Order]:
    due = []
    for index, order in enumerate(_armed.orders):
        if order.point == name and (not order.after or _armed.passed[order.after]):
            _armed.counts[index] += 1
            if order.nth <= _armed.counts[index] < order.nth + order.times:
                due.append(order)
    return due


def _follow(order: Order) -> None:
    if order.act == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif order.act == "fail":
        raise OSError(f"Told to fail at {order.point}.")
    else:
        file = Path(order.file)
        file.touch()
        while file.exists():
            time.sleep(0.005)

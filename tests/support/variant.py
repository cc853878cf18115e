"""The application with a defence switched off, in a process of its own: how a proof shows that it would notice.

    python -m tests.support.variant gunicorn wsgi:app …        (any `python -m` module with its arguments)

`environment(Change("app.database", "BEGIN IMMEDIATE", "BEGIN"), …)` says what reads differently there; a text that does not
stand in the module exactly once is a mistake in the test, and the process does not start.
"""

import json
import os
import runpy
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from tests.support import rewriting
from tests.support.rewriting import Rewrite

CHANGES = "TEST_VARIANT"


@dataclass(frozen=True)
class Change:
    """A text of one module, and what stands there instead."""

    module: str
    old: str
    new: str


def environment(*changes: Change) -> dict[str, str]:
    """What a process needs in its environment to be that variant."""
    return {CHANGES: json.dumps([asdict(change) for change in changes])}


def install(changes: Sequence[Change]) -> None:
    """Have the application loaded as changed; before any of it is."""

    def choose(module: str, _path: Path) -> Rewrite | None:
        mine = [change for change in changes if change.module == module]
        return partial(_changed, mine) if mine else None

    rewriting.install(choose)


def _changed(changes: Sequence[Change], source: str) -> str:
    for change in changes:
        if source.count(change.old) != 1:
            raise LookupError(f"{change.old!r} does not stand in {change.module} once.")
        source = source.replace(change.old, change.new)
    return source


if __name__ == "__main__":
    install([Change(**change) for change in json.loads(os.environ[CHANGES])])
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

"""From the command to the first 200 of /readyz, with a database that is there: the embedded server, and gunicorn with two processes.

Cold is with no Python compiled yet, neither the application's nor a library's; warm is any start after that.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence

from bench.figure import Figure
from bench.installed import Installed, installed
from bench.served import FLASK, GUNICORN, serving, settings
from tests.support.processes import free_port

TITLE = "Start to ready"
WARM = 4
SERVERS = {"flask serve": FLASK, "gunicorn, two processes": GUNICORN}


def measure() -> Iterator[Figure]:
    """Seconds to ready: cold once, warm at best."""
    with installed("sqlite") as there:
        for name, kind in SERVERS.items():
            with tempfile.TemporaryDirectory() as compiled:
                cold, *warm = (_seconds(kind, there, compiled) for _ in range(1 + WARM))
            yield Figure(
                f"{name}, cold", cold, "s", "The first start after an upgrade: Python compiles what it imports."
            )
            yield Figure(f"{name}, warm", min(warm), "s", f"The best of {WARM}; how long a restart turns nobody away.")


def _seconds(kind: Sequence[str], there: Installed, compiled: str) -> float:
    port = free_port()
    env = settings(there, port, PYTHONPYCACHEPREFIX=compiled)
    began = time.perf_counter()
    with serving(kind, port, env):
        return time.perf_counter() - began

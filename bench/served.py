"""Gatehouse in processes of its own, as its documents say to serve it, and what those use."""

import contextlib
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence

from bench.installed import Installed
from tests.support.processes import LOOPBACK, Running, cpu, environment, running

FLASK = ("-m", "flask", "serve", "--port")
GUNICORN = ("-m", "gunicorn", "wsgi:app", "--workers", "2", "--log-level", "warning", "--bind")
_straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def command(kind: Sequence[str], port: int) -> list[str]:
    """What starts a server of this kind on a port."""
    return [sys.executable, *kind, f"{LOOPBACK}:{port}" if kind is GUNICORN else str(port)]


def settings(there: Installed, port: int, **more: str) -> dict[str, str]:
    """The environment that leads a server to an installation."""
    told = {
        "BASE_URL": f"http://localhost:{port}",
        "INSTANCE_PATH": str(there.folder),
        "DATABASE_URL": there.database_url,
    }
    return environment(**{f"GATEHOUSE_{name}": value for name, value in told.items()}, **more)


@contextlib.contextmanager
def serving(kind: Sequence[str], port: int, env: Mapping[str, str]) -> Iterator[Running]:
    """A server, as soon as it says that it is ready."""
    with running(command(kind, port), ready=lambda: is_ready(port), env=env, timeout=60) as started:
        yield started


def is_ready(port: int) -> bool:
    """Whether /readyz answers 200."""
    try:
        with _straight.open(f"http://{LOOPBACK}:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.HTTPError, OSError):
        return False


def idle(seconds: float, pids: Sequence[int]) -> float:
    """The milliseconds of CPU that they use in a second while nobody asks for anything."""
    before, began = cpu(pids), time.monotonic()
    time.sleep(seconds)
    return 1000 * (cpu(pids) - before) / (time.monotonic() - began)

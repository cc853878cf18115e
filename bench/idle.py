"""What an installation uses while nobody does anything: gunicorn with two processes, each with its worker, which looks for work
every second; and what a page left open adds, which looks every three seconds whether anything moved.
"""

import time
import urllib.request
from collections.abc import Iterator

from bench.figure import Figure
from bench.filling import Filling
from bench.installed import DATABASES, Installed, client, installed
from bench.served import GUNICORN, idle, serving, settings
from tests import factories
from tests.support.processes import cpu, family, free_port

TITLE = "CPU when idle"
SECONDS, POLLS, EVERY = 12.0, 60, 3.0


def measure() -> Iterator[Figure]:
    """Milliseconds of CPU a second, on each database."""
    for kind, name in DATABASES.items():
        with installed(kind) as there:
            port = free_port()
            page, cookie = _open_page(there, port)
            with serving(GUNICORN, port, settings(there, port)) as server:
                processes = family(server.process.pid)
                _poll(page, cookie, 10)
                alone = idle(SECONDS, processes)
                before = cpu(processes)
                began = time.monotonic()
                _poll(page, cookie, POLLS)
                own = alone / 1000 * (time.monotonic() - began)
                each = 1000 * (cpu(processes) - before - own) / POLLS
        yield Figure(
            f"{name}: a master and two processes",
            alone,
            "ms a second",
            f"{alone / 10:.1f} % of one core: the workers' look for work, their signs of life and their chores.",
        )
        yield Figure(
            f"{name}: one look of an open page",
            each,
            "ms",
            f"A workflow's page with six requests; every {EVERY:.0f} s, so {each / EVERY:.1f} ms a second for each page left open.",
        )


def _open_page(there: Installed, port: int) -> tuple[str, str]:
    with client(there.app, "Northwind") as theirs:
        filling = Filling(theirs.workspace)
        path = f"/panel/workspaces/{theirs.workspace.public_id}/workflows/{filling.workflow(6)}"
        filling.write()
        cookie = factories.signed_in(there.app, theirs.staff).get_cookie("gh_staff")
        if cookie is None:
            raise RuntimeError("Nobody is signed in.")
        return f"http://localhost:{port}{path}", f"gh_staff={cookie.value}"


def _poll(page: str, cookie: str, times: int) -> None:
    request = urllib.request.Request(page, headers={"Cookie": cookie, "HX-Request": "true"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(times):
        with opener.open(request, timeout=10) as answer:
            if b'id="workflow"' not in answer.read():
                raise RuntimeError("This is not the page.")

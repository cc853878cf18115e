"""Refreshing ahead of time: of 100,000 connections 1,000 are due. They are found and claimed, then refreshed at a provider that takes 150 ms for each.

The worker that does it shares two cores with the provider and, where that is the database, with PostgreSQL.
"""

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from app import clock
from app.services import claims, refresh_plans
from app.worker import refreshes
from app.worker.handlers import HANDLERS
from app.worker.turns import Turns
from bench.figure import Figure
from bench.grown import grow
from bench.installed import DATABASES, client, installed
from bench.refresher import refresher
from tests.support.token_endpoint import CLIENT, KEY

TITLE = "Refreshing ahead of time"
ALL, DUE, PROVIDER, ROUNDS = 100_000, 1000, 150, 5
CEILINGS = {"sqlite": 50, "postgres": 100}


def measure() -> Iterator[Figure]:
    """The sweep's milliseconds, and the seconds of all refreshes."""
    for kind, name in DATABASES.items():
        with tempfile.TemporaryDirectory() as folder, refresher(PROVIDER) as provider:
            apps = provider.apps(Path(folder) / "apps")
            with installed(kind, apps_dir=apps, oauth_clients={KEY: CLIENT}) as there:
                with client(there.app, "Northwind Studio") as our:
                    grow(our.workspace, provider.url, ALL, due=DUE)
                    claimed = sorted(_claimed() for _ in range(ROUNDS))[ROUNDS // 2]
                yield Figure(
                    f"{DUE:,} due of {ALL:,} found and claimed, {name}",
                    claimed * 1000,
                    "ms",
                    "An index leads to what is due; what is not is passed by.",
                    ceiling=CEILINGS[kind],
                )
                turns = Turns(there.app, threading.Event())
                (handler,) = (each for each in HANDLERS if each.kind == refresh_plans.KIND)
                began = time.perf_counter()
                while turns.take(handler):
                    pass
                took = time.perf_counter() - began
                if turns.tally["done"] != DUE or provider.count != DUE:
                    raise AssertionError(f"{provider.count} refreshes, {dict(turns.tally)}")
                floor = DUE * PROVIDER / refreshes.WIDTH / 1000
                meaning = f"{refreshes.WIDTH} calls at a time; were all but the provider's {PROVIDER} ms free, it would take {floor:.1f} s."
                yield Figure(f"{DUE:,} refreshed, {name}", took, "s", meaning, ceiling=6)


def _claimed() -> float:
    """The seconds that it takes to claim all that is due; then it is given back."""
    at, kinds, taken = clock.now(), [refresh_plans.KIND], []
    began = time.perf_counter()
    while claims.is_due(kinds, at=at, ahead=True):
        taken += claims.claim(kinds, at=at, ahead=True)
    took = time.perf_counter() - began
    if len(taken) != DUE:
        raise AssertionError(f"{len(taken)} were claimed.")
    claims.give_back(taken)
    return took

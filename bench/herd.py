"""A herd: 1,000 callers, at two processes of 32 threads, want 50 tokens that have all ended. Each is refreshed once, and every caller is handed the new one.

The provider takes 150 ms for each and rotates refresh tokens, so that a second refresh would end a grant.
"""

import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection as Line
from pathlib import Path

from app.catalog import load
from app.config import Config
from app.extensions import db
from app.services import credentials
from app.services.audit import Actor
from app.tenancy import acting_for
from bench.figure import Figure
from bench.grown import grow
from bench.installed import DATABASES, client, installed
from bench.refresher import refresher
from tests.support.shared_app import running
from tests.support.token_endpoint import CLIENT, KEY

TITLE = "A herd for ended tokens"
CALLERS, TOKENS, PROCESSES, THREADS, PROVIDER = 1000, 50, 2, 32, 150  # threads as a server process has them
BY = Actor("system", "make")


def measure() -> Iterator[Figure]:
    """How many refreshes it took, and how long the last caller waited."""
    for kind, name in DATABASES.items():
        with tempfile.TemporaryDirectory() as folder, refresher(PROVIDER) as provider:
            apps = provider.apps(Path(folder) / "apps")
            with (
                installed(kind, apps_dir=apps, oauth_clients={KEY: CLIENT}) as there,
                client(there.app, "Northwind Studio") as our,
            ):
                ids = list(grow(our.workspace, provider.url, TOKENS, due=TOKENS))
                tokens, took = _herd(there.app.config["GATEHOUSE"], our.agency.id, ids)
            if len(tokens) != CALLERS or len(set(tokens)) != TOKENS:
                raise AssertionError(f"{len(tokens)} callers were handed {len(set(tokens))} tokens.")
            meaning = f"{CALLERS:,} callers were handed {TOKENS} new tokens."
            yield Figure(
                f"refreshes at the provider, {name}", provider.count, "", meaning, floor=TOKENS, ceiling=TOKENS
            )
            yield Figure(f"until the last of {CALLERS:,} has one, {name}", took, "s", "Each with a record of its own.")


def _herd(config: Config, agency_id: int, ids: list[int]) -> tuple[list[str], float]:
    spawn = multiprocessing.get_context("forkserver")
    pairs = [spawn.Pipe() for _ in range(PROCESSES)]
    members = [spawn.Process(target=_member, args=(config, agency_id, ids, theirs), daemon=True) for _, theirs in pairs]
    for member in members:
        member.start()
    for line, _ in pairs:
        line.recv()
    began = time.perf_counter()
    for line, _ in pairs:
        line.send("go")
    tokens = [token for line, _ in pairs for token in line.recv()]
    took = time.perf_counter() - began
    for member in members:
        member.join()
    return tokens, took


def _member(config: Config, agency_id: int, ids: list[int], line: Line) -> None:
    many = CALLERS // PROCESSES
    with running(config, load(config.apps_dir, loopback_http=True)) as app, ThreadPoolExecutor(THREADS) as pool:
        gate = threading.Event()

        def use(number: int) -> str:
            with app.app_context(), acting_for(agency_id):
                gate.wait()
                try:
                    token = credentials.use(_Known(ids[number % TOKENS]), by=BY).token  # type: ignore[arg-type]
                    return token.reveal() if token else ""
                finally:
                    db.session.remove()

        asked = [pool.submit(use, number) for number in range(many)]
        line.send("ready")
        line.recv()
        gate.set()
        line.send([each.result() for each in asked])


class _Known:
    def __init__(self, connection_id: int) -> None:
        self.id = connection_id

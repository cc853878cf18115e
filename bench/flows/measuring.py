"""How connect flows are measured; the package says what they are."""

import contextlib
import itertools
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.figure import Figure
from bench.flows import sealed_right, sites
from bench.flows.sites import Site
from tests.support.postgres import cluster, fresh_database
from tests.support.processes import ROOT

ROUNDS, EACH, AT_ONCE = 5, {"Gatehouse": 300, "plain": 300, "dance": 100}, 8
SLOW, CROWD, MANY, FEWER = 150, 64, 5000, 1000
WARM = 64


@dataclass
class Came:
    """What came of some flows: how long each took, and each one's callback, in seconds; why others failed."""

    seconds: float
    flows: list[float]
    callbacks: list[float]
    failures: list[str]
    cpu: float = 0.0

    @property
    def rate(self) -> float:
        """Flows that came to an end in a second."""
        return len(self.flows) / self.seconds

    @property
    def cost(self) -> float:
        """Milliseconds of processor time in the site's processes for each flow."""
        return 1000 * self.cpu / max(1, len(self.flows))


@dataclass
class Visitors:
    """The process in which all visitors live."""

    process: Any
    addresses: "itertools.count[int]" = field(default_factory=itertools.count)

    def visit(self, site: Site, flows: int, *, at_once: int) -> Came:
        """Have so many flows gone through, each from an address of its own."""
        first = next(self.addresses)
        self.addresses = itertools.count(first + flows)
        told = {"host": "localhost", "port": site.port, "links": site.take(flows), "clients": at_once}
        before = site.cpu()
        self.process.stdin.write(json.dumps(told | {"first_address": first}) + "\n")
        self.process.stdin.flush()
        return Came(**json.loads(self.process.stdout.readline()), cpu=site.cpu() - before)


@contextlib.contextmanager
def _visitors() -> Iterator[Visitors]:
    command = [sys.executable, "-m", "bench.flows.visitors"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield Visitors(process)
        finally:
            process.kill()


def measure() -> Iterator[Figure]:
    """Measure beside the others, then with a provider that takes its time, then what the processes hold."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with cluster() as postgres, _visitors() as visitors, tempfile.TemporaryDirectory() as folder:
        yield from _beside_others(postgres, visitors, Path(folder))
        with fresh_database(postgres) as database:
            yield from _slow_provider("PostgreSQL", database, visitors, Path(folder), many=MANY, weighs=True)
        yield from _slow_provider("SQLite", f"sqlite:///{folder}/bench.sqlite3", visitors, Path(folder), many=FEWER)
        with fresh_database(postgres) as database:
            yield from _slow_plain(database, visitors)


def _beside_others(postgres: str, visitors: Visitors, folder: Path) -> Iterator[Figure]:
    """Serve all three at once and visit them in turns; the medians of the rounds count."""
    with contextlib.ExitStack() as served:
        port = served.enter_context(sites.provider(0))
        flows = {name: WARM + ROUNDS * each for name, each in EACH.items()}
        database = served.enter_context(fresh_database(postgres))
        all_ = [served.enter_context(sites.gatehouse(database, port, folder / "beside", flows=flows["Gatehouse"]))]
        for name in ("plain", "dance"):
            database = served.enter_context(fresh_database(postgres))
            all_.append(served.enter_context(sites.written_as(name, database, port, flows=flows[name])))
        for site in all_:
            _warm(visitors, site, at_once=AT_ONCE)
        rounds = [
            {site.name: visitors.visit(site, EACH[site.name], at_once=AT_ONCE) for site in all_} for _ in range(ROUNDS)
        ]
    yield from _compared(rounds)


def _warm(visitors: Visitors, site: Site, *, at_once: int) -> None:
    """Have everything met once, and PostgreSQL plan by what its tables have become, as autovacuum would in time."""
    visitors.visit(site, WARM, at_once=at_once)
    site.analyze()


def _compared(rounds: list[dict[str, Came]]) -> Iterator[Figure]:
    rate = {name: median(round_[name].rate for round_ in rounds) for name in EACH}
    cost = {name: median(round_[name].cost for round_ in rounds) for name in EACH}
    failed = {name: sum(len(round_[name].failures) for round_ in rounds) for name in EACH}
    told = f"{AT_ONCE} visitors at once; median of {ROUNDS} rounds."
    yield Figure("Gatehouse", rate["Gatehouse"], "a second", f"Connect flows from link to status page, {told}")
    yield Figure("plain Flask with raw SQL", rate["plain"], "a second", "The same by bench/flows/plain.py.")
    yield Figure(
        "Flask-Dance", rate["dance"], "a second", "The same by bench/flows/dance.py; those that failed left out."
    )
    of_plain = median(100 * round_["Gatehouse"].rate / round_["plain"].rate for round_ in rounds)
    yield Figure("of plain Flask", of_plain, "%", "How many flows a second Gatehouse does of plain Flask's.", floor=70)
    to_dance = median(round_["Gatehouse"].rate / max(round_["dance"].rate, 0.01) for round_ in rounds)
    yield Figure(
        "to Flask-Dance", to_dance, "×", "How many flows a second Gatehouse does for one of Flask-Dance.", floor=1.9
    )
    for name, what in (("Gatehouse", "Gatehouse"), ("plain", "plain Flask"), ("dance", "Flask-Dance")):
        yield Figure(f"processor, {what}", cost[name], "ms", "Processor time of its web processes for one flow.")
    yield Figure("failed", failed["Gatehouse"], "flows", "Gatehouse's that did not end as they should.", ceiling=0)
    yield Figure(
        "failed, Flask-Dance", failed["dance"], "flows", "Its own: it shares state and verifier between threads."
    )


def _slow_provider(
    kind: str, database: str, visitors: Visitors, folder: Path, *, many: int, weighs: bool = False
) -> Iterator[Figure]:
    """Have many at once wait for a provider; afterwards open every secret and compare it with what was issued."""
    with sites.provider(SLOW) as port:
        home = folder / f"slow-{kind}"
        with sites.gatehouse(database, port, home, flows=WARM + many * (2 if weighs else 1)) as site:
            _warm(visitors, site, at_once=CROWD)
            came = visitors.visit(site, many, at_once=CROWD)
            right = sealed_right.count(database, home)
            yield from _waited(kind, came, right, many)
            if weighs:
                visitors.visit(site, many, at_once=CROWD)
                yield from _weighed(site)


def _slow_plain(database: str, visitors: Visitors) -> Iterator[Figure]:
    """What the machine itself can give where everybody waits for a provider."""
    with sites.provider(SLOW) as port, sites.written_as("plain", database, port, flows=WARM + FEWER) as site:
        _warm(visitors, site, at_once=CROWD)
        came = visitors.visit(site, FEWER, at_once=CROWD)
    told = f"Its connect flows with {CROWD} visitors at once and a provider that answers in {SLOW} ms."
    yield Figure("slow provider, plain Flask with raw SQL", came.rate, "a second", told)


def _waited(kind: str, came: Came, right: int, many: int) -> Iterator[Figure]:
    at_once = f"{CROWD} visitors at once, a provider that answers in {SLOW} ms, {kind}"
    flows, callbacks = (sorted(1000 * took for took in each) for each in (came.flows, came.callbacks))
    yield Figure(f"slow provider, {kind}", came.rate, "a second", f"Connect flows with {at_once}.", floor=240)
    p99 = flows[int(0.99 * len(flows)) - 1] if flows else 0.0
    yield Figure(f"p99, {kind}", p99, "ms", f"Whole flows, all five requests, with {at_once}.", ceiling=500)
    p99 = callbacks[int(0.99 * len(callbacks)) - 1] if callbacks else 0.0
    yield Figure(f"p99 of callbacks, {kind}", p99, "ms", "The callback alone, the provider's 150 ms included.")
    yield Figure(
        f"failed, {kind}", len(came.failures), "flows", f"Of {many:,} that did not end as they should.", ceiling=0
    )
    wrong = WARM + many - len(came.failures) - right
    yield Figure(
        f"another's token, {kind}",
        wrong,
        "flows",
        "Whose secret, opened, is not what was issued for its account.",
        ceiling=0,
    )
    yield Figure(
        f"processor with a slow provider, {kind}", came.cost, "ms", "Processor time of the web processes a flow."
    )


def _weighed(site: Site) -> Iterator[Figure]:
    held = list(site.pss().values())
    after = f"after {WARM + 2 * MANY:,} flows, shared pages counted by their share (PSS)"
    yield Figure("memory", sum(held), "MB", f"Master and {len(held) - 1} web processes together, {after}.")
    yield Figure("memory of a web process", max(held[1:]), "MB", f"The larger of the two, {after}.")

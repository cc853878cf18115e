"""The panel with 1,000, 10,000 and 100,000 requests in a workspace, asked for through the whole application in turns.

A workflow's page shows the first 25 recipients that it asks, three requests to each, beside its six nodes. Either all requests were
made for that one workflow, or for many of a hundred each, a fifth of which still wait for somebody.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import brotli
from flask import Flask
from flask.testing import FlaskClient

from bench.figure import Figure
from bench.filling import DONE, NOW, Filling
from bench.installed import DATABASES, client, installed
from tests import factories

TITLE = "The panel over long histories"
SIZES = (1_000, 10_000, 100_000)
OF_A_WORKFLOW, WAITING = 100, 5  # requests; every so manieth still waits for somebody
ROUNDS = 31
ONE, MANY, HOME = "workflow page, all of one workflow", "workflow page, many workflows", "home page, many workflows"


@dataclass(frozen=True)
class Page:
    """A page to ask for again and again, as somebody of its agency."""

    what: str
    size: int
    browser: FlaskClient
    path: str


def measure() -> Iterator[Figure]:
    """On each database how long each page takes with most requests, how that compares, and how much goes over the wire."""
    for kind, name in DATABASES.items():
        with installed(kind) as there:
            pages = [page for size in SIZES for page in (*_of_one(there.app, size), *_of_many(there.app, size))]
            times, weights = timed(pages, ROUNDS)
        for what in (ONE, MANY, HOME):
            yield from _figures(f"{name}: {what}", [times[what, size] for size in SIZES])
        heaviest = max(weights.values())
        yield Figure(
            f"{name}: the heaviest of these pages",
            heaviest / 1000,
            "kB",
            "Compressed with Brotli at level 5, as a proxy would; style and scripts come once, and not with it.",
            ceiling=8,
        )


def _figures(name: str, times: list[float]) -> Iterator[Figure]:
    told = ", ".join(f"{taken:.1f} ms with {size:,}" for taken, size in zip(times, SIZES, strict=True))
    yield Figure(name, times[-1], "ms", f"The median with most requests: {told}.")
    yield Figure(
        f"{name}, most beside fewest",
        times[-1] / times[0],
        "×",
        "A page costs what it shows, hardly more for all that was ever asked.",
        ceiling=1.5,
    )


def timed(pages: list[Page], rounds: int) -> tuple[dict[tuple[str, int], float], dict[tuple[str, int], int]]:
    """The median milliseconds of each page over so many rounds, in turns; and its bytes, compressed."""
    times, weights = defaultdict(list), {}
    for _ in range(rounds):
        for page in pages:
            began = time.perf_counter()
            answer = page.browser.get(page.path)
            times[page.what, page.size].append((time.perf_counter() - began) * 1000)
            if answer.status_code != 200:
                raise RuntimeError(f"{page.path}: {answer.status}")
            weights[page.what, page.size] = len(brotli.compress(answer.data, quality=5))
    return {key: statistics.median(taken) for key, taken in times.items()}, weights


def _of_one(app: Flask, size: int) -> list[Page]:
    with client(app, f"One {size}") as theirs:
        filling = Filling(theirs.workspace)
        path = f"/panel/workspaces/{theirs.workspace.public_id}/workflows/{filling.workflow(size)}"
        filling.write()
        return [Page(ONE, size, factories.signed_in(app, theirs.staff), path)]


def _of_many(app: Flask, size: int) -> list[Page]:
    with client(app, f"Many {size}") as theirs:
        filling, count = Filling(theirs.workspace), size // OF_A_WORKFLOW
        made = [filling.workflow(OF_A_WORKFLOW, now=DONE if number % WAITING else NOW) for number in range(count)]
        filling.write()
        browser, middle = factories.signed_in(app, theirs.staff), made[count // 2 // WAITING * WAITING]
        path = f"/panel/workspaces/{theirs.workspace.public_id}/workflows/{middle}"
        return [Page(MANY, size, browser, path), Page(HOME, size, browser, "/panel/")]

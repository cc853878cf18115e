"""Proofs: tests whose size and seed depend on the run, small and fixed in `make check`, long and by chance in `make prove`.

    def test_row_01_no_altered_link_opens(proof, …):
        for _ in range(proof.size(check=500, prove=100_000)):
            … proof.random …
        proof.title = "Links: altered ones"
        proof.figure("altered links tried", tried)

With `--prove` only tests that use this fixture run, and each that passes writes its figures to docs/figures.md; the
first paragraph of its docstring says there what they mean. Tests marked `alone` want the machine for themselves.
"""

import inspect
import random
import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import figures

SEED = 20_261_120
PROVING_TIMEOUT = 2400


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--prove", action="store_true", help="run the proofs alone, at full length, and write their figures"
    )
    parser.addoption("--seed", type=int, help="what chance starts from; else fixed, and drawn anew with --prove")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alone: measures times, and is proved on a machine that does nothing else")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--prove"):
        return
    proofs = [item for item in items if "proof" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=[item for item in items if item not in proofs])
    for item in proofs:
        item.add_marker(pytest.mark.timeout(PROVING_TIMEOUT))
    items[:] = proofs


class Proof:
    """How long to try, with what chance, and what was found."""

    def __init__(self, *, full: bool, seed: int, title: str, meaning: str) -> None:
        self.full, self.seed, self.title, self.meaning = full, seed, title, meaning
        self.random = random.Random(seed)
        self.figures: dict[str, str] = {}

    def size(self, *, check: int, prove: int) -> int:
        """How many, in the run at hand."""
        return prove if self.full else check

    def figure(self, name: str, value: Any) -> None:
        """Note a figure under its name; whole numbers get their thousands apart."""
        self.figures[name] = f"{value:,}" if isinstance(value, int) else str(value)


@pytest.fixture
def proof(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Iterator[Proof]:
    full = pytestconfig.getoption("--prove")
    seed = pytestconfig.getoption("--seed") or (secrets.randbelow(2**31) if full else SEED)
    meaning = inspect.cleandoc(request.function.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    proof = Proof(full=full, seed=seed, title=_title(request.node.name), meaning=meaning)
    began = time.monotonic()
    yield proof
    if full and proof.figures and not _failed(request.node):
        found = tuple(proof.figures.items())
        took = time.monotonic() - began
        figures.write([figures.Section("Proofs", proof.title, proof.meaning, found, took, proof.seed)])


def _title(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ").capitalize()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: Any = yield
    if report.failed:
        item.stash[_FAILED] = True
    if report.failed and "proof" in getattr(item, "funcargs", {}):
        report.sections.append(("Proof", f"seed {item.funcargs['proof'].seed}"))
    return report


_FAILED: pytest.StashKey[bool] = pytest.StashKey()


def _failed(item: pytest.Item) -> bool:
    return item.stash.get(_FAILED, False)

"""Rotation under traffic: killed wherever it can be, it goes on; whoever reads or writes meanwhile notices nothing."""

import contextlib
import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from app.config import Config
from app.services import rotation
from app.vault import load_keyring
from tests.support import points, sealed_goods
from tests.support.nursery import Child, Nursery, nursery
from tests.support.processes import environment
from tests.support.sealed_goods import Goods
from tests.support.servers import wait_until

NAMES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
PLACES = (
    ("vault.prepared", 1),
    ("vault.registered", 1),
    ("vault.activated", 1),
    ("vault.rewrapped", 1),
    ("vault.rewrapping", 2),
    ("vault.rewrapped", 2),
    ("vault.rewrapping", 3),
    ("vault.rewrapped", 3),
)
WRITERS = 1
TURNS = 60  # a writer has six clients to choose from


@dataclass
class Traffic:
    """Processes that read and write; `end` says what they came to."""

    nursery: Nursery
    folder: Path
    children: dict[str, Child] = field(default_factory=dict)

    def start(self, *, readers: int, writers: int = 0, without: str = "") -> None:
        self.folder.mkdir()
        for act, count in (("read", readers), ("write", writers)):
            for number in range(count):
                name = f"{act}{number}"
                given = {"folder": str(self.folder), "name": name, "kind": act, "without": without}
                self.children[name] = self.nursery.child("traffic", **given)
        wait_until(lambda: all(self.turns(name) for name in self.children), timeout=30)

    def turns(self, name: str) -> int:
        """How often one of them has read or written."""
        file = self.folder / f"{name}.turns"
        return file.stat().st_size if file.exists() else 0

    def end(self) -> dict[str, Any]:
        (self.folder / "stop").touch()
        for child in self.children.values():
            child.succeeds()
        came_to = {name: json.loads((self.folder / f"{name}.json").read_text()) for name in self.children}
        return {
            "failed": [why for each in came_to.values() for why in each["failed"]],
            "read": sum(each["done"] for name, each in came_to.items() if name.startswith("read")),
            "written": sum(each["done"] for name, each in came_to.items() if name.startswith("write")),
            "slowest": max(each["slowest"] for each in came_to.values()),
        }


@dataclass
class Scene:
    """An installation with something sealed in every column, and processes around it."""

    config: Config
    goods: Goods
    nursery: Nursery
    folder: Path
    numbers: Counter[str] = field(default_factory=Counter)

    def traffic(self) -> Traffic:
        self.numbers["traffic"] += 1
        return Traffic(self.nursery, self.folder / f"traffic{self.numbers['traffic']}")

    def rotate(self, *orders: points.Order, args: tuple[str, ...] = (), without: str = "") -> Child:
        return self.nursery.child("rotate", *orders, args=list(args), without=without)

    def opened(self) -> Goods:
        engine = create_engine(self.config.database_url)
        try:
            return sealed_goods.opened(engine, load_keyring(self.config.keys_path))
        finally:
            engine.dispose()

    def wrapped_by(self) -> set[str]:
        engine = create_engine(self.config.database_url)
        with engine.connect() as connection:
            found = set(rotation.wrapped_by(connection))
        engine.dispose()
        return found


@contextlib.contextmanager
def scene(config: Config, folder: Path, *, each: int) -> Iterator[Scene]:
    goods = sealed_goods.installed(config, each=each)
    env = environment(**sealed_goods.settings(config))
    with nursery("tests.faults.vault_children", env=env) as processes:
        yield Scene(config, goods, processes, folder)


@pytest.mark.both_databases
def test_rotation_under_traffic_killed_again_and_again(config, tmp_path, proof, database_kind):
    """Keys are rotated while processes read what is sealed in every column and change some of it; the rotation is killed by
    SIGKILL at each of its points and at random moments, and called again. No read failed, no write was lost, and in the
    end everything is wrapped by the new key and opens to what it was.
    """
    proof.title = f"Secrets: rotation under traffic, {NAMES[database_kind]}"
    plan = proof.random.sample(PLACES, 2) if not proof.full else [*PLACES]
    plan.sort(key=PLACES.index)
    by_chance = proof.size(check=0, prove=8)
    with scene(config, tmp_path, each=proof.size(check=20, prove=600)) as there:
        before, traffic = load_keyring(config.keys_path).active, there.traffic()
        traffic.start(readers=proof.size(check=1, prove=3), writers=WRITERS)
        kills = 0
        for point, nth in plan:
            assert there.rotate(points.kill(point, nth=nth)).ended() == -signal.SIGKILL, point
            kills += 1
        for _ in range(by_chance):
            child = there.rotate(args=("--again",))
            time.sleep(proof.random.uniform(0.0, 0.6))
            child.kill()
            kills += child.ended() == -signal.SIGKILL
        held = tmp_path / "held"
        last = there.rotate(points.pause("vault.rewrapping", held, nth=1), args=("--again",) if proof.full else ())
        _let_write(traffic, held)
        last.succeeds()
        came_to = traffic.end()

        assert came_to["failed"] == []
        assert min(came_to["read"], came_to["written"]) > 0
        after = there.opened()
        assert {place: after[place] for place in there.goods} == there.goods
        assert there.wrapped_by() == {load_keyring(config.keys_path).active} != {before}
        names = ("killed", kills), ("sealed blobs", len(after)), ("read meanwhile", came_to["read"])
        for name, value in (
            *names,
            ("written meanwhile", came_to["written"]),
            ("failed or lost", len(came_to["failed"])),
        ):
            proof.figure(name, value)
        proof.figure("slowest read or write", f"{came_to['slowest'] * 1000:.0f} ms")


def _let_write(traffic: Traffic, held: Path) -> None:
    """While the rotation stands between reading a page and writing it, have the others go on."""
    wait_until(held.exists, timeout=30)
    _let_go_on(traffic)
    held.unlink()


def _let_go_on(traffic: Traffic) -> None:
    """Wait until each has done so many turns more that it has come to everything that it reads or writes."""
    due = {name: traffic.turns(name) + TURNS for name in traffic.children}
    wait_until(lambda: all(traffic.turns(name) >= count for name, count in due.items()), timeout=60)


@pytest.mark.parametrize("without", ["compare and swap", "new keys"])
def test_the_measuring_notices_what_rotation_must_not_do(config, tmp_path, without):
    """Overwriting what was written meanwhile, or processes that know the keys of their start alone, are found."""
    with scene(config, tmp_path, each=20) as there:
        traffic, held = there.traffic(), tmp_path / "held"
        swap = without == "compare and swap"
        traffic.start(readers=1, writers=1, without=without)
        child = there.rotate(points.pause("vault.rewrapping", held, nth=2), without=without if swap else "")
        _let_write(traffic, held)
        child.ended()  # who seals with the old key for ever leaves something behind, and the command says so
        _let_go_on(traffic)  # who was overwritten finds out at a later look
        failed = " ".join(traffic.end()["failed"])

    assert ("was overwritten by" if swap else "is not here") in failed, failed[:2000]

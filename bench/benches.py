"""Which benches there are: every module or package here that has `TITLE` and `measure`, by its name.

`measure()` yields figures as they are found; the first paragraph of the module's docstring says what they are about.
"""

import gc
import importlib
import inspect
import pkgutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import bench
from bench.figure import Figure

NO_BENCHES = {"__main__", "benches", "figure", "report"}


@dataclass(frozen=True)
class Measured:
    """All that one bench found, and how many seconds it took."""

    name: str
    title: str
    about: str
    figures: tuple[Figure, ...]
    took: float

    @property
    def is_met(self) -> bool:
        """Whether every promise is kept."""
        return all(figure.is_met for figure in self.figures)


def names() -> list[str]:
    """The benches by name, in the order they run."""
    found = sorted(module.name for module in pkgutil.iter_modules(bench.__path__) if module.name not in NO_BENCHES)
    return [name for name in found if _is_bench(importlib.import_module(f"bench.{name}"))]


def run(name: str) -> Measured:
    """Run one bench from beginning to end."""
    module: Any = importlib.import_module(f"bench.{name}")
    about = (inspect.getdoc(module) or "").split("\n\n")[0].replace("\n", " ")
    gc.collect()
    began = time.monotonic()
    figures = tuple(_told(module))
    return Measured(name, module.TITLE, about, figures, time.monotonic() - began)


def _told(module: Any) -> Iterator[Figure]:
    for figure in module.measure():
        print(f"  {figure.name}: {figure.measured}", flush=True)
        yield figure


def _is_bench(module: ModuleType) -> bool:
    return hasattr(module, "measure") and hasattr(module, "TITLE")

"""docs/figures.md: what was measured, a section for each proof and each bench; those that ran anew replace their own."""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

FIGURES = Path(__file__).resolve().parents[2] / "docs" / "figures.md"
HEAD = """# Figures

What `make prove` and `make bench` measured, each section by its last run. Everything ran on one machine, over loopback.
"""
PARTS = ("Proofs", "Speed")


@dataclass(frozen=True)
class Section:
    """What one proof or bench found: a sentence on what it means, and its figures by name, a cell for each column."""

    part: str
    title: str
    meaning: str
    figures: Sequence[tuple[str, ...]]
    took: float
    seed: int | None = None
    columns: tuple[str, ...] = ("figure", "measured")

    def text(self) -> str:
        """The section as it stands in the document."""
        rows = _row(self.columns) + "|---" * len(self.columns) + "|\n" + "".join(map(_row, self.figures))
        seed = "" if self.seed is None else f", seed {self.seed}"
        ran = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {self.took:,.0f} s{seed}"
        return f"{self.meaning}\n\n{rows}\n*{ran}*"


def write(sections: Sequence[Section], path: Path = FIGURES) -> None:
    """Put these sections into the document, in place of those of the same title; several processes may do so at once."""
    if not sections:
        return
    with _alone(path):
        text = path.read_text() if path.exists() else ""
        parts = {part: _sections(text, part) for part in PARTS}
        for section in sections:
            parts[section.part][section.title] = section.text()
        path.write_text(HEAD + "".join(_part(name, found) for name, found in parts.items() if found))


def _part(name: str, sections: Mapping[str, str]) -> str:
    return f"\n## {name}\n" + "".join(f"\n### {title}\n\n{sections[title].strip()}\n" for title in sorted(sections))


def _sections(text: str, part: str) -> dict[str, str]:
    found = re.search(rf"^## {part}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    pieces = re.split(r"^### (.+)\n", found[1], flags=re.MULTILINE)[1:] if found else []
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_cell, cells)) + " |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    with (path.parent / f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            Path(lock.name).unlink()

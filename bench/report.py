"""What the benches found: a table for the console, JSON for programs, and sections of docs/figures.md."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict

from bench.benches import Measured
from tests.support import figures
from tests.support.figures import Section

COLUMNS = ("figure", "measured", "promised", "", "what it means")


def table(found: Sequence[Measured]) -> str:
    """Every figure beside what is promised, with what it means below it."""
    rows = [(each.name, each.measured, each.promise, each.verdict) for one in found for each in one.figures]
    widths = [max(map(len, column)) for column in zip(*rows, COLUMNS[:4], strict=True)]
    lines: list[str] = []
    for one in found:
        lines += ["", f"{one.title} ({one.took:,.0f} s)", ""]
        for each in one.figures:
            cells = (each.name, each.measured, each.promise, each.verdict)
            lines.append("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
            lines += textwrap.wrap(each.meaning, 110, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


def as_json(found: Sequence[Measured]) -> str:
    """The same for programs."""
    benches = [
        {
            "bench": one.name,
            "title": one.title,
            "seconds": round(one.took, 1),
            "figures": [asdict(each) | {"met": each.is_met if each.is_promised else None} for each in one.figures],
        }
        for one in found
    ]
    return json.dumps({"met": all(one.is_met for one in found), "benches": benches}, indent=2, ensure_ascii=False)


def write(found: Sequence[Measured]) -> None:
    """Put the sections of these benches into docs/figures.md, in place of what they said last."""
    figures.write([_section(one) for one in found])


def _section(one: Measured) -> Section:
    rows = [(each.name, each.measured, each.promise, each.verdict, each.meaning) for each in one.figures]
    return Section("Speed", one.title, one.about, rows, one.took, columns=COLUMNS)

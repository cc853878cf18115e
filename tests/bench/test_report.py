"""Figures beside what is promised: told, written down, and a reason to fail."""

import json
import sys
from types import SimpleNamespace

import pytest

from bench import __main__, benches, report
from bench.figure import Figure
from tests.support import figures

FAST = Figure("flows", 321.4, "a second", "From link to page.", floor=240)
SLOW = Figure("p99", 612.0, "ms", "One in a hundred waits longer.", ceiling=500)
PLAIN = Figure("start", 1.234, "s", "Until it is ready.")


@pytest.fixture
def document(tmp_path, monkeypatch):
    path = tmp_path / "figures.md"
    write = figures.write
    monkeypatch.setattr(figures, "write", lambda sections: write(sections, path))
    return path


def run(monkeypatch, *found, options=()):
    """`python -m bench` where there is one bench, which finds these."""
    module = SimpleNamespace(__name__="bench.flows", __doc__="How fast.", TITLE="Flows", measure=lambda: iter(found))
    monkeypatch.setattr(benches, "names", lambda: ["flows"])
    monkeypatch.setattr(benches.importlib, "import_module", lambda _: module)
    monkeypatch.setattr(sys, "argv", ["bench", *options])
    return __main__.main()


@pytest.mark.parametrize(
    ("figure", "measured", "promise", "verdict"),
    [
        (FAST, "321 a second", "at least 240 a second", "met"),
        (SLOW, "612 ms", "at most 500 ms", "missed"),
        (PLAIN, "1.23 s", "", ""),
        (Figure("x", 1.5, "×", "", ceiling=1.5), "1.5×", "at most 1.5×", "met"),
        (Figure("x", 59.9, "%", "", floor=60), "59.9%", "at least 60%", "missed"),
        (Figure("x", 12345.6, "", ""), "12,346", "", ""),
    ],
)
def test_a_figure_stands_beside_what_is_promised(figure, measured, promise, verdict):
    assert (figure.measured, figure.promise, figure.verdict) == (measured, promise, verdict)


def test_it_succeeds_when_all_is_kept_and_tells_it_thrice(monkeypatch, document, capsys, tmp_path):
    assert run(monkeypatch, FAST, PLAIN, options=("--json", str(tmp_path / "found.json"))) == 0

    told = json.loads((tmp_path / "found.json").read_text())
    assert (told["met"], [each["met"] for each in told["benches"][0]["figures"]]) == (True, [True, None])
    assert "From link to page." in capsys.readouterr().out
    assert "| flows | 321 a second | at least 240 a second | met | From link to page. |" in document.read_text()


def test_it_fails_when_a_promise_is_missed(monkeypatch, document, capsys):
    assert run(monkeypatch, FAST, SLOW) == 1

    assert "missed" in capsys.readouterr().out
    assert "| p99 | 612 ms | at most 500 ms | missed |" in document.read_text()


def test_a_dry_run_leaves_the_document_alone(monkeypatch, document):
    run(monkeypatch, FAST, options=("--dry",))

    assert not document.exists()


def test_an_unknown_bench_is_refused_with_those_there_are(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(monkeypatch, options=("speed",))

    assert "only flows" in capsys.readouterr().err


def test_sections_keep_the_figures_of_the_table():
    measured = benches.Measured("flows", "Flows", "How fast.", (FAST, SLOW), 1.0)

    assert not measured.is_met
    for figure in measured.figures:
        assert figure.name in report.table([measured])

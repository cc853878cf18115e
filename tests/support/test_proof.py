"""What the proofs of this suite rest on: their size, their chance, and the document of their figures."""

import pytest

from tests.support import figures
from tests.support.figures import Section

PROOF = '''
def test_counts(proof):
    """Counting works."""
    proof.figure("tried", proof.size(check=3, prove=1_000))
    proof.figure("drawn", proof.random.randrange(10**9))
    assert {holds}

def test_plain():
    pass
'''
pytest_plugins = ["pytester"]


@pytest.fixture
def ran(pytester, monkeypatch):
    """Run that file in an inner pytest; gives its outcomes and what it wrote."""
    written = pytester.path / "figures.md"
    monkeypatch.setattr(figures, "write", lambda sections, _write=figures.write: _write(sections, written))

    def run(*options, holds="True"):
        pytester.makepyfile(PROOF.format(holds=holds))
        result = pytester.runpytest_inprocess("-p", "no:playwright", "-p", "tests.support.proof", *options)
        return result, written.read_text() if written.exists() else ""

    return run


def test_check_is_small_and_writes_nothing(ran):
    result, written = ran()

    result.assert_outcomes(passed=2)
    assert not written


def test_prove_runs_the_proofs_alone_and_writes_their_figures(ran):
    result, written = ran("--prove", "--seed", "7")

    result.assert_outcomes(passed=1, deselected=1)
    assert "### Counts\n\nCounting works.\n\n| figure | measured |\n|---|---|\n| tried | 1,000 |" in written
    assert "seed 7*" in written


def test_a_proof_that_fails_writes_nothing_and_tells_its_seed(ran):
    result, written = ran("--prove", "--seed", "7", holds="False")

    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(["*seed 7*"])
    assert not written


def test_write_replaces_the_section_of_the_same_title_alone(tmp_path):
    path = tmp_path / "figures.md"
    figures.write([Section("Proofs", "B", "One.", [("n", "1")], 1), Section("Speed", "C", "x.", [("n", "3")], 1)], path)
    figures.write(
        [Section("Proofs", "A", "Two.", [("n", "2")], 1), Section("Proofs", "B", "Now.", [("n", "9")], 1)], path
    )

    text = path.read_text()
    assert text.index("### A") < text.index("### B") < text.index("## Speed") < text.index("### C")
    assert "Now." in text
    assert "One." not in text
    assert "| n | 3 |" in text

import subprocess
import sys

import pytest

from tests.support.processes import ROOT, environment

SKIPS = {
    "in_the_test": "def test_x(): pytest.skip('no way')",
    "by_a_mark": "@pytest.mark.skip(reason='no way')\ndef test_x(): pass",
    "as_a_module": "pytest.importorskip('nonesuch', reason='no way')\ndef test_x(): pass",
    "expected_to_fail": "@pytest.mark.xfail(reason='no way')\ndef test_x(): assert 0",
    "not_run": "@pytest.mark.xfail(run=False, reason='no way')\ndef test_x(): assert 0",
}


@pytest.mark.parametrize(("ci", "failing"), [("true", len(SKIPS)), ("", 0)])
def test_skip_fails_under_ci_alone(tmp_path, ci, failing):
    for how, code in SKIPS.items():
        (tmp_path / f"test_{how}.py").write_text(f"import pytest\n{code}\n")
    options = [
        "-p",
        "tests.support.noskip",
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
        f"--rootdir={tmp_path}",
        "-rA",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--continue-on-collection-errors", str(tmp_path)],
        env=environment(CI=ci, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode != 0) is bool(failing), done.stdout
    assert sum(line.startswith(("FAILED", "ERROR ")) for line in done.stdout.splitlines()) == failing, done.stdout
    assert "no way" in done.stdout

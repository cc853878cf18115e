import subprocess
import sys

from tests.support import variant
from tests.support.processes import ROOT, environment
from tests.support.variant import Change


def ask(*changes):
    """Run a module in a variant; returns its code and all that it said."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.variant", "flask", "--app", "app.clock:now", "--help"],
        cwd=ROOT,
        env=environment(**variant.environment(*changes)),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_module_reads_as_changed():
    code, said = ask(Change("app.config", '"""Settings from the environment', 'print("changed")\n"""Settings from'))

    assert (code, said.splitlines()[0]) == (0, "changed")


def test_a_text_that_is_not_there_is_a_mistake():
    code, said = ask(Change("app.config", "what nobody wrote", ""))

    assert code != 0
    assert "does not stand in app.config once" in said

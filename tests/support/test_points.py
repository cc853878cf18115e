"""Points: found, compiled in without a trace of difference, and deadly."""

import ast
import signal
import subprocess
import sys
import threading

import pytest

from tests.support import points
from tests.support.processes import ROOT, environment
from tests.support.servers import wait_until

MODULES = [path for path in sorted(points.APP.rglob("*.py")) if "# point:" in path.read_text()]
ACT = """
def act():
    print("begun", flush=True)
    # point: act.ending
    print("ended", flush=True)
    # point: act.ended
"""
THRICE = "for number in range(3): act.act()"
DONE = ["begun", "ended"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An application of one module, in place of the real one."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").touch()
    (tmp_path / "app" / "act.py").write_text(ACT)
    monkeypatch.setattr(points, "APP", tmp_path / "app")
    points.every.cache_clear()
    yield tmp_path
    points.every.cache_clear()


def script(program, **env):
    """Run a program in a process of its own."""
    given = {"cwd": ROOT, "env": environment(**env), "capture_output": True, "text": True}
    return subprocess.run([sys.executable, "-c", program], check=False, **given)


@pytest.fixture
def run(folder):
    """Run a script in a process of its own, under points."""
    start = (
        f"import sys, pathlib; sys.path.insert(0, {str(folder)!r})",
        "from tests.support import points",
        f"points.APP = pathlib.Path({str(folder / 'app')!r})",
        "points.install()",
        "from app import act",
    )

    def run(program, *orders, trace=None):
        armed = f"from tests.support.points import Order; points.arm({orders!r}, trace={trace and str(trace)!r})"
        return script("\n".join([*start, armed, program]))

    return run


def test_every_point_of_the_application_stands_there_once():
    assert "transaction.committed" in points.every()
    assert {name: places for name, places in points.every().items() if len(places) > 1} == {}


def test_a_point_that_does_not_exist_is_an_error(run):
    for order in (points.kill("act.forgotten"), points.kill("act.ended", after="act.forgotten")):
        with pytest.raises(points.NoSuchPoint):
            points.check([order])
        assert "NoSuchPoint" in run(THRICE, order).stderr


def test_a_point_that_stands_there_twice_is_an_error(folder):
    (folder / "app" / "other.py").write_text(ACT)

    with pytest.raises(points.NoSuchPoint):
        points.check([points.kill("act.ended")])


@pytest.mark.parametrize("comment", ["# point: mail", "# point: mail.Taken", "a = 1  # point: mail.taken"])
def test_what_looks_like_a_point_but_is_none_is_an_error(comment):
    with pytest.raises(points.NoSuchPoint):
        points.names(f"{comment}\n")


def test_a_text_that_reads_like_a_point_is_left_alone():
    source = 'text = """\n# point: mail.taken\n"""\n'

    assert points.instrumented(source) == source


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_module_is_otherwise_the_same_line_by_line(path):
    source = path.read_text()
    tree = ast.parse(points.instrumented(source))
    calls = _without_calls(tree)

    assert calls == points.names(source)
    assert _dump(tree) == _dump(ast.parse(source))


def _without_calls(tree):
    """Take the calls of points out; returns them by line."""
    found = {}
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            for each in list(block) if isinstance(block, list) else ():
                if isinstance(each, ast.Expr) and ast.unparse(each).startswith(points.CALL):
                    found[each.lineno] = each.value.args[0].value
                    block.remove(each)
    return found


def _dump(tree):
    """The tree with where everything begins; a block ends where its last point does."""
    for node in ast.walk(tree):
        if hasattr(node, "end_lineno"):
            node.end_lineno, node.end_col_offset = node.lineno, node.col_offset
    return ast.dump(tree, include_attributes=True)


def test_without_an_order_nothing_happens(run):
    done = run(THRICE)

    assert (done.returncode, done.stdout.split()) == (0, DONE * 3)


@pytest.mark.parametrize(
    ("point", "more", "left"),
    [
        ("act.ending", {}, ["begun"]),
        ("act.ended", {}, DONE),
        ("act.ended", {"nth": 2}, DONE * 2),
        ("act.ending", {"after": "act.ended"}, [*DONE, "begun"]),
        ("act.ended", {"nth": 4}, DONE * 3),
    ],
)
def test_it_dies_at_the_very_line_by_sigkill(run, point, more, left):
    done = run(THRICE, points.kill(point, **more))

    assert done.stdout.split() == left
    assert done.returncode == (0 if left == DONE * 3 else -signal.SIGKILL)


def test_it_fails_there_as_often_as_told(run):
    caught = "for number in range(4):\n  try: act.act()\n  except OSError: print('failed', flush=True)"

    done = run(caught, points.fail("act.ending", nth=2, times=2))

    assert done.stdout.split() == [*DONE, "begun", "failed", "begun", "failed", *DONE], done.stderr


def test_it_waits_there_until_it_is_let_go(run, tmp_path):
    file, done = tmp_path / "paused", []
    order = points.pause("act.ending", file, nth=2)
    thread = threading.Thread(target=lambda: done.append(run(THRICE, order)))
    thread.start()
    wait_until(file.exists, timeout=30)
    assert not done
    file.unlink()
    thread.join()

    assert done[0].stdout.split() == DONE * 3


def test_it_notes_where_it_has_been(run, tmp_path):
    run(THRICE, trace=tmp_path / "trace")

    assert (tmp_path / "trace").read_text().split() == ["act.ending", "act.ended"] * 3


def test_the_application_runs_under_points_as_it_would_without(database_url, tmp_path):
    settings = {"GATEHOUSE_INSTANCE_PATH": str(tmp_path), "GATEHOUSE_DATABASE_URL": database_url}
    start = f"from tests.support import points; points.install(); points.arm((), trace={str(tmp_path / 'trace')!r})"
    flask = "import runpy, sys; sys.argv[1:] = ['worker', '--once']; runpy.run_module('flask', run_name='__main__')"
    done = script(f"{start}\n{flask}", **settings)

    assert done.stdout == "Nothing was due.\n", done.stderr
    assert "transaction.committed" in (tmp_path / "trace").read_text()

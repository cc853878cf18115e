"""The compressed static files: made once, whole, by whoever comes first, and never left behind."""

import os
import subprocess
import sys
import time

import brotli
import pytest
from flask import Flask

from app.web import packed
from app.web.static import register_static
from tests.support.processes import ROOT, environment
from tests.web.test_static import address, fetch

TREE = {"style.css": b"body { margin: 0 }" * 99}


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "static"


def site(kept):
    app = Flask("site")
    register_static(app, kept=kept)
    return app


def test_nothing_is_compressed_until_a_file_is_asked_for(kept, monkeypatch):
    monkeypatch.setattr(packed, "_compressed", lambda _content: pytest.fail("it was compressed"))
    app = site(kept)

    assert app.test_client().get("/elsewhere").status_code == 404

    assert not kept.exists()


def test_the_next_start_and_other_processes_use_what_is_there(kept, monkeypatch):
    first = site(kept)
    fetch(first, address(first, "style.css"))
    made = {path: path.stat().st_mtime_ns for path in kept.rglob("*")}
    monkeypatch.setattr(packed, "_compressed", lambda _content: pytest.fail("it was compressed again"))

    second = site(kept)

    assert fetch(second, address(second, "style.css"), **{"Accept-Encoding": "br"}).status_code == 200
    assert {path: path.stat().st_mtime_ns for path in kept.rglob("*")} == made


def test_other_content_is_kept_apart(kept):
    for digest in ("one", "two"):
        folder = packed.packed({"style.css": digest.encode()}, kept / digest)
        assert (folder / "style.css").read_bytes() == digest.encode()
        assert brotli.decompress((folder / "style.css.br").read_bytes()) == digest.encode()


AT_ONCE = """
import os, sys
from pathlib import Path
from flask import Flask
from app.web.static import register_static

app = Flask("site")
register_static(app, kept=Path(sys.argv[1]))
wait, go = os.pipe()
children = []
for _ in range(8):
    children.append(os.fork())
    if not children[-1]:
        os.close(go)
        os.read(wait, 1)  # until every writing end is closed
        with app.test_client().get(app.extensions["gatehouse_static"][0] + "style.css") as answer:
            os._exit(answer.status_code != 200 or b"--gh-accent" not in answer.data)
os.close(go)
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


def test_eight_processes_starting_at_once_make_one_tree(kept, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    subprocess.run(
        [sys.executable, "-c", AT_ONCE, str(kept)], cwd=ROOT, env=environment(TMPDIR=str(elsewhere)), check=True
    )

    (tree,) = kept.iterdir()
    names = {path.name for path in tree.iterdir()}
    plain = {name for name in names if not name.endswith((".gz", ".br"))}
    assert {"style.css", "client.js", "preview.js"} <= plain
    assert names == {name + form for name in plain for form in ("", ".gz", ".br")}
    assert list(elsewhere.iterdir()) == [], "nobody had to make do with a temporary one"


def test_what_is_half_made_is_never_used(kept, monkeypatch):
    def fail(_content):
        raise OSError("no space left on device")

    with monkeypatch.context() as full:
        full.setattr(packed, "_compressed", fail)
        with pytest.raises(OSError, match="no space"):
            packed.packed(TREE, kept / "digest")
    assert list(kept.iterdir()) == []

    assert packed.packed(TREE, kept / "digest") == kept / "digest"


def test_trees_of_versions_long_gone_and_drafts_of_the_dead_are_removed(kept):
    for age, name in enumerate(["before", "long-ago", "longer-ago"]):
        os.utime(packed.packed(TREE, kept / name), (1_700_000_000 - age, 1_700_000_000 - age))
    for name, made in ((f"{packed.DRAFT}dead", 1_700_000_000), (f"{packed.DRAFT}at-work", time.time())):
        (kept / name).mkdir()
        os.utime(kept / name, (made, made))

    packed.packed(TREE, kept / "now")

    assert {path.name for path in kept.iterdir()} == {"now", "before", "long-ago", f"{packed.DRAFT}at-work"}


LIVES = """
import os, sys
from pathlib import Path
from flask import Flask
from app.web.static import register_static

app = Flask("site")
register_static(app, kept=Path("/dev/null/static"))

def ask():
    with app.test_client().get(app.extensions["gatehouse_static"][0] + "style.css") as answer:
        return answer.status_code, len(answer.data)

before = ask()
child = os.fork()
if child:
    os.waitpid(child, 0)
    assert ask() == before, "the child took the folder with it"
    print(before[0])
"""


def test_where_nothing_can_be_kept_a_temporary_folder_does_and_ends_with_its_own_process_alone(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LIVES],
        cwd=ROOT,
        env=environment(TMPDIR=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "200\n", "")
    assert list(tmp_path.iterdir()) == []

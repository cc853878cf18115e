"""Static files with their compressed forms beside them, in a folder that every process and every start shares."""

import atexit
import contextlib
import gzip
import os
import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import brotli  # type: ignore[import-untyped]

from app import clock

DRAFT = ".draft-"
EARLIER = 2  # trees of earlier versions that stay: their processes may still be serving
ABANDONED = 3600.0  # seconds after which nobody is at a draft any more


def packed(tree: Mapping[str, bytes], folder: Path | None) -> Path:
    """The folder that holds the tree, made if it is not there yet: `folder`, or a temporary one where that can't be made."""
    if folder is None:
        return _temporary(tree)
    try:
        if not folder.is_dir():
            _make(tree, folder)
    except OSError:  # an instance folder that is read-only, or a full disk
        return _temporary(tree)
    return folder


def _make(tree: Mapping[str, bytes], folder: Path) -> None:
    """Make the folder whole or not at all; of several processes at it the first wins."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=folder.parent))
    try:
        write_tree(tree, draft)
        draft.chmod(0o755)
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    with contextlib.suppress(OSError):  # another process may be at it too
        _sweep(folder)


def _sweep(newest: Path) -> None:
    """Remove the trees of versions long gone, and drafts of processes that were killed."""
    others = [(path.stat().st_mtime, path) for path in newest.parent.iterdir() if path != newest]
    drafts = [(made, path) for made, path in others if path.name.startswith(DRAFT)]
    trees = sorted(set(others) - set(drafts), reverse=True)
    oldest = clock.now().timestamp() - ABANDONED
    for path in [path for _made, path in trees[EARLIER:]] + [path for made, path in drafts if made < oldest]:
        shutil.rmtree(path, ignore_errors=True)


def _temporary(tree: Mapping[str, bytes]) -> Path:
    folder, maker = Path(tempfile.mkdtemp(prefix="gatehouse-static-")), os.getpid()

    def remove() -> None:
        if os.getpid() == maker:  # a forked process inherits this, and leaves earlier
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    write_tree(tree, folder)
    return folder


def write_tree(tree: Mapping[str, bytes], folder: Path) -> None:
    """Write each file with its compressed forms beside it, down to the disk."""

    def write(item: tuple[str, bytes]) -> None:
        name, content = item
        for suffix, form in zip(("", ".gz", ".br"), (content, *_compressed(content)), strict=True):
            with (folder / f"{name}{suffix}").open("wb") as file:
                file.write(form)
                file.flush()
                os.fsync(file.fileno())

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, tree.items()))


@lru_cache(maxsize=32)  # a process may hold several applications, as the demo does
def _compressed(content: bytes) -> tuple[bytes, bytes]:
    return gzip.compress(content, 9, mtime=0), brotli.compress(content, quality=11)

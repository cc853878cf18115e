"""A disk of a few megabytes that a test fills and frees: really one where file systems may be mounted, else its likeness.

Where none may, the processes that are named when it is filled can write no file any longer than it is by then (RLIMIT_FSIZE),
which fails in the same places with another error.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import Running, family

PAGE = 4096


class Disk:
    """A folder; `is_real` says whether it is a file system of its own."""

    def __init__(self, path: Path, *, is_real: bool) -> None:
        self.path, self.is_real = path, is_real
        self._filler = path / "filler"

    def fill(self, writer: Running) -> None:
        """Leave no byte."""
        if not self.is_real:
            fail_writes(writer)
            return
        with self._filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(PAGE))

    def free(self, writer: Running) -> None:
        """Give back all that it was filled with."""
        if self.is_real:
            self._filler.unlink()
        else:
            let_write(writer)


def fail_writes(writer: Running, most: int = 64 * PAGE) -> None:
    """Have every write beyond so many bytes of a file fail in a process, and in all that it began."""
    _limit(writer, str(most))


def let_write(writer: Running) -> None:
    """Have it write again."""
    _limit(writer, "unlimited")


def _limit(writer: Running, soft: str) -> None:
    """As the account that a process runs as: not even root may always do so for another."""
    for pid in family(writer.process.pid):
        with contextlib.suppress(FileNotFoundError):
            owner = Path(f"/proc/{pid}").stat()
            account = {} if owner.st_uid == os.geteuid() else {"user": owner.st_uid, "group": owner.st_gid}
            subprocess.run(["prlimit", f"--pid={pid}", f"--fsize={soft}:"], capture_output=True, check=False, **account)


@contextlib.contextmanager
def small_disk(megabytes: int) -> Iterator[Disk]:
    """A disk at a folder of its own, where everybody may write."""
    path = Path(tempfile.mkdtemp(prefix="gatehouse-disk-"))
    path.chmod(0o777)
    is_real = os.geteuid() == 0 and _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "small", path)
    try:
        yield Disk(path, is_real=is_real)
    finally:
        if is_real:
            _run("umount", "--lazy", path)
        shutil.rmtree(path, ignore_errors=True)


def _run(*command: str | Path) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0

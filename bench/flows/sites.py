"""The three sites, each served by gunicorn on two processes of 32 threads, with what its flows need in the database."""

import contextlib
import hashlib
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from app import create_app
from app.extensions import db
from bench.flows import plain, rows
from bench.flows.provider import CLIENT_ID, CLIENT_SECRET
from tests import factories
from tests.support.processes import cpu, environment, family, free_port
from tests.support.servers import serve_process

HERE = Path(__file__).parent
PROCESSES = 2


@dataclass
class Site:
    """A site that is being served: its links that nobody has opened yet, and its processes, the master first."""

    name: str
    port: int
    master: int
    links: rows.Links = field(repr=False)
    database: str = field(repr=False)

    def analyze(self) -> None:
        """Have PostgreSQL look at its tables."""
        if self.database.startswith("postgresql"):
            with psycopg.connect(self.database, autocommit=True) as connection:
                connection.execute("ANALYZE")

    @property
    def processes(self) -> list[int]:
        """Return the master and its workers."""
        return family(self.master)

    def take(self, count: int) -> rows.Links:
        """Return links for so many flows; each is given once."""
        taken, self.links = self.links[:count], self.links[count:]
        if len(taken) < count:
            raise RuntimeError(f"{self.name} has too few links for {count} flows.")
        return taken

    def cpu(self) -> float:
        """Return the seconds of processor time that the workers have used."""
        return cpu(self.processes[1:])

    def pss(self) -> dict[int, float]:
        """Return the megabytes that each process holds, shared pages counted by their share (PSS)."""
        return {pid: _pss(pid) for pid in self.processes}


def _pss(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


@contextlib.contextmanager
def provider(milliseconds: int) -> Iterator[int]:
    """Run the provider in a process of its own; yields its port."""
    port = free_port()
    command = [sys.executable, "-m", "bench.flows.provider", str(port), str(milliseconds)]
    with serve_process(command, url=f"http://127.0.0.1:{port}/"):
        yield port


@contextlib.contextmanager
def gatehouse(database: str, provider_port: int, folder: Path, *, flows: int) -> Iterator[Site]:
    """Serve Gatehouse as its documents say, with its worker apart."""
    (folder / "apps").mkdir(parents=True)
    (folder / "apps" / "bench.toml").write_text((HERE / "bench.toml").read_text().replace("PORT", str(provider_port)))
    port = free_port()
    url = f"http://localhost:{port}"
    settings = {
        "base_url": url,
        "apps_dir": folder / "apps",
        "oauth_clients": {"bench": (CLIENT_ID, CLIENT_SECRET)},
        "worker": "external",
    }
    app = create_app(factories.config(folder, factories.driver(database), **settings))
    links = rows.make(app, flows)
    with app.app_context():
        db.engine.dispose()
    told = {
        "BASE_URL": url,
        "INSTANCE_PATH": str(folder),
        "DATABASE_URL": database,
        "APPS_DIR": str(folder / "apps"),
        "EGRESS_ALLOW": "127.0.0.0/8",
        "OAUTH_BENCH_CLIENT_ID": CLIENT_ID,
        "OAUTH_BENCH_CLIENT_SECRET": CLIENT_SECRET,
        "WORKER": "external",
    }
    env = environment(**{f"GATEHOUSE_{name}": value for name, value in told.items()})
    with _served("Gatehouse", "wsgi:app", port, env, links, database) as site:
        yield site


@contextlib.contextmanager
def written_as(what: str, database: str, provider_port: int, *, flows: int) -> Iterator[Site]:
    """Serve the flow as `plain` or `dance` has it."""
    links, port = _fill(database, flows), free_port()
    env = environment(
        BENCH_DATABASE=database,
        BENCH_PROVIDER=f"http://127.0.0.1:{provider_port}",
        BENCH_BASE_URL=f"http://localhost:{port}",
    )
    with _served(
        what, f"bench.flows.{what}:app", port, env, links, database, "-c", "python:bench.flows.serving"
    ) as site:
        yield site


@contextlib.contextmanager
def _served(
    name: str, application: str, port: int, env: dict[str, str], links: rows.Links, database: str, *options: str
) -> Iterator[Site]:
    command = [sys.executable, "-m", "gunicorn", application, *options, "--workers", str(PROCESSES)]
    command += ["--bind", f"127.0.0.1:{port}", "--log-level", "warning"]
    with serve_process(command, url=f"http://localhost:{port}/healthz", env=env, timeout=60) as served:
        yield Site(name, port, served.process.pid, links, database)


def _fill(database: str, flows: int) -> rows.Links:
    """Make the tables of the plain flow, and a bundle with one request for each flow."""
    at, links = datetime.now(UTC), []
    with psycopg.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(plain.SCHEMA)
        cursor.execute(
            "create table dance_token (id serial primary key, provider text not null, created_at timestamp not null, "
            "token json not null, user_id int); create index on dance_token (user_id)"
        )
        bundles, asked = [], []
        for number in range(1, flows + 1):
            token = secrets.token_urlsafe(48)
            links.append((f"/l/{token}", f"account-{number}"))
            hashed, recipient = hashlib.sha256(token.encode()).digest(), f"client-{number}@client.example"
            agency = ("Northwind Studio", "help@northwind-studio.example")
            bundles.append(
                (number, secrets.token_hex(10), *agency, recipient, "Maya Okafor", hashed, at + timedelta(days=7))
            )
            asked.append((number, secrets.token_hex(10), number, "Example Drive", "New patient intake", "pending"))
        _copy(
            cursor, "bundle (id, public_id, agency, support_email, recipient, sent_by, token_hash, expires_at)", bundles
        )
        _copy(cursor, "asked (id, public_id, bundle_id, app, workflow, status)", asked)
    return links


def _copy(cursor: psycopg.Cursor, table: str, values: list[tuple]) -> None:
    with cursor.copy(f"copy {table} from stdin") as copy:
        for row in values:
            copy.write_row(row)

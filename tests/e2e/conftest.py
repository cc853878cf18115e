"""A whole installation in processes of its own, as an operator runs it: migrated, with an agency, served, sending mail."""

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.catalog_apps import CatalogApps
from tests.support.processes import environment, free_port
from tests.support.provider import Provider
from tests.support.servers import serve_process
from tests.support.smtp import Server
from tests.support.tls import Authority
from tests.support.tls_proxy import tls_proxy

ROOT = Path(__file__).resolve().parents[2]
OWNER, PASSWORD = "maya@northwind.example", "a quiet harbour at dawn"


@dataclass(frozen=True)
class Installation:
    """Where it is, where its mail arrives, and what stands behind its apps."""

    url: str
    smtp: Server
    provider: Provider
    env: dict[str, str]

    def flask(self, *args: str, given: str = "") -> str:
        """Run a command of `flask` against it."""
        return run_flask(self.env, *args, given=given)


def run_flask(env: dict[str, str], *args: str, given: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-m", "flask", *args],
        check=False,
        cwd=ROOT,
        env=env,
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def installed(
    folder: Path,
    database_url: str,
    smtp: Server,
    apps: CatalogApps,
    provider: Provider,
    *,
    base_url: str = "",
    port: int,
    is_migrated: bool = False,
) -> Iterator[Installation]:
    """Set up and serve an installation; `base_url` is where people reach it if that is not the port itself."""
    url = base_url or f"http://localhost:{port}"
    env = environment(
        GATEHOUSE_BASE_URL=url,
        GATEHOUSE_INSTANCE_PATH=str(folder),
        GATEHOUSE_DATABASE_URL=database_url,
        GATEHOUSE_SMTP_URL=smtp.url,
        GATEHOUSE_MAIL_FROM="requests@northwind.example",
        GATEHOUSE_PROXY_HOPS="1" if base_url else "0",
        **apps.environ(),
    )
    if not is_migrated:
        run_flask(env, "db", "upgrade")
    run_flask(
        env,
        *("agency", "create", "--name", "Northwind Studio"),
        *("--owner-email", OWNER, "--owner-name", "Maya Okafor"),
        given=PASSWORD + "\n",
    )
    apps.register(lambda key: f"{url}/oauth/callback/shared-{key}")
    command = [sys.executable, "-m", "flask", "serve", "--port", str(port)]
    with serve_process(command, url=f"http://127.0.0.1:{port}/readyz", env=env):
        yield Installation(url, smtp, provider, env)


@pytest.fixture
def installation(
    tmp_path: Path,
    database_kind: str,
    smtp: Server,
    apps: CatalogApps,
    provider: Provider,
    request: pytest.FixtureRequest,
) -> Iterator[Installation]:
    """An installation on a database of this kind, over plain http on loopback; on SQLite a copy of one set up before."""
    with (
        _database(database_kind, tmp_path, request) as url,
        installed(
            tmp_path / "instance",
            url,
            smtp,
            apps,
            provider,
            port=free_port(),
            is_migrated=database_kind == "sqlite",
        ) as it,
    ):
        yield it


@pytest.fixture
def https_installation(
    tmp_path: Path, smtp: Server, apps: CatalogApps, provider: Provider, authority: Authority
) -> Iterator[Installation]:
    """The same behind a proxy that ends TLS, as in production."""
    port = free_port()
    database_url = f"sqlite:///{tmp_path / 'gatehouse.sqlite3'}"
    with (
        tls_proxy(authority, f"http://127.0.0.1:{port}") as proxy,
        installed(tmp_path / "instance", database_url, smtp, apps, provider, base_url=proxy.url, port=port) as it,
    ):
        yield it


@contextlib.contextmanager
def _database(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    if kind == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), folder / "gatehouse.sqlite3")
        yield f"sqlite:///{folder / 'gatehouse.sqlite3'}"
        return
    from tests.support.postgres import fresh_database

    with fresh_database(request.getfixturevalue("postgres_url")) as url:
        yield url

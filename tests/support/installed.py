"""An installation as it runs in production: gunicorn with several processes, `flask serve`, `flask worker`, on loopback."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flask import Flask

from app import create_app
from app.catalog import load
from app.config import Config
from app.extensions import db
from tests import factories
from tests.support import variant
from tests.support.processes import LOOPBACK, Running, environment, free_port, running
from tests.support.servers import answers
from tests.support.variant import Change


@dataclass
class Installation:
    """Where it is, and how its processes are started; `app` is the same installation inside the test."""

    folder: Path
    database_url: str
    smtp_url: str | None = None
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        """What its processes find in their environment; a warning ends them."""
        told = {
            "INSTANCE_PATH": str(self.folder),
            "DATABASE_URL": self.database_url.replace("+psycopg", ""),
            "BASE_URL": self.url,
            "MAIL_FROM": "requests@gate.example",
            "PROXY_HOPS": "1",
            "OAUTH_SLACK_CLIENT_ID": "slack-client",
            "OAUTH_SLACK_CLIENT_SECRET": "slack-secret",
        }
        told |= ({"SMTP_URL": self.smtp_url} if self.smtp_url else {}) | self.settings
        return environment(PYTHONWARNINGS="error", **{f"GATEHOUSE_{name}": value for name, value in told.items()})

    @contextlib.contextmanager
    def app(self) -> Iterator[Flask]:
        """The same installation in this process, to make things with and to look at them."""
        told = Config.from_environ({name: value for name, value in self.env.items() if name.startswith("GATEHOUSE_")})
        app = create_app(
            factories.config(
                self.folder,
                factories.driver(self.database_url),
                base_url=self.url,
                smtp=told.smtp,
                mail_from=told.mail_from,
            ),
            catalog=load(None),
        )
        try:
            yield app
        finally:
            with app.app_context():
                db.session.remove()
                db.engine.dispose()

    @contextlib.contextmanager
    def gunicorn(self, *options: str, processes: int = 2, changes: Sequence[Change] = ()) -> Iterator[Running]:
        """The production server with so many processes, each with its worker; `changes` make it a variant."""
        bound = ["--bind", f"{LOOPBACK}:{self.port}", "--workers", str(processes), "--preload", *options]
        with self.program("gunicorn", "wsgi:app", *bound, changes=changes, at=f"{self.url}/healthz") as started:
            yield started

    @contextlib.contextmanager
    def serve(self, *, changes: Sequence[Change] = (), prefix: Sequence[str] = ()) -> Iterator[Running]:
        """The embedded server, one process with its worker; `prefix` is a program that runs it."""
        args = ("--app", "wsgi", "serve", "--port", str(self.port))
        with self.program("flask", *args, changes=changes, at=f"{self.url}/healthz", prefix=prefix) as started:
            yield started

    @contextlib.contextmanager
    def program(
        self, *module: str, at: str | None = None, changes: Sequence[Change] = (), prefix: Sequence[str] = ()
    ) -> Iterator[Running]:
        """A module run as `python -m` would, until it answers at an address."""
        through = ("tests.support.variant",) if changes else ()
        env = self.env | (variant.environment(*changes) if changes else {})
        command = [*prefix, sys.executable, "-m", *through, *module]
        with running(command, ready=lambda: at is None or answers(at), env=env, timeout=60) as started:
            yield started

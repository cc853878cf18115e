"""Gatehouse: access to clients' apps, collected without a secret passing through anybody's hands."""

import time
from functools import partial
from pathlib import Path

import psycopg
from flask import Flask
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from app import egress
from app.catalog import Catalog, load
from app.cli import register_cli
from app.config import Config
from app.database import init_database
from app.extensions import babel, db, mail, migrate
from app.logging import configure_logging
from app.runtime import Runtime
from app.services import vault_keys
from app.vault import Keys
from app.web import register_web
from app.web.environment import Environment

ROOT = Path(__file__).resolve().parent.parent
TRUSTED = 1.0  # seconds
NEVER = 1_000_000_000  # uses, until psycopg has a statement prepared that does not ask for it


def create_app(config: Config | None = None, *, catalog: Catalog | None = None) -> Flask:
    """The wired application; raises ConfigError or CatalogError with one sentence when it can't start.

    While a key is missing it starts sealed.
    """
    config = config or Config.from_environ()
    configure_logging()
    config.instance_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    app = Flask(
        __name__, template_folder=str(ROOT / "templates"), static_folder=None, instance_path=str(config.instance_path)
    )
    app.jinja_environment = Environment
    app.config.update(
        GATEHOUSE=config,
        SQLALCHEMY_DATABASE_URI=config.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=_engine_options(config.database_url),
        WTF_CSRF_TIME_LIMIT=None,
        MAX_CONTENT_LENGTH=4 * 1024 * 1024,
    )
    init_database(app)
    runtime = Runtime(
        config=config,
        catalog=catalog or load(config.apps_dir, loopback_http=config.reaches_loopback),
        keys=_keys(app, config),
        egress=egress.Egress(config.egress_allow),
    )
    egress.install(runtime.egress)
    app.extensions["gatehouse"] = runtime
    mail.init_app(app)
    migrate.init_app(app, db, directory=str(ROOT / "app" / "migrations"))
    babel.init_app(app)
    register_web(app)
    register_cli(app)
    return app


def _keys(app: Flask, config: Config) -> Keys:
    """The keys as far as they are there; what is missing seals the application, and does not keep it from starting."""
    keys = Keys(config.keys_path, config.vault_keys, config.secret_key)
    with app.app_context():
        keys.ask = partial(vault_keys.learn, db.engine, keys)
        keys.learn()
        db.engine.dispose()  # nothing open is handed on when a server forks
    return keys


def _engine_options(url: str) -> dict[str, object]:
    """As many connections as threads may want at once (gunicorn's 32 and the worker's), and no parameters in errors."""
    if make_url(url).get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": 20}, "hide_parameters": True, "pool_size": 40, "max_overflow": 256}
    return {
        "connect_args": {"connect_timeout": 5, "prepare_threshold": NEVER},
        "hide_parameters": True,
        "pool_events": [(_note_use, "checkin"), (_ping_if_idle, "checkout")],
        "pool_size": 20,
        "max_overflow": 20,
        "pool_timeout": 10,
    }


def _note_use(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info["used"] = time.monotonic()


def _ping_if_idle(connection: DBAPIConnection | None, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Give nobody a connection that died while it was idle; one that was in use a moment ago is taken to live."""
    if connection is None or time.monotonic() - record.info.get("used", 0.0) < TRUSTED:
        return
    try:
        connection.cursor().execute("SELECT 1")
        connection.commit()
    except psycopg.OperationalError:
        raise DisconnectionError from None

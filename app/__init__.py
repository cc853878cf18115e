"""Gatehouse: access to clients' apps, collected without a secret passing through anybody's hands."""

from pathlib import Path

from flask import Flask
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError, ProgrammingError

from app import egress
from app.catalog import Catalog, load
from app.cli import register_cli
from app.config import Config
from app.database import init_database
from app.extensions import babel, db, mail, migrate
from app.logging import configure_logging
from app.runtime import Runtime
from app.services import agencies
from app.vault import load_keyring, load_secret_key
from app.web import register_web

ROOT = Path(__file__).resolve().parent.parent


def create_app(config: Config | None = None, *, catalog: Catalog | None = None) -> Flask:
    """The wired application; raises ConfigError, CatalogError or KeysUnusable with one sentence when it can't start."""
    config = config or Config.from_environ()
    configure_logging()
    config.instance_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    app = Flask(
        __name__, template_folder=str(ROOT / "templates"), static_folder=None, instance_path=str(config.instance_path)
    )
    app.config.update(
        GATEHOUSE=config,
        SQLALCHEMY_DATABASE_URI=config.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=_engine_options(config.database_url),
        WTF_CSRF_TIME_LIMIT=None,
        MAX_CONTENT_LENGTH=4 * 1024 * 1024,
    )
    init_database(app)
    may_create = not _holds_data(app)
    runtime = Runtime(
        config=config,
        catalog=catalog or load(config.apps_dir, loopback_http=config.reaches_loopback),
        keyring=load_keyring(config.keys_path, config.vault_keys, may_create=may_create),
        egress=egress.Egress(config.egress_allow),
        secret_key=load_secret_key(config.keys_path, config.secret_key, may_create=may_create),
    )
    egress.install(runtime.egress)
    app.extensions["gatehouse"] = runtime
    app.config["SECRET_KEY"] = runtime.secret_key
    mail.init_app(app)
    migrate.init_app(app, db, directory=str(ROOT / "app" / "migrations"))
    babel.init_app(app)
    register_web(app)
    register_cli(app)
    return app


def _holds_data(app: Flask) -> bool:
    """Whether there is an agency already, whose data keys have sealed and links have been signed with."""
    with app.app_context():
        try:
            return agencies.exist()
        except ProgrammingError:  # PostgreSQL has no such table yet
            return False
        except OperationalError:  # so has SQLite; another database is away, and may hold anything
            return db.engine.dialect.name != "sqlite"
        finally:
            db.session.remove()
            db.engine.dispose()  # nothing open is handed on when a server forks


def _engine_options(url: str) -> dict[str, object]:
    """As many connections as threads may want at once (gunicorn's 32 and the worker's), and no parameters in errors."""
    if make_url(url).get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": 20}, "hide_parameters": True, "pool_size": 40, "max_overflow": 256}
    return {
        "connect_args": {"connect_timeout": 5},
        "hide_parameters": True,
        "pool_pre_ping": True,
        "pool_size": 20,
        "max_overflow": 20,
        "pool_timeout": 10,
    }

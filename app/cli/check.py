"""`flask check`: what is in force and what is wrong, without starting the application."""

import json
from dataclasses import fields
from pathlib import Path

import click
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from app.catalog import CatalogError, load
from app.config import Config, ConfigError, SmtpServer
from app.services import health

HIDDEN = "••••••"
SECRET = frozenset({"secret_key", "vault_keys", "metrics_token"})
INTERNAL = frozenset({"argon2_light", "demo"})


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="Write it as JSON.")
def command(*, as_json: bool) -> None:
    """Print the settings in force, secrets masked, and what is wrong; exits with 1 if anything is."""
    try:
        config = Config.from_environ()
    except ConfigError as error:
        _say({}, [str(error)], as_json=as_json)
        raise SystemExit(1) from None
    wrong = [*_catalog(config), *_database(config), *_keys(config)]
    _say(_shown(config), wrong, as_json=as_json)
    if wrong:
        raise SystemExit(1)


def _shown(config: Config) -> dict[str, str]:
    settings = {field.name: getattr(config, field.name) for field in fields(config) if field.name not in INTERNAL}
    return {name: _masked(name, value) for name, value in settings.items()}


def _masked(name: str, value: object) -> str:
    if value in (None, "", ()):
        return "not set"
    if name in SECRET:
        return HIDDEN
    if name == "database_url":
        return make_url(str(value)).render_as_string(hide_password=True)
    if isinstance(value, SmtpServer):
        return f"{value.host}:{value.port} ({value.tls}), as {value.username or 'nobody'}"
    if name == "oauth_clients" and isinstance(value, dict):
        return ", ".join(f"{app} ({client_id})" for app, (client_id, _secret) in value.items()) or "none"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _catalog(config: Config) -> list[str]:
    try:
        load(config.apps_dir, loopback_http=config.reaches_loopback)
    except CatalogError as error:
        return str(error).splitlines()
    return []


def _database(config: Config) -> list[str]:
    url = make_url(config.database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return [f"There is no database yet at {url.database}: run flask db upgrade."]
    try:
        found = health.schema_of(create_engine(url))
    except SQLAlchemyError as error:
        return [f"The database can't be reached: {str(error.__cause__ or error).splitlines()[0]}"]
    if found != health.newest_schema():
        return [health.stale_schema(found)]
    return []


def _keys(config: Config) -> list[str]:
    folder = config.keys_path
    if not folder.exists():
        return []
    loose = [path.name for path in (folder, *folder.glob("*.key")) if path.stat().st_mode & 0o077]
    return [f"Others can read {name} in {folder}: chmod 0700 the folder and 0600 the files." for name in loose]


def _say(settings: dict[str, str], wrong: list[str], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"settings": settings, "problems": wrong}, ensure_ascii=False))
        return
    for name, value in settings.items():
        click.echo(f"{name.upper():16} {value}")
    for sentence in wrong:
        click.echo(sentence, err=True)
    if not wrong:
        click.echo("All is well.")

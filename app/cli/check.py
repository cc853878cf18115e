"""`flask check`: what is in force and what is wrong, without starting the application."""

import json
import os
from dataclasses import fields
from pathlib import Path

import click
from sqlalchemy import create_engine, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from app.catalog import CatalogError, load
from app.config import Config, ConfigError, SmtpServer
from app.models import Agency
from app.services import health, vault_keys
from app.services.vault_keys import Known
from app.vault import Keys

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
    away, known = _database(config)
    wrong = [*_catalog(config), *away, *_keys(config, known)]
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
        url = make_url(str(value))
        hidden = {part: "hidden" for part in url.query if "password" in part}
        return url.update_query_dict(hidden).render_as_string(hide_password=True)
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


def _database(config: Config) -> tuple[list[str], Known | None]:
    """What is wrong with it, and the keys that its data needs; None if it is not known to hold any."""
    url = make_url(config.database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return [f"There is no database yet at {url.database}: run flask db upgrade."], None
    engine = create_engine(url, hide_parameters=True)
    try:
        found = health.schema_of(engine)
        if found != health.newest_schema():
            return [health.stale_schema(found)], None
        with engine.connect() as connection:
            known = vault_keys.known_to(connection)
            return [], known if known or connection.scalar(select(Agency.id).limit(1)) else None
    except SQLAlchemyError as error:
        return [f"The database can't be reached: {str(error.__cause__ or error).splitlines()[0]}"], None
    finally:
        engine.dispose()


def _keys(config: Config, known: Known | None) -> list[str]:
    """What is wrong with the keys: read, never made. Before there is data they may be missing; the first start makes them."""
    folder = config.keys_path
    if folder.exists() and not os.access(folder, os.R_OK | os.X_OK):
        return [f"{folder} can't be read: run this as the user that Gatehouse runs as."]
    files = [folder, *folder.glob("*.key"), *folder.glob("*.next")]
    loose = [path.name for path in files if path.exists() and path.stat().st_mode & 0o077]
    wrong = [f"Others can read {name} in {folder}: chmod 0700 the folder and 0600 the files." for name in loose]
    keys = Keys(folder, config.vault_keys, config.secret_key)
    keys.load()
    vault_keys.tell(keys, known or [])
    may_lack = known is None
    if may_lack and not (config.vault_keys or any(folder.glob("vault-*.key"))):
        return wrong + [problem for problem in [keys.unsigned] if problem and (folder / "secret.key").exists()]
    if may_lack and not (config.secret_key or (folder / "secret.key").exists()):
        return wrong + [problem for problem in keys.problems if problem != keys.unsigned]
    return wrong + keys.problems


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

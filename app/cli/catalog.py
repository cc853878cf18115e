"""`flask catalog`: checks and lists the apps without starting the application, so that it works when that can't."""

from __future__ import annotations

import json
import os
from typing import Any, NoReturn

import click

from app.catalog import App, Catalog, CatalogError, load
from app.config import Config, ConfigError

FILES = ("GATEHOUSE_APPS_DIR", "GATEHOUSE_INSTANCE_PATH", "GATEHOUSE_EGRESS_ALLOW")
CLIENTS = ("GATEHOUSE_BASE_URL", "GATEHOUSE_OAUTH_")

as_json = click.option("--json", "as_json", is_flag=True, help="Write JSON.")


@click.group("catalog")
def command() -> None:
    """Check and list the apps that can be connected."""


@command.command("check")
@as_json
def check(*, as_json: bool) -> None:
    """Read every app's file; a broken one is named with its line and what is wrong."""
    try:
        apps = _load(_settings(*FILES))
    except (CatalogError, ConfigError) as error:
        _fail(error, as_json=as_json)
    if as_json:
        click.echo(json.dumps({"ok": True, "apps": len(apps)}))
    else:
        click.echo(f"{len(apps)} apps, all in order.")


@command.command("list")
@as_json
def list_apps(*, as_json: bool) -> None:
    """List the apps: how each is connected, the redirect address of its shared client, and whether there is one."""
    try:
        config = _settings(*FILES, *CLIENTS)
        apps = _load(config)
    except (CatalogError, ConfigError) as error:
        _fail(error, as_json=as_json)
    if as_json:
        click.echo(json.dumps([_row(app, config) for app in apps], indent=2))
    else:
        _table(apps, config)


def _settings(*names: str) -> Config:
    """Read only the settings named, and what they are the beginning of: a fault in another is not ours to report."""
    return Config.from_environ({name: value for name, value in os.environ.items() if name.startswith(names)})


def _load(config: Config) -> Catalog:
    return load(config.apps_dir, loopback_http=config.reaches_loopback)


def _row(app: App, config: Config) -> dict[str, Any]:
    row: dict[str, Any] = {"key": app.key, "name": app.name, "methods": list(app.methods)}
    if app.oauth2:
        row["redirect_uri"] = f"{config.base_url}/oauth/callback/shared-{app.key}"
        row["setting"] = f"GATEHOUSE_OAUTH_{app.key.upper().replace('-', '_')}_CLIENT_ID"
        row["shared_client"] = app.key in config.oauth_clients
    return row


def _table(apps: Catalog, config: Config) -> None:
    key_width = max(len(app.key) for app in apps)
    name_width = max(len(app.name) for app in apps)
    for app in apps:
        row = _row(app, config)
        methods = ", ".join(row["methods"])
        client = ""
        if app.oauth2:
            client = f"{'shared client' if row['shared_client'] else 'no shared client'}  {row['redirect_uri']}"
        click.echo(f"{app.key:<{key_width}}  {app.name:<{name_width}}  {methods:<15}  {client}".rstrip())


def _fail(error: ValueError, *, as_json: bool) -> NoReturn:
    faults = str(error).splitlines()
    if as_json:
        click.echo(json.dumps({"ok": False, "faults": faults}))
    else:
        for fault in faults:
            click.echo(fault, err=True)
    raise SystemExit(1)

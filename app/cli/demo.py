"""`flask demo`: the main job on embedded parts, with a sandbox provider beside it."""

import ipaddress
import os
import shutil
import socket
import threading
from pathlib import Path

import click
import waitress
from flask import Flask
from flask_migrate import upgrade

from app import create_app, runtime
from app.catalog import load
from app.cli import demo_data, serving
from app.config import ROOT, Config
from app.sandbox import create_sandbox, demo_clients, rewrite
from app.services import agencies
from app.tenancy import across_tenants
from app.web import demo as mailbox
from app.worker import start_embedded

LOOPBACK = "127.0.0.1"


@click.command("demo")
@click.option("--reset", is_flag=True, help="Forget all that was done in the demo and start over.")
def command(*, reset: bool) -> None:
    """Serve the demo and its sandbox provider until interrupted."""
    port, sandbox_port = _port("PORT", 8000), _port("SANDBOX_PORT", 8001)
    instance = Path(os.environ.get("GATEHOUSE_INSTANCE_PATH") or ROOT / "instance") / "demo"
    listeners = serving.listen(LOOPBACK, port, instead=lambda other: f"PORT={other} make demo")
    beside = serving.listen(LOOPBACK, sandbox_port, instead=lambda other: f"SANDBOX_PORT={other} make demo")
    if reset and instance.exists():
        shutil.rmtree(instance)
    app, sandbox = build(instance, port=port, sandbox_port=sandbox_port)
    _serve_beside(sandbox, beside)
    with app.app_context():
        migrate()
        with across_tenants("the demo's data is made once"):
            is_new = not agencies.exist()
        if is_new:
            demo_data.make(sandbox)
    worker = start_embedded(app)
    introduction = demo_data.introduction(f"http://localhost:{port}", f"http://127.0.0.1:{sandbox_port}")
    serving.run(app, listeners, listening=lambda: click.echo(introduction), stopping=worker.ask_to_stop)
    worker.stop()


def migrate() -> None:
    """Bring the database to the newest schema, and write down the keys before there is a transaction that seals."""
    upgrade()
    runtime.current().keys.learn()


def build(instance: Path, *, port: int, sandbox_port: int) -> tuple[Flask, Flask]:
    """The demo's application and its sandbox: every OAuth app of the catalog leads to the sandbox, and mail to a folder."""
    base_url, sandbox_url = f"http://localhost:{port}", f"http://127.0.0.1:{sandbox_port}"
    catalog = load(None)
    config = Config(
        base_url=base_url,
        instance_path=instance,
        database_url=f"sqlite:///{instance / 'gatehouse.sqlite3'}",
        mail_from="requests@northwind.example",
        oauth_clients=demo_clients(catalog),
        egress_allow=(ipaddress.ip_network("127.0.0.0/8"),),
        demo=True,
    )
    app = create_app(config, catalog=rewrite(catalog, sandbox_url))
    app.register_blueprint(mailbox.bp)
    sandbox = create_sandbox(
        catalog, base_url=sandbox_url, panel_url=base_url, demo=True, path=instance / "sandbox.json"
    )
    return app, sandbox


def _serve_beside(sandbox: Flask, listeners: list[socket.socket]) -> None:
    """Serve the sandbox in threads of this process; it ends with it."""
    server = waitress.create_server(sandbox, sockets=listeners, threads=8, ident=None)
    threading.Thread(target=server.run, daemon=True).start()


def _port(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise click.ClickException(f"{name} must be a port, 1 to 65535.")
    return int(text)

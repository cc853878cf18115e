"""`flask serve`: the embedded server, with the worker beside it."""

import click
from flask import current_app
from flask.cli import with_appcontext

from app import runtime
from app.cli import serving
from app.database import share_clock
from app.extensions import db
from app.services import health
from app.worker import start_embedded


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--threads", default=serving.THREADS, show_default=True, type=click.IntRange(1, 256))
@with_appcontext
def command(host: str, port: int, threads: int) -> None:
    """Serve until SIGTERM; requests and mail in flight are finished first."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - the way Flask names
    config = runtime.current().config
    if wrong := health.problems_of_database():
        raise click.ClickException(wrong[0])
    serving.say_sealed()
    share_clock(db.engine)
    welcome = serving.welcome()
    listeners = serving.listen(host, port, instead=lambda other: f"flask serve --port {other}")
    worker = start_embedded(app) if config.worker == "embedded" else None

    def listening() -> None:
        click.echo(f"Gatehouse is at {config.base_url} (listening on {host}:{port}).")
        if welcome:
            click.echo(welcome)

    stopping = worker.ask_to_stop if worker else lambda: None
    serving.run(app, listeners, threads=threads, listening=listening, stopping=stopping)
    if worker:
        worker.stop()

"""`flask worker`: does what is due, here rather than in a thread of the embedded server."""

import json
import signal
from collections import Counter

import click
from flask import current_app
from flask.cli import with_appcontext

from app.cli import serving
from app.database import share_clock
from app.extensions import db
from app.services import deliveries
from app.worker import Worker

OUTCOMES = ("done", "superseded", "postponed", "retry", "dead", "held")


@click.command("worker")
@click.option("--once", is_flag=True, help="Do all that is due, then exit.")
@click.option("--json", "as_json", is_flag=True, help="Write what was done as JSON at the end.")
@with_appcontext
def command(*, once: bool, as_json: bool) -> None:
    """Send mail and do all else that leaves the process; any number may run at once. SIGTERM ends it cleanly."""
    worker = Worker(current_app._get_current_object())  # type: ignore[attr-defined]  # noqa: SLF001 - the way Flask names
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.ask_to_stop())
    if not deliveries.mail_is_set_up():
        click.echo("GATEHOUSE_SMTP_URL is not set: mail stays in the outbox.", err=True)
    serving.say_sealed()
    share_clock(db.engine)
    clean = True
    if once:
        worker.run_once()
    else:
        worker.start()
        worker.wait()
        clean = worker.stop()
    _say(worker.tally, as_json=as_json)
    if not clean:
        click.echo("Something was still in hand after the time for stopping; another worker takes it over.", err=True)
        raise SystemExit(1)


def _say(tally: Counter[str], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({name: tally[name] for name in OUTCOMES}))
    else:
        click.echo(", ".join(f"{tally[name]} {name}" for name in OUTCOMES if tally[name]) or "Nothing was due.")

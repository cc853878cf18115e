"""`flask audit`: whether the trail of what was done is whole."""

import dataclasses
import json

import click
from flask.cli import with_appcontext

from app.services import audit_chain
from app.tenancy import across_tenants


@click.group("audit")
def command() -> None:
    """Check the audit trail."""


@command.command("verify")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@with_appcontext
def verify(*, as_json: bool) -> None:
    """Walk each agency's hash chain; says where one breaks, and then fails."""
    with across_tenants("the operator checks every chain"):
        results = audit_chain.verify()
    breaks = [result.broken for result in results if result.broken]
    if as_json:
        click.echo(json.dumps({"ok": not breaks, "agencies": [dataclasses.asdict(result) for result in results]}))
    else:
        for result in results:
            waiting = f", {result.waiting} not linked yet" if result.waiting else ""
            click.echo(f"{result.agency}: {result.linked} events hold{waiting}.")
    for broken in breaks:
        click.echo(str(broken), err=True)
    if breaks:
        raise SystemExit(1)

"""`flask agency`: makes an agency and its owner without the set-up page."""

import json
import sys

import click
from flask.cli import with_appcontext

from app import runtime
from app.errors import DomainError
from app.services import agencies


@click.group("agency")
def command() -> None:
    """Make agencies."""


@command.command("create")
@click.option("--name", required=True, help="The agency's name, as clients read it.")
@click.option("--owner-email", required=True, help="The address that the owner signs in with.")
@click.option("--owner-name", help="The owner's name; what stands before the @ if left out.")
@click.option("--json", "_as_json", is_flag=True, help="Write JSON, which it does in any case.")
@with_appcontext
def create(name: str, owner_email: str, owner_name: str | None, *, _as_json: bool) -> None:
    """Make an agency; the owner's password is the first line of standard input."""
    try:
        owner = agencies.create(
            name=name,
            owner_name=owner_name or owner_email.partition("@")[0],
            owner_email=owner_email,
            password=_password(),
        )
    except DomainError as error:
        raise click.ClickException(str(error)) from None
    made = {
        "agency": {"id": owner.agency.public_id, "name": owner.agency.name, "slug": owner.agency.slug},
        "owner": {"id": owner.public_id, "email": owner.email},
        "sign_in": f"{runtime.current().config.base_url}/panel/sign-in",
    }
    click.echo(json.dumps(made, ensure_ascii=False))


def _password() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")

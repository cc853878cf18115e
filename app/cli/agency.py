"""`flask agency`: makes an agency and its owner without the set-up page, and lets people back in."""

import json
import sys

import click
from flask.cli import with_appcontext

from app import runtime
from app.errors import DomainError
from app.services import agencies, staff_passwords
from app.services.agencies import NewAgency


@click.group("agency")
def command() -> None:
    """Make agencies, and let their people back in."""


@command.command("create")
@click.option("--name", required=True, help="The agency's name, as clients read it.")
@click.option("--owner-email", required=True, help="The address that the owner signs in with.")
@click.option("--owner-name", help="The owner's name; what stands before the @ if left out.")
@click.option("--json", "_as_json", is_flag=True, help="Write JSON, which it does in any case.")
@with_appcontext
def create(name: str, owner_email: str, owner_name: str | None, *, _as_json: bool) -> None:
    """Make an agency; the owner's password is the first line of standard input."""
    try:
        named = owner_name or owner_email.partition("@")[0]
        owner = agencies.create(NewAgency(name, named, owner_email, _password()))
    except DomainError as error:
        raise click.ClickException(str(error)) from None
    made = {
        "agency": {"id": owner.agency.public_id, "name": owner.agency.name, "slug": owner.agency.slug},
        "owner": {"id": owner.public_id, "email": owner.email},
        "sign_in": f"{runtime.current().config.base_url}/panel/sign-in",
    }
    click.echo(json.dumps(made, ensure_ascii=False))


@command.command("password")
@click.option("--email", required=True, help="The address that the person signs in with.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@with_appcontext
def set_password(email: str, *, as_json: bool) -> None:
    """Set the password of somebody who can't sign in, such as an only owner who forgot theirs.

    The new password is the first line of standard input, at least 12 characters. It ends the person's sessions
    and is written to the agency's audit trail. Doing it twice does no harm; the disabled stay disabled.

    Example: flask agency password --email maya@northwind.example < file
    """
    try:
        person, ended = staff_passwords.reset(email, _password())
    except DomainError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        done = {"staff": {"id": person.public_id, "email": person.email}, "sessions_ended": ended}
        click.echo(json.dumps(done, ensure_ascii=False))
    else:
        click.echo(f"{person.email} signs in with the new password from now on. Sessions ended: {ended}.")


def _password() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")

"""What the processes of the vault's proofs do: read and write what is sealed, and rotate the keys meanwhile."""

import itertools
import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import func, select, update

from app import create_app, runtime
from app.cli.vault import command
from app.config import Config
from app.extensions import db
from app.models import Agency, Connection, OAuthClient, Staff
from app.services import own_clients, rotation, secrets
from app.services.sealed import COLUMNS
from app.tenancy import across_tenants, acting_for
from app.vault import Keyring, open_, store

HOURLY = ("slack", "hubspot", "google-sheets", "zendesk", "typeform", "xero")  # apps whose client's secret is changed


def prepare() -> Flask:
    """The application, as a server has it before it forks; apart from the keys, nothing of it is used yet."""
    app = create_app(Config.from_environ())
    with app.app_context():
        db.engine.dispose()
    return app


def rotate(_app: Flask, *, args: list[str], without: str = "") -> None:
    """`flask vault rotate`, or that without looking whether somebody wrote meanwhile."""
    store.LOOKS = 0.05
    if without == "compare and swap":
        rotation._swap = _overwrite
    command.main(["rotate", "--one-machine", *args], standalone_mode=False)


def _overwrite(connection: Any, column: Any, fresh: Any) -> int:
    table = column.column.class_.__table__
    for each in fresh:
        connection.execute(update(table).where(table.c.id == each["row"]).values({column.column.key: each["new"]}))
    return len(fresh)


def traffic(app: Flask, *, folder: str, name: str, kind: str, without: str = "") -> None:
    """Read or write until a file says stop, and leave behind what came of it."""
    if without:  # it does not follow the folder by itself: what it seals is wrapped by the old key
        store.LOOKS = 10**9
    if without == "new keys":  # what a process holds in memory is all that it knows
        keys = app.extensions["gatehouse"].keys
        keys._found = keys._found._replace(ring=Keyring(keys.keyring.active, keys.keyring.keys))
    chance = random.Random(name)
    tally: dict[str, Any] = {"done": 0, "failed": [], "slowest": 0.0}
    turn = {"read": _reader, "write": _writer}[kind](app, chance, name)
    while not (Path(folder) / "stop").exists():
        began = time.monotonic()
        with app.app_context(), across_tenants("a test's traffic"):
            try:
                turn()
                tally["done"] += 1
            except Exception as error:  # noqa: BLE001 - that nothing fails is what is proved
                tally["failed"].append(f"{type(error).__name__}: {error}")
            finally:
                db.session.remove()
        tally["slowest"] = max(tally["slowest"], time.monotonic() - began)
        with (Path(folder) / f"{name}.turns").open("ab") as turns:
            turns.write(b".")
    made = Path(folder) / f"{name}.{os.getpid()}"
    made.write_text(json.dumps(tally))
    made.rename(Path(folder) / f"{name}.json")


def _reader(_app: Flask, chance: random.Random, _name: str) -> Callable[[], None]:
    """Reveal a credential as a service does, or open a blob of any column; each must be what was put there."""

    def read() -> None:
        if chance.random() < 0.5:
            most = db.session.scalar(select(func.max(Connection.id)))
            connection = db.session.get_one(Connection, chance.randint(1, most))
            found = secrets.reveal(connection)["access_token"].reveal()
            assert found == f"credential {connection.name.split()[-1]}", found
            return
        column = chance.choice(COLUMNS)
        after = chance.randint(0, db.session.scalar(select(func.max(column.id))) - 1)
        row = db.session.execute(column.rows().where(column.id > after).order_by(column.id).limit(1)).one()
        assert open_(runtime.current().keyring, row.blob, column.place(row))

    return read


def _writer(app: Flask, chance: random.Random, name: str) -> Callable[[], None]:
    """Change the secret of a client, and read it back as soon as it is there."""
    numbers = itertools.count(1)
    last: dict[str, str] = {}

    def write() -> None:
        agency, owner = db.session.scalars(select(Agency)).one(), db.session.scalars(select(Staff)).first()
        with acting_for(agency.id):
            app_key = chance.choice(HOURLY)
            if app_key in last:
                _is(last[app_key], own_clients.find(agency, app_key))
            value = f"{name} {next(numbers)}"
            own_clients.configure(agency, app_key, client_id="it", client_secret=value, by=owner)
            last[app_key] = value
            db.session.rollback()
            _is(value, own_clients.find(agency, app_key))

    return write


def _is(value: str, own: OAuthClient | None) -> None:
    assert own is not None
    found = own_clients.secret_of(own)
    assert found is not None
    assert found.reveal() == value, f"{value} was overwritten by {found.reveal()}"

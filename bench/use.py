"""Handing out a valid token inside the service, beside the bare work that it can't do without: reading the row with its secret, writing one row of the audit trail, and the commit.

Both take turns on the same connection, so that what else the machine does hits both alike.
"""

import json
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy

from app import clock
from app.database import new_public_id, transaction
from app.extensions import db
from app.models import AuditEvent, Connection
from app.prepared import Prepared
from app.services import credentials, refresh_rows
from app.services.audit import Actor
from app.tenancy import acting_for
from bench.figure import Figure
from bench.grown import grow
from bench.installed import DATABASES, Client, client, installed
from tests.support.token_endpoint import CLIENT, KEY, TOML

TITLE = "Handing out a valid token"
CONNECTIONS, ROUNDS, WARM = 1000, 1500, 100
URL = "http://127.0.0.1:9"
BY = Actor("system", "make")
FETCH = (
    "SELECT c.public_id, c.health, c.token_at, c.expires_at, s.public_id, s.version, s.blob "
    "FROM connection c JOIN secret s ON s.id = c.secret_id WHERE c.id = ? AND c.agency_id = ?"
)
COLUMNS = "public_id, agency_id, workspace_id, at, type, actor_kind, actor, subject_kind, subject, data"
INSERT = f"INSERT INTO audit_event ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def measure() -> Iterator[Figure]:
    """The median of a use, and of the bare work by the application's own means and by the driver alone, on both databases."""
    for kind, name in DATABASES.items():
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / f"{KEY}.toml").write_text(TOML.format(url=URL))
            with (
                installed(kind, apps_dir=Path(folder), oauth_clients={KEY: CLIENT}) as there,
                client(there.app, "Northwind Studio") as our,
            ):
                ours, bare, driver = _medians(our)
        yield Figure(f"a token handed out, {name}", ours * 1e6, "µs", "Checked, opened, recorded and committed.")
        meaning = "In a transaction of the application's, with statements made once."
        yield Figure(f"bare fetch, insert and commit, {name}", bare * 1e6, "µs", meaning)
        yield Figure(f"the same by the driver alone, {name}", driver * 1e6, "µs", "No session, no tenant, no types.")
        meaning = "What checking and opening it, and whose record it is, add."
        yield Figure(f"a token beside the bare work, {name}", ours / bare, "×", meaning, ceiling=1.5)


def _medians(our: Client) -> list[float]:
    ids = list(grow(our.workspace, URL, CONNECTIONS, due=CONNECTIONS))
    _make_valid(our)
    with acting_for(our.agency.id):
        found = [_Known(each) for each in ids]
        chance = secrets.SystemRandom()
        acts: tuple[Callable[[int], Any], ...] = (
            lambda number: credentials.use(found[number], by=BY),  # type: ignore[arg-type]
            _bare(our, ids),
            _driver(our, ids),
        )
        times: list[list[float]] = [[] for _ in acts]
        for round_ in range(WARM + ROUNDS):
            number = chance.randrange(CONNECTIONS)
            for act, taken in zip(acts, times, strict=True):
                began = time.perf_counter()
                act(number)
                if round_ >= WARM:
                    taken.append(time.perf_counter() - began)
    return [statistics.median(taken) for taken in times]


class _Known:
    """A connection that the caller has at hand: its id is all that is asked of it."""

    def __init__(self, connection_id: int) -> None:
        self.id = connection_id


def _make_valid(our: Client) -> None:
    at = clock.now()
    with db.engine.begin() as connection:
        table: Any = Connection.__table__
        values = {"token_at": at, "expires_at": at.replace(year=at.year + 1), "used_at": at}
        connection.execute(table.update().where(table.c.agency_id == our.agency.id).values(values))


def _bare(our: Client, ids: list[int]) -> Callable[[int], None]:
    """The rows read and written, and nothing made of them."""
    owner = {"agency_id": our.agency.id, "workspace_id": our.workspace.id}
    acted = {"type": "connection.used", "actor_kind": "system", "actor": "make", "subject_kind": "connection"}
    insert = Prepared(sqlalchemy.insert(AuditEvent))

    def act(number: int) -> None:
        with transaction():
            refresh_rows.IN_USE(connection=ids[number]).one()
            insert(**owner, **acted, at=clock.now(), subject=str(number), data={"app": KEY})

    return act


def _driver(our: Client, ids: list[int]) -> Callable[[int], None]:
    """The same by the driver alone."""
    is_sqlite = db.engine.dialect.name == "sqlite"
    raw: Any = db.engine.raw_connection()
    cursor = raw.cursor()
    fetch, insert = (FETCH, INSERT) if is_sqlite else (FETCH.replace("?", "%s"), INSERT.replace("?", "%s"))
    data, asks = json.dumps({"app": KEY}), {} if is_sqlite else {"prepare": True}

    agency_id, workspace_id = our.agency.id, our.workspace.id

    def act(number: int) -> None:
        at: Any = clock.now()
        if is_sqlite:
            cursor.execute("BEGIN IMMEDIATE")
            at = at.isoformat(" ")
        cursor.execute(fetch, (ids[number], agency_id), **asks).fetchall()
        told = ("connection.used", "system", "make", "connection", str(number), data)
        cursor.execute(insert, (new_public_id(), agency_id, workspace_id, at, *told), **asks)
        if is_sqlite:
            cursor.execute("COMMIT")
        else:
            raw.commit()

    return act

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

from app import clock
from app.database import new_public_id
from app.extensions import db
from app.models import Connection
from app.services import credentials
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
FETCH = "SELECT c.*, s.* FROM connection c JOIN secret s ON s.id = c.secret_id WHERE c.id = ? AND c.agency_id = ?"
COLUMNS = "public_id, agency_id, workspace_id, at, type, actor_kind, actor, subject_kind, subject, data"
INSERT = f"INSERT INTO audit_event ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def measure() -> Iterator[Figure]:
    """The median of a use and of its floor, on both databases."""
    for kind, name in DATABASES.items():
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / f"{KEY}.toml").write_text(TOML.format(url=URL))
            with (
                installed(kind, apps_dir=Path(folder), oauth_clients={KEY: CLIENT}) as there,
                client(there.app, "Northwind Studio") as our,
            ):
                ours, bare = _medians(our)
        yield Figure(f"a token handed out, {name}", ours * 1e6, "µs", "Checked, opened, recorded and committed.")
        yield Figure(f"bare fetch, insert and commit, {name}", bare * 1e6, "µs", "The driver alone, the same rows.")
        meaning = "What holding it to its tenant, opening it and the record's own columns add."
        yield Figure(f"a token beside the bare work, {name}", ours / bare, "×", meaning, ceiling=1.5)


def _medians(our: Client) -> tuple[float, float]:
    ids = list(grow(our.workspace, URL, CONNECTIONS, due=CONNECTIONS))
    _make_valid(our)
    with acting_for(our.agency.id):
        found = [_Known(each) for each in ids]
        chance = secrets.SystemRandom()
        bare = _bare(our, ids)
        acts: tuple[Callable[[int], Any], ...] = (
            lambda number: credentials.use(found[number], by=BY),  # type: ignore[arg-type]
            bare,
        )
        times: tuple[list[float], list[float]] = ([], [])
        for round_ in range(WARM + ROUNDS):
            number = chance.randrange(CONNECTIONS)
            for act, taken in zip(acts, times, strict=True):
                began = time.perf_counter()
                act(number)
                if round_ >= WARM:
                    taken.append(time.perf_counter() - began)
    return statistics.median(times[0]), statistics.median(times[1])


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
    """The same by the driver alone."""
    is_sqlite = db.engine.dialect.name == "sqlite"
    raw: Any = db.engine.raw_connection()
    cursor = raw.cursor()
    fetch, insert = (FETCH, INSERT) if is_sqlite else (FETCH.replace("?", "%s"), INSERT.replace("?", "%s"))
    data = json.dumps({"app": KEY})

    def act(number: int) -> None:
        at: Any = clock.now()
        if is_sqlite:
            cursor.execute("BEGIN IMMEDIATE")
            at = at.isoformat(" ")
        cursor.execute(fetch, (ids[number], our.agency.id)).fetchall()
        told = ("connection.used", "system", "make", "connection", str(number), data)
        cursor.execute(insert, (new_public_id(), our.agency.id, our.workspace.id, at, *told))
        if is_sqlite:
            cursor.execute("COMMIT")
        else:
            raw.commit()

    return act

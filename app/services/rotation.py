"""Rotation: a new key takes over, and all that is sealed is wrapped by it, while everything goes on.

A key is readable everywhere before anybody seals with it, written down before it is used, and put away only when nothing
is wrapped by it any more. Whatever is cut off half-way goes on when it is called again.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, bindparam, func, select, update

from app import clock
from app.models import Purpose
from app.services import vault_keys
from app.services.sealed import COLUMNS, SealedColumn
from app.services.vault_keys import writing
from app.vault import Keyring, Keys, KeysUnusable, VaultError, open_, rewrap
from app.vault import keys as files

BATCH = 500  # blobs a transaction
SETTLED = timedelta(minutes=10)  # so long nobody's transaction lasts that sealed with the key before


@dataclass
class Outcome:
    """What a run came to: how many blobs were wrapped anew, and where those are that do not open."""

    rewrapped: int = 0
    broken: set[tuple[str, int]] = field(default_factory=set)


def wrapped_by(connection: Connection) -> Mapping[str, int]:
    """How many blobs each key wraps."""
    found: Counter[str] = Counter()
    for column in COLUMNS:
        key = column.key_id.label("wrapped_by")
        counted = select(key, func.count()).where(column.column.is_not(None)).group_by(key)
        for key_id, count in connection.execute(counted):
            found[bytes(key_id).decode("ascii", "replace")] += count
    return found


# ── Wrapping anew ────────────────────────────────────────────────────────────


def rewrap_all(engine: Engine, keyring: Keyring) -> Outcome:
    """Wrap by the active key what another wraps, in pages; what somebody holds or changes meanwhile, on a later round."""
    outcome, moved = Outcome(), True
    while moved:
        before = outcome.rewrapped
        for column in COLUMNS:
            for rows in _pages(engine, column, keyring.active):
                _rewrap(engine, keyring, column, rows, outcome)
        moved = outcome.rewrapped > before
    return outcome


def _pages(engine: Engine, column: SealedColumn, besides: str = "") -> Iterator[Sequence[Row[Any]]]:
    """A column's blobs in the order of their ids, without those of one key."""
    after = 0
    while True:
        query = column.rows().where(column.id > after, column.key_id != besides.encode())
        with engine.connect() as connection:
            rows = connection.execute(query.order_by(column.id).limit(BATCH)).all()
        if rows:
            yield rows
        if len(rows) < BATCH:
            return
        after = rows[-1].id


def _rewrap(engine: Engine, keyring: Keyring, column: SealedColumn, rows: Sequence[Row[Any]], outcome: Outcome) -> None:
    fresh = []
    for row in rows:
        try:
            fresh.append({"row": row.id, "old": row.blob, "new": rewrap(keyring, row.blob, column.place(row))})
        except (VaultError, KeysUnusable):
            outcome.broken.add((column.name, row.id))
    # point: vault.rewrapping
    if fresh:
        with writing(engine) as connection:
            outcome.rewrapped += _swap(connection, column, fresh)
            # point: vault.rewrapped


def _swap(connection: Connection, column: SealedColumn, fresh: Sequence[Mapping[str, Any]]) -> int:
    """Put the new blobs in place of the old ones, where these still stand and nobody else holds the row."""
    rows = select(column.id).where(column.id.in_([each["row"] for each in fresh]))
    free = set(connection.scalars(rows.with_for_update(skip_locked=True, key_share=True)))
    mine = [each for each in fresh if each["row"] in free]
    if not mine:
        return 0
    table, name = column.column.class_.__table__, column.column.key
    unchanged = (table.c.id == bindparam("row"), table.c[name] == bindparam("old"))
    return connection.execute(update(table).where(*unchanged).values({name: bindparam("new")}), mine).rowcount


# ── Keys ─────────────────────────────────────────────────────────────────────


def is_recent(engine: Engine, *, at: datetime) -> bool:
    """Whether the key in use took over from another within the last hour, so that a second call means the same."""
    with engine.connect() as connection:
        known = [row for row in vault_keys.known_to(connection) if row.purpose is Purpose.VAULT]
    return len(known) > 1 and known[-1].active_from > at - timedelta(hours=1)


def activate(engine: Engine, keys: Keys, waiting: Path) -> None:
    """Have the key of a waiting file seal from now on: it is written down first, so that nobody can miss it unknown."""
    key_id = files.key_id(files.read(waiting))
    with writing(engine) as connection:
        known = vault_keys.known_to(connection)
        if key_id not in vault_keys.needed(known, Purpose.VAULT):
            vault_keys.add(connection, Purpose.VAULT, key_id, known, at=clock.now())
    # point: vault.registered
    files.activate(waiting)
    # point: vault.activated
    keys.learn()


@dataclass(frozen=True)
class Retired:
    """What became of the keys before the one in use: put away; still needed, with how many blobs; or not to be judged yet."""

    away: Sequence[str]
    needed: Mapping[str, int]
    wait_until: datetime | None = None


def retire(engine: Engine, keys: Keys) -> Retired:
    """Put away the keys that wrap nothing any more; they are moved, not destroyed."""
    at, active = clock.now(), keys.keyring.active
    with writing(engine) as connection:
        known = [row for row in vault_keys.known_to(connection) if row.purpose is Purpose.VAULT]
        count = wrapped_by(connection)
        old = [row.key_id for row in known if row.key_id != active and row.retired_at is None]
        since = max(row.active_from for row in known)
        if old and since > at - SETTLED:
            return Retired([], {}, since + SETTLED)
        free = [key_id for key_id in old if not count.get(key_id)]
        vault_keys.retire(connection, free, at=at)
        gone = {row.key_id for row in known if row.retired_at} - {active} | set(free)
    # point: vault.retiring
    for path in files.active_files(keys.folder):
        if (key_id := files.key_id(files.read(path))) in gone and not count.get(key_id):
            files.retire(path)
    keys.learn()
    return Retired(free, {key_id: count[key_id] for key_id in old if count.get(key_id)})


# ── Looking after them ───────────────────────────────────────────────────────


def examine(engine: Engine, keyring: Keyring) -> tuple[int, list[tuple[str, int, str]]]:
    """Open every blob at its place: how many there are, and which do not open, with the key that each names."""
    count, broken = 0, []
    for column in COLUMNS:
        for rows in _pages(engine, column):
            count += len(rows)
            for row in rows:
                try:
                    open_(keyring, row.blob, column.place(row))
                except (VaultError, KeysUnusable):
                    broken.append((column.name, row.id, row.blob[1:9].decode("ascii", "replace")))
    return count, broken

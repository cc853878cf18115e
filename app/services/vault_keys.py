"""Which keys data is sealed and signed with: written down in the database before a key is used, so that it is missed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, inspect, select, update
from sqlalchemy.exc import SQLAlchemyError

from app import clock
from app.database import inserting
from app.models import Agency, AuditEvent, Purpose, VaultKey
from app.services.audit import SYSTEM
from app.vault import Keys

Known = Sequence[Row[Any]]


def learn(engine: Engine, keys: Keys) -> bool:
    """Have a process know which keys the data needs, and write down those that are new here; false if that is not settled.

    An installation that holds nothing gets its first keys; one whose database is away gets none, as it may hold anything.
    """
    try:
        with engine.connect() as connection:
            there = inspect(connection)
            is_ready = there.has_table(VaultKey.__tablename__)
            known = known_to(connection) if is_ready else []
            holds_data = bool(known) or (there.has_table(Agency.__tablename__) and _is_set_up(connection))
        keys.load(may_create=not holds_data)
        if holds_data and not is_ready:
            keys.forget()
            return False
        tell(keys, known)
        if is_ready and not keys.problems:
            _register(engine, keys, known)
    except SQLAlchemyError:
        keys.load()
        keys.forget()
        return False
    return is_ready


def relearn(engine: Engine, keys: Keys) -> None:
    """Learn what other machines have written down since; an error of the database is the caller's."""
    with engine.connect() as connection:
        known = known_to(connection)
    tell(keys, known)
    if not known:
        keys.learn()


def known_to(connection: Connection) -> Known:
    """What the database knows of keys, by purpose and number."""
    return connection.execute(select(*VaultKey.__table__.c).order_by(VaultKey.purpose, VaultKey.number)).all()


def needed(known: Known, purpose: Purpose) -> list[str]:
    """The ids of the keys of a purpose that data depends on, the one in use last."""
    return [row.key_id for row in known if row.purpose is purpose and row.retired_at is None]


def tell(keys: Keys, known: Known) -> None:
    """Have a process know which keys the data needs."""
    live = needed(known, Purpose.VAULT)
    put_away = {row.key_id for row in known if row.purpose is Purpose.VAULT}.difference(live)
    keys.need(live, next(reversed(needed(known, Purpose.SIGNING)), None), put_away)


def _is_set_up(connection: Connection) -> bool:
    return connection.scalar(select(Agency.id).limit(1)) is not None


# ── Writing down ─────────────────────────────────────────────────────────────


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that writes, outside of any session."""
    with engine.connect().execution_options(gatehouse_write=True) as connection, connection.begin():
        yield connection


def _register(engine: Engine, keys: Keys, known: Known) -> None:
    """Write down the keys in use here unless they are known; of two machines that start at once the first one's count."""
    active = keys.keyring.active
    fresh = active not in needed(known, Purpose.VAULT)
    if not fresh and needed(known, Purpose.SIGNING):
        return
    at = clock.now()
    with writing(engine) as connection:
        if fresh:
            add(connection, Purpose.VAULT, active, known, at=at)
        if not needed(known, Purpose.SIGNING):
            add(connection, Purpose.SIGNING, str(keys.signing_id), known, at=at)
        known = known_to(connection)
    tell(keys, known)


def add(connection: Connection, purpose: Purpose, key_id: str, known: Known, *, at: datetime) -> None:
    """Write down a key after those known; if another was written down meanwhile, that one stands."""
    number = max((row.number for row in known if row.purpose is purpose), default=0) + 1
    row = {"purpose": purpose, "number": number, "key_id": key_id, "active_from": at}
    adding = inserting(connection.dialect.name, VaultKey).values(row)
    added = connection.execute(adding.on_conflict_do_nothing())
    if added.rowcount and number > 1:
        _record(connection, f"{purpose.value}_key.activated", key_id, at=at)


def retire(connection: Connection, key_ids: Sequence[str], *, at: datetime) -> None:
    """Write down that nothing is sealed with these keys any more."""
    old = (VaultKey.purpose == Purpose.VAULT, VaultKey.key_id.in_(key_ids), VaultKey.retired_at.is_(None))
    connection.execute(update(VaultKey).where(*old).values(retired_at=at))
    for key_id in key_ids:
        _record(connection, "vault_key.retired", key_id, at=at)


def _record(connection: Connection, act: str, key_id: str, *, at: datetime) -> None:
    """Put it into the audit trail of every agency, since it concerns them all."""
    common = {
        "at": at,
        "type": act,
        "actor_kind": SYSTEM.kind,
        "actor": SYSTEM.name,
        "subject_kind": "agency",
        "data": {"key": key_id},
    }
    agencies = connection.execute(select(Agency.id, Agency.public_id)).all()
    rows = [{**common, "agency_id": agency.id, "subject": agency.public_id} for agency in agencies]
    if rows:
        connection.execute(insert(AuditEvent), rows)

"""Transactions, connections, and the types that tables share."""

import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from flask import Flask
from sqlalchemy import JSON, DateTime, String, event
from sqlalchemy import Enum as SqlEnum
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect, Engine
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.orm import ORMExecuteState, Session, UOWTransaction
from sqlalchemy.types import TypeDecorator

from app import clock
from app.extensions import Base, db
from app.turnstile import Turnstile

if TYPE_CHECKING:
    Model = Base
else:
    Model = db.Model

LOOK_AT_CLOCK, AT_MOST_OFF = 30.0, 1.0  # seconds: how often, and how long it may take to be told the time
WRITES_WAIT = (
    20.0  # seconds: how long a writer on SQLite waits for others of its process, then for those of other processes
)
CHANGED_OUTSIDE = "Rows were changed or locked outside a transaction."
PUBLIC_ID_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # no l, o, 0, 1: people read these aloud
_turnstiles: WeakKeyDictionary[Dialect, Turnstile] = (
    WeakKeyDictionary()
)  # of engines on SQLite, whose pools come and go
_LETTERS = (PUBLIC_ID_ALPHABET * 8).encode()  # what each of the 256 bytes stands for, all as likely


def new_public_id() -> str:
    """A random id for the outside: 20 characters, 100 bits."""
    return secrets.token_bytes(20).translate(_LETTERS).decode("ascii")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware moment in UTC on both databases; a naive one is a mistake and raises."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A moment needs its time zone.")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def enum_column(kind: type[Enum]) -> SqlEnum:
    """A column type that stores an enum's values as text, so that adding one needs no change of type."""
    return SqlEnum(kind, native_enum=False, length=24, values_callable=lambda each: [item.value for item in each])


Base.registry.update_type_annotation_map(
    {datetime: UtcDateTime, dict[str, Any]: JSON, dict[str, str]: JSON, list[str]: JSON, str: String(320)}
)


@contextmanager
def transaction() -> Iterator[Session]:
    """All or nothing: commits at the end, rolls back on any error; an inner one joins the outer.

    What was read before is read anew inside. On SQLite it begins IMMEDIATE, so that it never fails half-way for a lock.
    """
    session = db.session()
    if session.info.get("in_transaction"):
        yield session
        return
    if session.new or session.dirty or session.deleted:
        raise RuntimeError(CHANGED_OUTSIDE)
    if session.in_transaction():
        session.rollback()
    with _turn(session.get_bind().dialect):
        session.info["in_transaction"] = True
        try:
            session.info["connection"] = session.connection(execution_options={"gatehouse_write": True})
            yield session
            # point: transaction.ending
            session.commit()
            # point: transaction.committed
        except BaseException:
            session.rollback()
            raise
        finally:
            session.info.pop("in_transaction", None)
            session.info.pop("connection", None)


def _turn(dialect: Dialect) -> AbstractContextManager[None]:
    """One's turn to write, where one writer at a time is all that the database takes.

    SQLite lets writers look again and again until one happens to find it free: of many, some never do.
    """
    turnstile = _turnstiles.get(dialect)
    return turnstile.turn(patience=WRITES_WAIT) if turnstile else nullcontext()


def lock(row: Base, *names: str) -> None:
    """Wait until nobody else changes the row, then read it anew, or only these columns of it. Within a transaction.

    Of those who would change it at the same moment each sees what the one before has left. Rows that point to it may come
    meanwhile. Name the columns where the row is loaded with others joined to it.
    """
    db.session.refresh(row, names or None, with_for_update={"key_share": True})


def inserting(dialect: str, into: type[Base]) -> Any:
    """An INSERT that can say what happens where the row is there already, as the database of that name writes it."""
    return (sqlite if dialect == "sqlite" else postgresql).insert(into)


def end_reading() -> None:
    """End the transaction in which something was read, before anything is waited for; what was read is read anew after it."""
    db.session.rollback()


def in_transaction() -> bool:
    """Whether a transaction of ours is open here: then nothing may be sent over the network."""
    return bool(db.session().info.get("in_transaction"))


def prepare_sqlite(engine: Engine) -> None:
    """Have every connection of an engine wait for locks, keep a log, and overwrite what is deleted."""
    _turnstiles[engine.dialect] = Turnstile()

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={WRITES_WAIT * 1000:.0f}",
            "secure_delete=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        write = connection.get_execution_options().get("gatehouse_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def prepare_postgres(engine: Engine) -> None:
    """Have a session's reading go without a transaction: at READ COMMITTED, each statement sees its own moment all the same.

    That saves two round trips each time, and a ROLLBACK, at which psycopg forgets every statement that it has prepared.
    """

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        options = connection.get_execution_options()
        reads = options.get("gatehouse_read", False) and not options.get("gatehouse_write")
        driver = connection.connection.driver_connection
        if driver.autocommit is not reads:
            driver.autocommit = reads


def init_database(app: Flask) -> None:
    """Bind the database, with its settings where it is SQLite; `app.tenancy` guards every session."""
    db.init_app(app)
    with app.app_context():
        prepare = prepare_sqlite if db.engine.dialect.name == "sqlite" else prepare_postgres
        prepare(db.engine)
        app.extensions["gatehouse_reading"] = db.engine.execution_options(gatehouse_read=True)


def share_clock(engine: Engine) -> None:
    """Have this process go by the clock of PostgreSQL, which all hosts share; it is looked at again every half minute."""
    if engine.dialect.name == "sqlite":  # its hosts are one
        return

    @event.listens_for(engine, "checkout")
    def looked_at(connection: Any, _record: object, _proxy: object) -> None:
        if clock.shown_ago() < LOOK_AT_CLOCK:
            return
        try:
            before = clock.steady()
            (moment,) = connection.cursor().execute("SELECT clock_timestamp()").fetchone()
            after = clock.steady()
            connection.commit()
        except engine.dialect.loaded_dbapi.Error:
            raise DisconnectionError from None  # the pool tries another
        if after - before < AT_MOST_OFF:
            clock.follow(moment, counted=(before + after) / 2)


def _refuse_outside(session: Session, _context: UOWTransaction, _instances: object) -> None:
    if not session.info.get("in_transaction"):
        raise RuntimeError(CHANGED_OUTSIDE)


def _refuse_statement_outside(state: ORMExecuteState) -> None:
    changes = state.statement.is_dml or getattr(state.statement, "_for_update_arg", None) is not None
    if changes and not state.session.info.get("in_transaction"):
        raise RuntimeError(CHANGED_OUTSIDE)


# Before the tenant is asked for: who forgets both is told of the transaction.
event.listen(Session, "before_flush", _refuse_outside, insert=True)
event.listen(Session, "do_orm_execute", _refuse_statement_outside, insert=True)

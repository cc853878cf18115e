"""Transactions, the tenant guard, and the types that tables share."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

from flask import Flask
from sqlalchemy import JSON, ClauseElement, ColumnElement, DateTime, Dialect, Engine, FromClause, String, event
from sqlalchemy import Enum as SqlEnum
from sqlalchemy.orm import (
    LoaderCriteriaOption,
    Mapped,
    ORMExecuteState,
    Session,
    UOWTransaction,
    mapped_column,
    object_session,
    with_loader_criteria,
)
from sqlalchemy.schema import ForeignKey
from sqlalchemy.sql import visitors
from sqlalchemy.types import TypeDecorator

from app.extensions import Base, db

if TYPE_CHECKING:
    Model = Base
else:
    Model = db.Model

CHANGED_OUTSIDE = "Rows were changed outside a transaction."
PUBLIC_ID_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # no l, o, 0, 1: people read these aloud


def new_public_id() -> str:
    """A random id for the outside: 20 characters, 100 bits."""
    return "".join(secrets.choice(PUBLIC_ID_ALPHABET) for _ in range(20))


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


# ── Tenancy ──────────────────────────────────────────────────────────────────


class OwnedByAgency:
    """A row of one agency: read and written only within that tenant."""

    agency_id: Mapped[int] = mapped_column(ForeignKey("agency.id"), index=True)


class InWorkspace(OwnedByAgency):
    """A row of one client of an agency."""

    workspace_id: Mapped[int] = mapped_column(ForeignKey("workspace.id"), index=True)


class MaybeInWorkspace(OwnedByAgency):
    """A row of one client, or of the agency as a whole."""

    workspace_id: Mapped[int | None] = mapped_column(ForeignKey("workspace.id"), index=True)


class StaffOfAgency(OwnedByAgency):
    """A row about the agency's own people: nothing that a client's page has any business with."""


class ClientOfAgency(OwnedByAgency):
    """The row of a workspace itself, known by its own id."""

    id: Mapped[int] = mapped_column(primary_key=True)


@dataclass(frozen=True)
class Tenant:
    """Whose data may be touched: an agency, or one workspace of it; no agency means every tenant, said on purpose."""

    agency_id: int | None
    workspace_id: int | None = None


class TenantMissing(RuntimeError):
    """Tenant data was touched without saying for whom: a mistake in the code, never a user's."""


@contextmanager
def _within(tenant: Tenant) -> Iterator[None]:
    info = db.session().info
    before = info.get("tenant")
    info["tenant"] = tenant
    try:
        yield
    finally:
        info["tenant"] = before


@contextmanager
def acting_for(agency_id: int, workspace_id: int | None = None) -> Iterator[None]:
    """Confine what follows to one agency, or to one workspace of it."""
    with _within(Tenant(agency_id, workspace_id)):
        yield


@contextmanager
def across_tenants(_reason: str) -> Iterator[None]:
    """Lift the guard for background work and for finding out who somebody is; the reason is for the reader."""
    with _within(Tenant(None)):
        yield


def enter_tenant(agency_id: int, workspace_id: int | None = None) -> None:
    """Confine the rest of this application context to one tenant, as a blueprint's guard does."""
    db.session().info["tenant"] = Tenant(agency_id, workspace_id)


def _guard_statement(state: ORMExecuteState) -> None:
    """Refuse what names tenant data without a tenant, and whatever a filter can't be put on; filter all else."""
    if state.is_column_load or state.is_insert:
        return
    tenant: Tenant | None = state.session.info.get("tenant")
    if tenant is not None and tenant.agency_id is None:
        return
    unfiltered = not state.is_orm_statement or (state.is_executemany and (state.is_update or state.is_delete))
    if (tenant is None or unfiltered) and _names_owned_table(cast("ClauseElement", state.statement)):
        raise TenantMissing(f"No tenant is set for, or can be held in: {state.statement}")
    if tenant is not None:
        state.statement = state.statement.options(*_criteria(tenant))


def _names_owned_table(statement: ClauseElement) -> bool:
    """Whether a table of tenant data is anywhere in a statement: joined, in a subquery, or only in a condition."""
    owned = {mapper.local_table for mapper in Base.registry.mappers if issubclass(mapper.class_, OwnedByAgency)}
    return any(
        element in owned or getattr(element, "table", None) in owned
        for element in visitors.iterate(statement)
        if isinstance(element, FromClause | ColumnElement)
    )


def _criteria(tenant: Tenant) -> list[LoaderCriteriaOption]:
    agency_id, workspace_id = tenant.agency_id, tenant.workspace_id
    options = [with_loader_criteria(OwnedByAgency, lambda owned: owned.agency_id == agency_id, include_aliases=True)]
    if workspace_id is not None:
        options += [
            with_loader_criteria(kind, lambda owned: owned.workspace_id == workspace_id, include_aliases=True)
            for kind in (InWorkspace, MaybeInWorkspace)
        ]
        options += [
            with_loader_criteria(ClientOfAgency, lambda owned: owned.id == workspace_id, include_aliases=True),
            with_loader_criteria(StaffOfAgency, lambda owned: owned.agency_id.is_(None), include_aliases=True),
        ]
    return options


def _guard_loaded(row: OwnedByAgency, *_how: object) -> None:
    """Refuse a row of another agency that comes up by another way than a filtered statement."""
    session = object_session(row)
    tenant: Tenant | None = session.info.get("tenant") if session else None
    agency_id = row.__dict__.get("agency_id")
    if tenant is not None and tenant.agency_id is not None and agency_id not in (None, tenant.agency_id):
        raise TenantMissing(f"{type(row).__name__} belongs to another agency.")


def _guard_flush(session: Session, _context: UOWTransaction, _instances: object) -> None:
    if not session.info.get("in_transaction"):
        raise RuntimeError(CHANGED_OUTSIDE)
    tenant: Tenant | None = session.info.get("tenant")
    for row in [*session.new, *session.dirty, *session.deleted]:
        if not isinstance(row, OwnedByAgency):
            continue
        if tenant is None:
            raise TenantMissing(f"No tenant is set to write {type(row).__name__}.")
        if tenant.agency_id is not None and row.agency_id != tenant.agency_id:
            raise TenantMissing(f"{type(row).__name__} belongs to another agency.")
        workspace_id = getattr(row, "workspace_id", None)
        if None not in (tenant.workspace_id, workspace_id) and workspace_id != tenant.workspace_id:
            raise TenantMissing(f"{type(row).__name__} belongs to another workspace.")


# ── Transactions ─────────────────────────────────────────────────────────────


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
    session.rollback()
    session.info["in_transaction"] = True
    try:
        session.connection(execution_options={"gatehouse_write": True})
        yield session
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.info.pop("in_transaction", None)


def in_transaction() -> bool:
    """Whether a transaction of ours is open here: then nothing may be sent over the network."""
    return bool(db.session().info.get("in_transaction"))


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "busy_timeout=20000",
            "secure_delete=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        write = connection.get_execution_options().get("gatehouse_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def init_database(app: Flask) -> None:
    """Bind the database: pragmas on SQLite, the tenant guard on every session."""
    db.init_app(app)
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            _prepare_sqlite(db.engine)


event.listen(Session, "do_orm_execute", _guard_statement)
event.listen(Session, "before_flush", _guard_flush)
for _event in ("load", "refresh"):
    event.listen(OwnedByAgency, _event, _guard_loaded, propagate=True)

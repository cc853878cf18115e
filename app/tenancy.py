"""Whose data may be touched: the tables of tenants' data, the tenant at hand, and the guard that holds every statement to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ClauseElement, ColumnElement, FromClause, event
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

from app.extensions import Base, db


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
    tenant: Tenant | None = state.session.info.get("tenant")
    if state.is_column_load or (tenant is not None and tenant.agency_id is None):
        return
    if state.is_insert:
        _guard_insert(tenant, state.statement, given=state.parameters)
        return
    unfiltered = not state.is_orm_statement or (state.is_executemany and (state.is_update or state.is_delete))
    if (tenant is None or unfiltered) and names_owned_table(cast("ClauseElement", state.statement)):
        raise TenantMissing(f"No tenant is set for, or can be held in: {state.statement}")
    if state.is_update and moves_rows(state.statement):
        raise TenantMissing(f"Rows would go to another agency: {state.statement}")
    if tenant is not None:
        state.statement = state.statement.options(*_criteria(tenant))


def _guard_insert(tenant: Tenant | None, statement: Any, *, given: Any) -> None:
    """Refuse a row of another tenant, and rows that are taken from a query: nobody can tell beforehand whose those are."""
    if statement.table not in owned_tables():
        return
    named = {column.key: getattr(value, "value", None) for column, value in (statement._values or {}).items()}  # noqa: SLF001
    for row in given if isinstance(given, list | tuple) else [given or {}]:
        whole = named | row
        check_written(tenant, str(statement.table), whole.get("agency_id"), whole.get("workspace_id"))


def names_owned_table(statement: ClauseElement) -> bool:
    """Whether a table of tenant data is anywhere in a statement: joined, in a subquery, or only in a condition."""
    owned = owned_tables()
    return any(
        element in owned or getattr(element, "table", None) in owned
        for element in visitors.iterate(statement)
        if isinstance(element, FromClause | ColumnElement)
    )


def can_be_held(statement: Any) -> bool:
    """Whether the guard's criteria come to stand on all tenant data in a statement: on what it names by its models alone.

    SQLAlchemy puts them on models, and passes over bare tables without a word.
    """
    if statement._propagate_attrs.get("compile_state_plugin") != "orm" or moves_rows(statement):  # noqa: SLF001
        return False
    owned = owned_tables()
    tables = (
        getattr(each, "table", None)
        for each in visitors.iterate(statement)
        if isinstance(each, ColumnElement) and "parententity" not in each._annotations  # noqa: SLF001
    )
    return not any(getattr(table, "element", table) in owned for table in tables)


def moves_rows(statement: Any) -> bool:
    """Whether a statement would give rows to another agency."""
    changed = (statement._values or ()) if statement.is_update else ()  # noqa: SLF001
    return any(getattr(column, "key", column) == "agency_id" for column in changed)


def owned_tables() -> set[FromClause]:
    """The tables of tenant data."""
    return {mapper.local_table for mapper in Base.registry.mappers if issubclass(mapper.class_, OwnedByAgency)}


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
    """Refuse to write rows of another tenant."""
    tenant: Tenant | None = session.info.get("tenant")
    for row in [*session.new, *session.dirty, *session.deleted]:
        if isinstance(row, OwnedByAgency):
            check_written(tenant, type(row).__name__, row.agency_id, getattr(row, "workspace_id", None))


def check_written(tenant: Tenant | None, name: str, agency_id: int | None, workspace_id: int | None) -> None:
    """Refuse to write a row of another tenant than the one at hand."""
    if tenant is None:
        raise TenantMissing(f"No tenant is set to write {name}.")
    if tenant.agency_id is not None and agency_id != tenant.agency_id:
        raise TenantMissing(f"{name} belongs to another agency.")
    if None not in (tenant.workspace_id, workspace_id) and workspace_id != tenant.workspace_id:
        raise TenantMissing(f"{name} belongs to another workspace.")


event.listen(Session, "do_orm_execute", _guard_statement)
event.listen(Session, "before_flush", _guard_flush)
for _event in ("load", "refresh"):
    event.listen(OwnedByAgency, _event, _guard_loaded, propagate=True)

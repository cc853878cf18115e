"""Statements for paths that many people take at once: made, held to the tenant and compiled once, then given to the driver.

PostgreSQL plans them once for each connection, for whatever values: so they are to be of the kind that looks up few rows by an
index, where all values are alike. All other statements it plans by their values. What the ORM does for each statement (building it, putting the guard's criteria on it, finding it in a cache, making
objects) costs several times what the database needs for it.
"""

from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, Dialect, bindparam
from sqlalchemy.orm import LoaderCriteriaOption, Session, with_loader_criteria

from app.database import CHANGED_OUTSIDE
from app.extensions import db
from app.tenancy import (
    ClientOfAgency,
    InWorkspace,
    MaybeInWorkspace,
    OwnedByAgency,
    StaffOfAgency,
    Tenant,
    TenantMissing,
    can_be_held,
    check_written,
    names_owned_table,
    owned_tables,
)

Processor = Callable[[Any], Any] | None
Row = Any  # a named tuple of what a statement selects


class Found:
    """What came of a statement: its rows, by the names of their columns, and how many it changed or found."""

    __slots__ = ("rowcount", "rows")

    def __init__(self, rows: Sequence[Row], rowcount: int) -> None:
        self.rows, self.rowcount = rows, rowcount

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def all(self) -> Sequence[Row]:
        """Return every row."""
        return self.rows

    def one(self) -> Row:
        """Return the one row that there must be."""
        (row,) = self.rows
        return row

    def one_or_none(self) -> Row:
        """Return the row; None if there is none."""
        return self.one() if self.rows else None

    def scalar(self) -> Any:
        """Return the first column of the first row; None if there is none."""
        return self.rows[0][0] if self.rows else None

    def scalars(self) -> "Found":
        """Return the first column of every row."""
        return Found([row[0] for row in self.rows], self.rowcount)


@dataclass(frozen=True)
class _Made:
    """A statement as one driver takes it."""

    sql: str
    binds: tuple[tuple[str, Processor], ...]
    constants: dict[str, Any]  # as the driver takes them
    asks: dict[str, bool]  # of the driver, besides
    row: Any = None  # makes a row of what the driver gives; None where it gives none
    columns: tuple[Processor, ...] = ()  # empty where the driver gives what is wanted

    def execute(self, connection: Connection, values: dict[str, Any]) -> Found:
        given = self.constants | values
        bound = tuple([process(given[name]) if process else given[name] for name, process in self.binds])
        rows, count = self._told(connection, bound) if _is_watched(connection) else self._ran(connection, bound)
        if self.row is None:
            return Found((), count)
        if self.columns:
            pairs = [zip(self.columns, row, strict=True) for row in rows]
            return Found([self.row([read(item) if read else item for read, item in pair]) for pair in pairs], count)
        return Found([self.row(row) for row in rows], count)

    def _told(self, connection: Connection, bound: tuple[Any, ...]) -> tuple[Sequence[Any], int]:
        """Execute it where somebody listens for statements."""
        result = connection.exec_driver_sql(self.sql, bound)
        return (result.fetchall() if self.row else ()), result.rowcount

    def _ran(self, connection: Connection, bound: tuple[Any, ...]) -> tuple[Sequence[Any], int]:
        cursor = connection.connection.cursor()
        try:
            cursor.execute(self.sql, bound, **self.asks)
            rows = cursor.fetchall() if self.row else ()
        except Exception as error:  # noqa: BLE001 - it becomes what every other statement would raise, and ends what is dead
            connection._handle_dbapi_exception(error, self.sql, bound, cursor, None)  # noqa: SLF001
        return rows, cursor.rowcount


def _is_watched(connection: Connection) -> bool:
    return bool(connection.dispatch.before_cursor_execute)


class Prepared:
    """A statement of columns and bound values: no objects come of it.

    The guard's criteria are on it from the beginning, and it needs a tenant like any other.
    """

    def __init__(self, statement: Any) -> None:
        self._statement, self._writes = statement, bool(statement.is_insert)
        self._reads = bool(statement.is_select) and statement._for_update_arg is None  # noqa: SLF001
        self._defaults = _defaults(statement.table) if self._writes else {}
        self._is_owned: bool | None = None
        self._made: dict[tuple[Any, ...], _Made] = {}

    def __call__(self, **values: Any) -> Found:
        """Execute it with these values in the session's transaction; what was changed before is there to be seen."""
        session = db.session()
        tenant = self._tenant(session)
        if self._writes:
            values = self._row(tenant, values)
            held: tuple[Any, ...] = tuple(values)
        elif tenant is None or tenant.agency_id is None:
            held = ()
        else:
            held = (tenant.workspace_id is not None,)
            values |= {"tenant_agency_id": tenant.agency_id, "tenant_workspace_id": tenant.workspace_id}
        connection = session.info.get("connection") or session.connection()
        key = (connection.dialect.name, *held)
        made = self._made.get(key) or self._made.setdefault(key, self._compiled(connection.dialect, held))
        return made.execute(connection, values)

    def many(self, rows: Sequence[dict[str, Any]]) -> None:
        """Insert several rows, which name the same columns, in their order and in one statement."""
        session = db.session()
        tenant = self._tenant(session)
        whole = [self._row(tenant, row) for row in rows]
        values = {f"{name}_{number}": value for number, row in enumerate(whole) for name, value in row.items()}
        connection = session.info.get("connection") or session.connection()
        key = (connection.dialect.name, *values)
        made = self._made.get(key) or self._made.setdefault(key, self._compiled_for(connection.dialect, whole))
        made.execute(connection, values)

    def _tenant(self, session: Session) -> Tenant | None:
        """The tenant at hand, once it is clear that the statement may be executed at all."""
        session.flush()
        tenant: Tenant | None = session.info.get("tenant")
        if self._is_owned is None:
            self._is_owned = self._examined()
        if tenant is None and self._is_owned:
            raise TenantMissing(f"No tenant is set for: {self._statement}")
        if not (self._reads or "in_transaction" in session.info):
            raise RuntimeError(CHANGED_OUTSIDE)
        return tenant

    def _row(self, tenant: Tenant | None, values: dict[str, Any]) -> dict[str, Any]:
        """A row to insert, which is the tenant's, with what the model says of columns that are not given."""
        if self._is_owned:
            name = str(self._statement.table)
            check_written(tenant, name, values.get("agency_id"), values.get("workspace_id"))
        return {name: make() for name, make in self._defaults.items() if name not in values} | values

    def _examined(self) -> bool:
        """Whether it names tenant data; refused where that can't be held to a tenant."""
        if self._writes:
            return self._statement.table in owned_tables()
        is_owned = names_owned_table(self._statement)
        if is_owned and not can_be_held(self._statement):
            raise TenantMissing(f"No tenant can be held in: {self._statement}")
        return is_owned

    def _compiled(self, dialect: Dialect, held: tuple[Any, ...]) -> _Made:
        """Compile it for a database: for these columns of an insert, else for what the tenant is."""
        statement = self._statement
        if self._writes:
            statement = statement if statement._returning else statement.inline()  # noqa: SLF001
        elif held:
            statement = statement.options(*bound_criteria(narrow=held[0]))
        return _made(statement, dialect, column_keys=list(held) if self._writes else None)

    def _compiled_for(self, dialect: Dialect, rows: Sequence[dict[str, Any]]) -> _Made:
        """Compile it for a database and so many rows."""
        types = {name: self._statement.table.c[name].type for name in rows[0]}
        places = [
            {name: bindparam(f"{name}_{number}", type_=kind) for name, kind in types.items()}
            for number in range(len(rows))
        ]
        return _made(self._statement.inline().values(places), dialect)


def _made(statement: Any, dialect: Dialect, *, column_keys: list[str] | None = None) -> _Made:
    kind: Any = type(dialect)
    positional = kind(paramstyle="qmark" if dialect.name == "sqlite" else "format")
    compiled: Any = statement.compile(dialect=positional, column_keys=column_keys)
    types = {name: bind.type.dialect_impl(dialect) for name, bind in compiled.binds.items()}
    processors = {name: impl.bind_processor(dialect) for name, impl in types.items()}
    constants = {name: bind.effective_value for name, bind in compiled.binds.items() if not bind.required}
    for name, value in constants.items():
        process = processors[name]
        constants[name], processors[name] = process(value) if process else value, None
    binds = tuple((name, processors[name]) for name in compiled.positiontup)
    asks = {"prepare": True} if dialect.name == "postgresql" else {}
    if not (statement.is_select or statement._returning):  # noqa: SLF001
        return _Made(str(compiled), binds, constants, asks)
    columns = statement.exported_columns
    reading = tuple(column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns)
    row = namedtuple("Row", columns.keys())  # type: ignore[misc]  # noqa: PYI024 - its fields are those of the statement
    return _Made(str(compiled), binds, constants, asks, row._make, reading if any(reading) else ())


def _defaults(table: Any) -> dict[str, Callable[[], Any]]:
    """What the models say of columns that are not given: for each, what makes its value."""
    return {
        column.key: partial(column.default.arg, None)
        if column.default.is_callable
        else partial(_same, column.default.arg)
        for column in table.columns
        if column.default is not None
    }


def _same(value: Any) -> Any:
    return value


def bound_criteria(*, narrow: bool) -> list[LoaderCriteriaOption]:
    """What `_criteria` puts on a statement, with the tenant as values of the execution; `narrow`: one workspace."""
    rules: list[tuple[type, Callable[[Any], Any]]] = [
        (OwnedByAgency, lambda owned: owned.agency_id == bindparam("tenant_agency_id")),
    ]
    if narrow:
        rules += [
            (InWorkspace, lambda owned: owned.workspace_id == bindparam("tenant_workspace_id")),
            (MaybeInWorkspace, lambda owned: owned.workspace_id == bindparam("tenant_workspace_id")),
            (ClientOfAgency, lambda owned: owned.id == bindparam("tenant_workspace_id")),
            (StaffOfAgency, lambda owned: owned.agency_id.is_(None)),
        ]
    return [with_loader_criteria(kind, rule, include_aliases=True) for kind, rule in rules]

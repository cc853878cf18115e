"""How Alembic reaches the database and the models."""

import logging

from alembic import context
from flask import current_app
from sqlalchemy import Connection

import app.models  # noqa: F401 - so that the metadata is complete
from app.extensions import Base, db
from app.tenancy import across_tenants

logging.getLogger("alembic").setLevel(logging.WARNING)
MANY, FEW = 1_000_000, 100  # rows of a table, and of what a partial index is about
MANY_EACH = {"agency_id": 100_000, "kind": 100_000, "workspace_id": 10_000, "workflow_id": 1_000}


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction(), across_tenants("a migration works on every agency's rows"):
        context.run_migrations()
    if connection.dialect.name == "sqlite":
        _tell_planner(connection)
        connection.commit()


def _tell_planner(connection: Connection) -> None:
    """Say to SQLite that an agency, a workspace and a workflow have many rows, so that it looks things up by what is rarer.

    PostgreSQL finds that out by itself. SQLite guesses, until somebody runs ANALYZE, that any column it compares is as good as
    the next, and every statement of ours compares the agency. Its statistics are a table made for being filled in
    (https://www.sqlite.org/lang_analyze.html, “Manually Adjusting”).
    """
    connection.exec_driver_sql("ANALYZE sqlite_master")  # makes the table, and counts nothing
    indexes = (
        "SELECT tbl_name, name, coalesce(sql LIKE '% WHERE %', 0) AS partial FROM sqlite_master WHERE type = 'index'"
    )
    for table, index, is_partial in connection.exec_driver_sql(indexes).all():
        columns = connection.exec_driver_sql("SELECT name FROM pragma_index_info(?)", (index,)).scalars().all()
        if columns[0] in MANY_EACH:
            first = FEW if is_partial else MANY_EACH[columns[0]]
            told = (MANY, *(max(1, first // 100**place) for place in range(len(columns))))
            connection.exec_driver_sql("DELETE FROM sqlite_stat1 WHERE idx = ?", (index,))
            row = (table, index, " ".join(map(str, told)))
            connection.exec_driver_sql("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", row)


def _run() -> None:
    given = current_app.extensions.get("migration_connection")
    if given is not None:
        _migrate(given)
        return
    with db.engine.connect() as connection:
        _migrate(connection.execution_options(gatehouse_write=True))


_run()

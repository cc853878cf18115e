"""How Alembic reaches the database and the models."""

import logging

from alembic import context
from flask import current_app
from sqlalchemy import Connection

import app.models  # noqa: F401 - so that the metadata is complete
from app.database import across_tenants
from app.extensions import Base, db

logging.getLogger("alembic").setLevel(logging.WARNING)


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


def _run() -> None:
    given = current_app.extensions.get("migration_connection")
    if given is not None:
        _migrate(given)
        return
    with db.engine.connect() as connection:
        _migrate(connection.execution_options(gatehouse_write=True))


_run()

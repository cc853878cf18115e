"""Whether every flow's secret is what the provider issued for its own account."""

from pathlib import Path

from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from app import create_app
from app.extensions import db
from app.models import Connection
from app.services import secrets
from app.tenancy import across_tenants
from bench.flows.provider import token_for
from tests import factories


def count(database: str, instance: Path) -> int:
    """Open the secrets of all connections; says how many hold what was issued for the client whose connection it is."""
    app = create_app(factories.config(instance, factories.driver(database), apps_dir=instance / "apps"))
    try:
        return _count(app)
    finally:
        with app.app_context():
            db.engine.dispose()


def _count(app: Flask) -> int:
    with app.app_context(), across_tenants("the bench looks at all"):
        found = db.session.scalars(select(Connection).options(joinedload(Connection.secret))).all()
        return sum(_is_right(connection) for connection in found)


def _is_right(connection: Connection) -> bool:
    account = f"account-{connection.workspace_id}"  # whose link the visitor opened
    opened = {name: part.reveal() for name, part in secrets.reveal(connection).items()}
    issued = {kind: token_for(account, kind) for kind in ("access", "refresh")}
    return (
        connection.external_id == account
        and opened["access_token"] == issued["access"]
        and opened["refresh_token"] == issued["refresh"]
    )

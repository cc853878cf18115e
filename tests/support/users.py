"""Who uses credentials, in processes of their own (`tests.support.crowd`)."""

import sys
import time
from datetime import timedelta
from typing import Any

from flask import Flask
from sqlalchemy import update

from app import clock
from app.database import transaction
from app.errors import DomainError
from app.extensions import db
from app.models import Connection
from app.services import credentials, freshness
from app.services.audit import SYSTEM
from app.tenancy import across_tenants, acting_for


def use(_app: Flask, payload: tuple[int, int, float]) -> str:
    """Ask for a token, in one of the processes; what was handed out, or the words of the refusal and when they came."""
    agency_id, connection_id, deadline = payload
    module: Any = sys.modules["app.oauth.refresh"]
    module.DEADLINE = deadline
    freshness.PATIENCE = deadline + 5
    began = time.monotonic()
    with acting_for(agency_id):
        try:
            token = credentials.use(db.session.get_one(Connection, connection_id), by=SYSTEM).token
            return token.reveal() if token else ""
        except DomainError as error:
            return f"{type(error).__name__} {time.monotonic() - began:.1f} {error}"


def expire(connection_id: int) -> None:
    """Let its token have ended an hour ago."""
    at = clock.now()
    with across_tenants("a test's setting"), transaction() as session:
        past = {"token_at": at - timedelta(hours=2), "expires_at": at - timedelta(hours=1), "refresh_after": None}
        session.execute(update(Connection).where(Connection.id == connection_id).values(past))

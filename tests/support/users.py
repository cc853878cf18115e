"""Who uses credentials, in processes of their own (`tests.support.crowd`)."""

import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import update

from app import clock
from app.database import transaction
from app.errors import DomainError
from app.extensions import db
from app.models import Connection
from app.oauth.faults import OAuthError
from app.services import credentials, freshness, refreshing
from app.services.audit import SYSTEM
from app.tenancy import across_tenants, acting_for
from tests.support.servers import wait_until


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


def use_late(app: Flask, payload: tuple[tuple[int, int, float], str, str]) -> str:
    """The same, but with a call to the provider that leaves late: the file `gate` appears before it, and it waits until that
    is gone. What the provider then says stands in the file `told`.
    """
    asking, gate, told = payload
    call = refreshing.call

    def late(work: refreshing.Work) -> Any:
        refreshing.call = call
        Path(gate).touch()
        wait_until(lambda: not Path(gate).exists())
        answer = call(work)
        Path(told).write_text(str(answer.code) if isinstance(answer, OAuthError) else "a token")
        return answer

    refreshing.call = late
    return use(app, asking)


def use_once(app: Flask, payload: tuple[tuple[int, int, float], str]) -> str:
    """The same, once a file is there."""
    asking, sign = payload
    wait_until(Path(sign).exists)
    return use(app, asking)


def expire(connection_id: int) -> None:
    """Let its token have ended an hour ago."""
    at = clock.now()
    with across_tenants("a test's setting"), transaction() as session:
        past = {"token_at": at - timedelta(hours=2), "expires_at": at - timedelta(hours=1), "refresh_after": None}
        session.execute(update(Connection).where(Connection.id == connection_id).values(past))

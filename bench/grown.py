"""Fills a workspace with connections that can be refreshed, straight into the tables; some of them due, and needed by a workflow."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from sqlalchemy import func, insert, select, text

from app import clock, runtime
from app.database import new_public_id
from app.extensions import db
from app.models import Connection, Health, OutboxItem, OutboxState, Secret, Slot, Source, Workflow, Workspace
from app.services import lifetimes, refresh_plans, sealed
from app.vault import seal
from tests.support.token_endpoint import KEY, SCOPE

CHUNK = 5000


def grow(workspace: Workspace, url: str, many: int, *, due: int, life: timedelta = timedelta(hours=1)) -> Sequence[int]:
    """So many connections, of which the first `due` have a token that has ended; returns the ids of those."""
    at = clock.now()
    first = {
        model: (db.session.scalar(select(func.max(model.id))) or 0) + 1 for model in (Connection, Secret, Workflow)
    }
    workflow = {
        "id": first[Workflow],
        "public_id": new_public_id(),
        "agency_id": workspace.agency_id,
        "version": 1,
        "workspace_id": workspace.id,
        "name": "New patient intake",
        "created_at": at,
        "published_at": at,
    }
    rows: dict[Any, list[dict[str, Any]]] = {Workflow: [workflow], Secret: [], Connection: [], Slot: [], OutboxItem: []}
    for number in range(many):
        token_at = at - life - timedelta(minutes=1) if number < due else at
        ids = first[Connection] + number, first[Secret] + number
        for model, row in _rows(workspace, url, number, ids, token_at, life, opens=number < due).items():
            rows[model].append(row)
        if number < due:
            rows[Slot].append(_slot(workspace, first[Workflow], number, ids[0]))
    db.session.rollback()
    with db.engine.begin() as connection:
        for model, held in rows.items():
            for start in range(0, len(held), CHUNK):
                connection.execute(insert(model.__table__), held[start : start + CHUNK])
            if db.engine.dialect.name == "postgresql":
                name = model.__tablename__
                connection.execute(
                    text(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM {name}))")
                )
    with db.engine.begin() as connection:
        connection.execute(text("ANALYZE"))
    return [first[Connection] + number for number in range(due)]


def _rows(
    workspace: Workspace,
    url: str,
    number: int,
    ids: tuple[int, int],
    token_at: datetime,
    life: timedelta,
    *,
    opens: bool,
) -> dict[Any, dict[str, Any]]:
    owner = {"agency_id": workspace.agency_id, "workspace_id": workspace.id}
    connection_id, secret_id = new_public_id(), new_public_id()
    place = {"purpose": sealed.CONNECTION, "public_id": secret_id, "owner": connection_id, "version": 1}
    told = {"access_token": f"access.{number}", "refresh_token": f"{number}.0", "token_type": "bearer"}
    blob = b"0" * 400
    if opens:
        where = sealed.credential_place(SimpleNamespace(**owner, **place))
        blob = seal(runtime.current().keyring, json.dumps(told).encode(), where)
    urls = {"authorize": url, "token": f"{url}/token", "refresh": f"{url}/token", "userinfo": f"{url}/me"}
    ends = token_at + life
    due_at = lifetimes.refresh_due(token_at, ends)
    return {
        Secret: {"id": ids[1], **owner, **place, "blob": blob, "sealed_at": token_at},
        Connection: {
            "id": ids[0],
            **owner,
            "public_id": connection_id,
            "app_key": KEY,
            "name": f"account {number}",
            "name_key": f"account {number}",
            "health": Health.ACTIVE,
            "issuer": url,
            "external_id": str(number),
            "account": f"account {number}",
            "oauth_client": f"shared-{KEY}",
            "endpoints": urls,
            "fields": {},
            "kept": {},
            "scopes": [SCOPE],
            "secret_id": ids[1],
            "refreshable": True,
            "granted_at": token_at,
            "token_at": token_at,
            "expires_at": ends,
            "created_at": token_at,
            "updated_at": token_at,
        },
        OutboxItem: {
            "agency_id": workspace.agency_id,
            "kind": refresh_plans.KIND,
            "key": f"{connection_id}:1:0",
            "payload": {"connection": ids[0], "version": 1},
            "state": OutboxState.QUEUED,
            "attempts": 0,
            "fence": 0,
            "due_at": due_at,
            "created_at": token_at,
        },
    }


def _slot(workspace: Workspace, workflow_id: int, number: int, connection_id: int) -> dict[str, Any]:
    owner = {"agency_id": workspace.agency_id, "workspace_id": workspace.id}
    named = {"public_id": new_public_id(), "app_key": KEY, "number": number, "source": Source.CLIENT}
    return {**owner, **named, "workflow_id": workflow_id, "connection_id": connection_id}

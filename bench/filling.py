"""Fills a workspace with as many requests as wanted, as they stand after years of use; straight into the tables."""

import itertools
import secrets
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import func, insert, select, text

from app import clock, runtime
from app.database import new_public_id
from app.extensions import db
from app.models import (
    Bundle,
    Channel,
    Connection,
    ConnectionRequest,
    Health,
    Kind,
    Node,
    OutboxItem,
    OutboxState,
    Recipient,
    Slot,
    Source,
    Status,
    Workflow,
    Workspace,
)

STEPS = (
    ("slack", "send_channel_message"),
    ("hubspot", "create_contact"),
    ("google-sheets", "add_row"),
    ("xero", "create_invoice"),
    ("zendesk", "create_ticket"),
    ("typeform", "new_response"),
)
EACH = 3  # requests to one recipient
ACCOUNTS = 3  # that a client has at an app
NOW = (Status.FULFILLED, Status.PENDING, Status.DECLINED, Status.FULFILLED, Status.QUEUED, Status.PENDING)
BEFORE = (Status.FULFILLED, Status.CANCELLED, Status.REVOKED, Status.FULFILLED, Status.FULFILLED, Status.CANCELLED)
MODELS: tuple[Any, ...] = (Workflow, Connection, Slot, Node, Bundle, ConnectionRequest, OutboxItem, Recipient)
DONE = (Status.FULFILLED,) * len(STEPS)
CHUNK = 10_000
Row = dict[str, Any]


class Filling:
    """Gathers rows for one workspace, and writes them table by table."""

    def __init__(self, workspace: Workspace) -> None:
        self._owner = {"agency_id": workspace.agency_id, "workspace_id": workspace.id}
        self._at = clock.now()
        self._rows: dict[Any, list[Row]] = defaultdict(list)
        last = {model: db.session.scalar(select(func.max(model.id))) or 0 for model in MODELS}
        self._ids = {model: itertools.count(last[model] + 1) for model in MODELS}
        self._first, self._people = last[Workflow], itertools.count(1)
        self._accounts: dict[tuple[str, Health], list[Row]] = defaultdict(list)

    def workflow(self, requests: int, *, now: Sequence[Status] = NOW, each: int = EACH) -> str:
        """One workflow, by its public id, for which so many requests were made: the last for each slot stand, the others are past."""
        named = {"public_id": new_public_id(), "name": "New patient intake", "version": 1}
        workflow = self._add(Workflow, **named, created_at=self._at, published_at=self._at)
        slots = [self._slot(workflow["id"], place) for place in range(len(now))]
        statuses = [*itertools.islice(itertools.cycle(BEFORE), max(0, requests - len(now))), *now]
        wanted = list(zip(statuses, itertools.cycle(slots), strict=False))
        settled = len(wanted) - len(now)
        for start in range(0, len(wanted), each):
            group = wanted[start : start + each]
            self._ask(group, stand=[number >= settled for number in range(start, start + len(group))])
        return str(workflow["public_id"])

    def write(self) -> None:
        """Put all of it into the database at once."""
        db.session.rollback()  # so that what is read next is read anew
        with db.engine.begin() as connection:
            for model in MODELS:
                for start in range(0, len(self._rows[model]), CHUNK):
                    connection.execute(insert(model.__table__), self._rows[model][start : start + CHUNK])
                if connection.dialect.name == "postgresql":
                    name = model.__table__.name
                    sequence, last = (
                        f"pg_get_serial_sequence('{name}', 'id')",
                        f"SELECT coalesce(max(id), 1) FROM {name}",
                    )
                    connection.execute(text(f"SELECT setval({sequence}, ({last}))"))
            if connection.dialect.name == "postgresql":
                connection.execute(text("ANALYZE"))  # as it does by itself, in time
        self._rows.clear()

    def _add(self, model: Any, *, owned: bool = True, **values: Any) -> Row:
        row = {"id": next(self._ids[model]), **(self._owner if owned else {}), **values}
        self._rows[model].append(row)
        return row

    def _slot(self, workflow_id: int, place: int) -> Row:
        (app, action), number = STEPS[place % len(STEPS)], place // len(STEPS)
        values = {"workflow_id": workflow_id, "app_key": app, "number": number, "connection_id": None}
        slot = self._add(Slot, **values, public_id=new_public_id(), source=Source.CLIENT)
        of_node = {"workflow_id": workflow_id, "slot_id": slot["id"], "app_key": app, "action_key": action}
        self._add(Node, **of_node, public_id=new_public_id(), label="", position=place + 1)
        return slot

    def _ask(self, wanted: Sequence[tuple[Status, Row]], *, stand: Sequence[bool]) -> None:
        """Ask one person for all this, in one mail unless nothing was sent."""
        recipient = f"person.{self._first}.{next(self._people)}@harbordental.example"
        is_open = any(
            now and status in (Status.PENDING, Status.DECLINED) for now, (status, _) in zip(stand, wanted, strict=True)
        )
        bundle = (
            self._bundle(recipient, is_open=is_open) if {status for status, _ in wanted} != {Status.QUEUED} else None
        )
        for now, (status, slot) in zip(stand, wanted, strict=True):
            self._request(slot, status, recipient, bundle, now=now)

    def _bundle(self, recipient: str, *, is_open: bool) -> Row:
        sent = self._at - timedelta(days=1 if is_open else 60)
        bundle = self._add(
            Bundle,
            public_id=new_public_id(),
            recipient=recipient,
            channel=Channel.LINK,
            nonce=secrets.token_bytes(16),
            epoch=1,
            token_hash=secrets.token_bytes(32),
            sent_by="Maya Okafor",
            sent_at=sent,
            clock_started_at=sent,
            expires_at=sent + Channel.LINK.lifetime,
            created_at=sent,
            closed_at=None if is_open else sent + timedelta(days=1),
        )
        self._add(Recipient, email=recipient, mailed_at=sent)
        self._mail(bundle, sent)
        return bundle

    def _mail(self, bundle: Row, sent: Any) -> None:
        self._rows[OutboxItem].append(
            {
                "id": next(self._ids[OutboxItem]),
                "agency_id": bundle["agency_id"],
                "kind": "bundle.sent",
                "key": f"{bundle['public_id']}:1",
                "payload": {"bundle": bundle["id"], "epoch": 1},
                "state": OutboxState.DONE,
                "attempts": 0,
                "fence": 1,
                "due_at": sent,
                "created_at": sent,
                "finished_at": sent,
            }
        )

    def _request(self, slot: Row, status: Status, recipient: str, bundle: Row | None, *, now: bool) -> None:
        bundle = None if status is Status.QUEUED else bundle
        sent = bundle["sent_at"] if bundle else None
        connection = self._account(slot, status) if status in (Status.FULFILLED, Status.REVOKED) else None
        if now and connection:
            slot["connection_id"] = connection["id"]
        self._add(
            ConnectionRequest,
            public_id=new_public_id(),
            workflow_id=slot["workflow_id"],
            slot_id=slot["id"],
            bundle_id=bundle["id"] if bundle else None,
            connection_id=connection["id"] if connection else None,
            app_key=slot["app_key"],
            kind=Kind.CONNECT,
            status=status,
            transition=1,
            generation=0,
            recipient=recipient,
            note="Please use the practice's own account.",
            expected_account="",
            sent_scopes=["read", "write"] if sent else None,
            resends=0,
            typed_fields={},
            declined_reason="Only our bookkeeper can do this." if status is Status.DECLINED else "",
            other_account=False,
            created_at=sent or self._at,
            sent_at=sent,
            settled_at=bundle["closed_at"] if bundle else None,
            declined_at=sent if status is Status.DECLINED else None,
        )

    def _account(self, slot: Row, status: Status) -> Row:
        """One of the few accounts that the client has at the app, as they are now or were once."""
        health = Health.REVOKED if status is Status.REVOKED else Health.ACTIVE
        known = self._accounts[slot["app_key"], health]
        if len(known) < ACCOUNTS:
            known.append(self._connection(slot["app_key"], health))
        return known[slot["id"] % len(known)]

    def _connection(self, app: str, health: Health) -> Row:
        key = secrets.token_hex(8)
        return self._add(
            Connection,
            public_id=new_public_id(),
            app_key=app,
            name=f"{app} {key}",
            name_key=f"{app} {key}",
            health=health,
            issuer=f"https://{app}.example",
            external_id=key,
            account=f"{key[:4]}@{app}.example",
            oauth_client=f"shared-{app}",
            fields={},
            kept={},
            scopes=list(runtime.current().catalog.get(app).scopes_for([dict(STEPS)[app]])),
            refreshable=False,
            created_at=self._at,
            updated_at=self._at,
        )

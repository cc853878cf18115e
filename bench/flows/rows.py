"""What must be there before anybody can follow a link: for each flow a client of the agency, with one app to connect."""

from datetime import timedelta

from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import insert

from app import clock, runtime
from app.database import new_public_id, transaction
from app.models import Bundle, Channel, ConnectionRequest, Node, Slot, Source, Status, Workflow, Workspace
from app.services import link_tokens
from app.tenancy import across_tenants
from tests import factories

APP, ACTION = "bench", "add_file"
Links = list[tuple[str, str]]


def make(app: Flask, count: int) -> Links:
    """Migrate the database and fill it; returns the links, each with the account that its visitor will choose."""
    with app.app_context():
        upgrade()
        runtime.current().keys.learn()  # before there is a transaction that seals
        agency = factories.make_agency()
        staff = factories.make_staff(agency)
        with across_tenants("the bench's setting"):
            agency_id, staff_id = agency.id, staff.id
        rows = [_client(number, agency_id, staff_id) for number in range(1, count + 1)]
        with across_tenants("the bench's setting"), transaction() as session:
            for model in (Workspace, Workflow, Slot, Node, Bundle, ConnectionRequest):
                session.execute(insert(model), [row[model] for row in rows])
            return [(f"/l/{_token(row[Bundle])}", f"account-{row[Bundle]['id']}") for row in rows]


def _client(number: int, agency_id: int, staff_id: int) -> dict:
    at, owned = clock.now(), {"agency_id": agency_id, "workspace_id": number}
    recipient = f"client-{number}@client.example"
    nonce, token = link_tokens.draw(epoch=1, recipient=recipient, **owned)
    slot = {"id": number, "workflow_id": number, "app_key": APP, "number": 0, **owned}
    return {
        Workspace: {
            "id": number,
            "agency_id": agency_id,
            "name": f"Client {number}",
            "name_key": f"client {number}",
            "created_at": at,
            "active_at": at,
        },
        Workflow: {"id": number, "name": "New patient intake", "created_at": at, "created_by_id": staff_id, **owned},
        Slot: slot | {"source": Source.CLIENT},
        Node: {"workflow_id": number, "slot_id": number, "app_key": APP, "action_key": ACTION, "position": 1, **owned},
        Bundle: {
            "id": number,
            "public_id": new_public_id(),
            "recipient": recipient,
            "channel": Channel.LINK,
            "nonce": nonce,
            "token_hash": link_tokens.digest(token),
            "sent_by": "Maya Okafor",
            "sent_at": at,
            "clock_started_at": at,
            "expires_at": at + timedelta(days=7),
            "created_at": at,
            **owned,
        },
        ConnectionRequest: {
            "workflow_id": number,
            "slot_id": number,
            "bundle_id": number,
            "app_key": APP,
            "status": Status.PENDING,
            "recipient": recipient,
            "created_by_id": staff_id,
            "created_at": at,
            "sent_at": at,
            "sent_scopes": ["files:read", "files:write"],
            **owned,
        },
    }


def _token(bundle: dict) -> str:
    whose = {name: bundle[name] for name in ("nonce", "agency_id", "workspace_id", "recipient")}
    return link_tokens.make(epoch=1, **whose)

"""Rows for tests: plain functions, each making one thing as simply as it can be."""

import hashlib
import ipaddress
import secrets
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from app import clock
from app.config import Config
from app.database import transaction
from app.extensions import db
from app.models import (
    Agency,
    Bundle,
    Connection,
    ConnectionRequest,
    Health,
    Member,
    PortalSession,
    Role,
    Slot,
    Source,
    Staff,
    StaffSession,
    Status,
    Workflow,
    Workspace,
)
from app.services import connection_requests, nodes, outgoing, passwords, sending, workflows
from app.services.outgoing import Outgoing
from app.tenancy import across_tenants, acting_for

BASE_URL = "http://localhost"
PASSWORD = "a quiet harbour at dawn"
CLIENTS = {
    app: (f"{app}-client", f"{app}-secret")
    for app in ("slack", "hubspot", "google-sheets", "zendesk", "typeform", "xero")
}


def driver(url: str) -> str:
    """A PostgreSQL address as the application wants it."""
    return Config.from_environ({"GATEHOUSE_DATABASE_URL": url}).database_url


def config(instance: Path, database_url: str, **changes: Any) -> Config:
    """Settings for a test: light passwords, loopback allowed, clients for a few apps."""
    settings: dict[str, Any] = {
        "base_url": BASE_URL,
        "instance_path": instance,
        "database_url": database_url,
        "egress_allow": (ipaddress.ip_network("127.0.0.0/8"),),
        "oauth_clients": CLIENTS,
        "argon2_light": True,
    }
    return Config(**(settings | changes))


def read(row: Any) -> Any:
    """The row with all its columns loaded, so that a test may name them in another tenant."""
    with across_tenants("a test's setting"):
        db.session.refresh(row)
    return row


def make_agency(name: str = "Northwind Studio") -> Agency:
    slug = name.lower().replace(" ", "-")
    with across_tenants("a test's setting"), transaction() as session:
        agency = Agency(
            name=name, slug=slug, sender_name=name, support_email=f"help@{slug}.example", created_at=clock.now()
        )
        session.add(agency)
    return agency


def make_staff(agency: Agency, name: str = "Maya Okafor", *, role: Role = Role.OWNER) -> Staff:
    email = f"{name.split(maxsplit=1)[0].lower()}@{agency.slug}.example"
    with across_tenants("a test's setting"), transaction() as session:
        staff = Staff(
            agency_id=agency.id,
            email=email,
            name=name,
            role=role,
            password_hash=passwords.hashed(PASSWORD),
            created_at=clock.now(),
        )
        session.add(staff)
    with across_tenants("a test's setting"):
        assert staff.agency.id == agency.id
    return staff


def make_workspace(agency: Agency, name: str = "Harbor Dental") -> Workspace:
    at = clock.now()
    with across_tenants("a test's setting"), transaction() as session:
        workspace = Workspace(agency_id=agency.id, name=name, created_at=at, active_at=at)
        session.add(workspace)
    return read(workspace)


def make_member(
    workspace: Workspace, email: str = "dana.reyes@harbordental.example", name: str = "Dana Reyes"
) -> Member:
    with across_tenants("a test's setting"), transaction() as session:
        member = Member(
            agency_id=workspace.agency_id, workspace_id=workspace.id, email=email, name=name, created_at=clock.now()
        )
        session.add(member)
    return read(member)


def make_workflow(
    workspace: Workspace, by: Staff, *steps: tuple[str, str], name: str = "New patient intake"
) -> Workflow:
    """A workflow with these nodes (app, action), whose slots the client provides."""
    workflow = workflows.create(workspace, name, by=by)
    for app_key, action in steps:
        nodes.add(workflow, app_key=app_key, action_key=action, by=by)
    with transaction():
        for slot in workflow.slots:
            slot.source = Source.CLIENT
    return workflow


def make_request(
    slot: Slot, by: Staff, *, recipient: str = "priya.nair@harbordental.example", note: str = ""
) -> ConnectionRequest:
    """A queued request."""
    return connection_requests.queue(slot, recipient=recipient, note=note, by=by)


def make_sent(
    workflow: Workflow, by: Staff, *, recipient: str = "priya.nair@harbordental.example"
) -> list[ConnectionRequest]:
    """Requests for all of the workflow's slots, sent."""
    asked = [make_request(slot, by, recipient=recipient) for slot in workflow.slots]
    sending.send(workflow, by=by)
    return asked


def make_connection(workspace: Workspace, app_key: str = "slack", **changes: Any) -> Connection:
    at = clock.now()
    with across_tenants("a test's setting"), transaction() as session:
        values: dict[str, Any] = {
            "agency_id": workspace.agency_id,
            "workspace_id": workspace.id,
            "app_key": app_key,
            "name": f"{app_key} account",
            "health": Health.ACTIVE,
            "issuer": f"https://{app_key}.example",
            "external_id": secrets.token_hex(8),
            "account": f"someone@{app_key}.example",
            "oauth_client": f"shared-{app_key}",
            "scopes": [],
            "created_at": at,
            "updated_at": at,
        }
        connection = Connection(**(values | changes))
        session.add(connection)
    return read(connection)


def signed_in(app: Flask, staff: Staff) -> FlaskClient:
    """A browser that this person is signed in with; nested in a test's own application context."""

    at, session_id = clock.now(), secrets.token_urlsafe(32)
    with across_tenants("a test's setting"), transaction() as session:
        session.add(
            StaffSession(
                agency_id=staff.agency_id,
                staff_id=staff.id,
                id_hash=hashlib.sha256(session_id.encode()).digest(),
                created_at=at,
                seen_at=at,
                expires_at=at + timedelta(hours=12),
            )
        )
    browser = app.test_client()
    browser.set_cookie("gh_staff", session_id)
    return browser


def signed_in_client(
    app: Flask,
    email: str,
    workspace: Workspace | None = None,
    *,
    confined_to: Agency | None = None,
    session_id: str = "",
) -> FlaskClient:
    """A browser that this address is signed in to the portal with: at a workspace, or before one is picked."""
    at, session_id = clock.now(), session_id or secrets.token_urlsafe(32)
    with across_tenants("a test's setting"), transaction() as session:
        session.add(
            PortalSession(
                id_hash=hashlib.sha256(session_id.encode()).digest(),
                email=email,
                agency_id=confined_to.id if confined_to else None,
                workspace_id=workspace.id if workspace else None,
                created_at=at,
                seen_at=at,
                expires_at=at + timedelta(hours=12),
            )
        )
    browser = app.test_client()
    browser.set_cookie("gh_portal", session_id)
    return browser


def outstanding(bundle: Bundle) -> Sequence[ConnectionRequest]:
    """What is still asked with a bundle, in the order that it was asked."""
    pending = select(ConnectionRequest).where(
        ConnectionRequest.bundle_id == bundle.id, ConnectionRequest.status == Status.PENDING
    )
    return db.session.scalars(pending.order_by(ConnectionRequest.created_at, ConnectionRequest.id)).all()


def leaving(bundle: Bundle) -> Outgoing:
    """A bundle as its mail is made of it."""
    with acting_for(bundle.agency_id):
        found = outgoing.read(bundle.id)
    assert found
    return found

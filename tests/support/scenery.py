"""One installation with everything that an address can name, for walks over all routes; two agencies live in it."""

import contextlib
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from flask import Flask, current_app
from flask.testing import FlaskClient
from PIL import Image
from sqlalchemy import select

from app.extensions import db
from app.models import Agency, Health, PortalSession, Role, Staff, Workspace
from app.services import branding, link_tokens, nodes, own_clients, sending
from app.tenancy import across_tenants, acting_for, enter_tenant
from tests import factories
from tests.support.browsing import Browser
from tests.support.forms import cookies_of, csrf_token
from tests.support.rows import Rows, rows_of

STEPS = (("slack", "send_channel_message"), ("slack", "find_user"), ("hubspot", "create_contact"))
RECIPIENT, MEMBER = "priya.nair@harbordental.example", "dana.reyes@harbordental.example"


@dataclass
class Side:
    """One agency: who acts for it, and the names of what it has as addresses carry them."""

    agency_id: int
    slug: str
    people: Mapping[str, int]
    recipient: str
    names: dict[str, str] = field(default_factory=dict)
    session_id: str = field(default_factory=lambda: secrets.token_urlsafe(32))


def build(name: str, *, recipient: str = RECIPIENT) -> Side:
    """An agency with a workspace, a member, a workflow with what is queued, pending and connected, and a client of its own."""
    agency = factories.make_agency(name)
    with acting_for(agency.id):
        owner = factories.make_staff(agency, "Maya Okafor", role=Role.OWNER)
        teammate = factories.make_staff(agency, "Tom Achterberg", role=Role.MEMBER)
        other = factories.make_staff(agency, "Ines Duarte", role=Role.MEMBER)
        people = {"owner": owner.id, "teammate": teammate.id, "other": other.id}
        side = Side(agency.id, agency.slug, people, recipient)
        workspace = factories.make_workspace(agency)
        member = factories.make_member(workspace)
        workflow = factories.make_workflow(workspace, owner, *STEPS)
        nodes.use_separate_account(workflow, workflow.nodes[1].public_id, by=owner)
        held = factories.make_connection(
            workspace, "slack", scopes=["chat:write", "channels:read"], health=Health.ERROR, owner_email=recipient
        )
        pending = factories.make_request(workflow.slots[0], owner, recipient=recipient)
        sending.send(workflow, by=owner)
        queued = factories.make_request(workflow.slots[1], owner, recipient=recipient)
        own = own_clients.configure(agency, "xero", client_id="northwind", client_secret="hush-hush", by=owner)
        branding.save(agency, logo=picture(), by=owner, **_look(agency))
        factories.signed_in_client(current_app, recipient, workspace, session_id=side.session_id)
        latest = select(PortalSession.public_id).order_by(PortalSession.id.desc()).limit(1)
        signed_in = db.session.scalars(latest).one()
        browser = Browser(session_id=side.session_id)
        assert browser.open(pending.bundle).bundle
        side.names = {
            "workspace_id": workspace.public_id,
            "member_id": member.public_id,
            "workflow_id": workflow.public_id,
            "node_id": workflow.nodes[1].public_id,
            "slot_id": workflow.slots[1].public_id,
            "request_id": pending.public_id,
            "queued_id": queued.public_id,
            "person_id": other.public_id,
            "connection_id": held.public_id,
            "bundle_id": pending.bundle.public_id,
            "token": link_tokens.of(pending.bundle),
            "client_key": own.public_id,
            "name": branding.sheet_name(agency.accent),
            "digest": agency.logo_digest or "",
            "agency_slug": agency.slug,
            "session_id": signed_in,
            "button": "nothing",
            "app_key": "xero",
        }
    return side


def _look(agency: Agency) -> dict[str, str]:
    names = ("name", "sender_name", "support_email", "accent", "timezone")
    return {name: getattr(agency, name) for name in names}


def picture() -> bytes:
    """A small logo."""
    file = BytesIO()
    Image.new("RGB", (64, 32), "#0e5a6e").save(file, "PNG")
    return file.getvalue()


# What has the looks of each name and is nobody's.
UNKNOWN = {
    "token": "bm90aGluZw.AAAA",
    "name": "0" * 16,
    "digest": "0" * 64,
    "agency_slug": "nobody",
    "button": "nobodys",
    "app_key": "nothing",
}


def unknown(name: str) -> str:
    return UNKNOWN.get(name, "a" * 20)


class Scenery:
    """The installation, and browsers of those who come to it; `restore` puts everything back as it was, in a file."""

    def __init__(self, app: Flask, database: Path | None) -> None:
        self.app, self._database = app, database
        with app.app_context():
            self.ours, self.theirs = build("Northwind Studio"), build("Southpaw Labs", recipient="zoe@foreign.example")
            db.session.remove()
            db.engine.dispose()
        if database:
            shutil.copy(database, self._copy_of(database))

    @staticmethod
    def _copy_of(database: Path) -> Path:
        return database.with_suffix(".copy")

    def restore(self) -> None:
        """Put everything back; on PostgreSQL, which has no file of ours, tests leave all as it was."""
        if self._database is None:
            return
        with self.app.app_context():
            db.session.remove()
            db.engine.dispose()
        for ending in ("-wal", "-shm"):
            self._database.with_name(self._database.name + ending).unlink(missing_ok=True)
        shutil.copy(self._copy_of(self._database), self._database)

    def staff(self, side: Side, who: str = "owner") -> FlaskClient:
        """A browser that somebody of the agency is signed in with."""
        with self.app.app_context(), across_tenants("a test's setting"):
            return factories.signed_in(self.app, db.session.get_one(Staff, side.people[who]))

    def client(self, side: Side) -> FlaskClient:
        """The browser that opened the agency's link."""
        browser = self.app.test_client()
        browser.set_cookie("gh_intake", side.session_id)
        return browser

    def visitor_of(self, side: Side, email: str = "") -> FlaskClient:
        """A browser in which the agency's client is signed in to the portal, or this member of its workspace."""
        with self.app.app_context(), across_tenants("a test's setting"):
            place = select(Workspace).where(Workspace.public_id == side.names["workspace_id"])
            browser = factories.signed_in_client(
                self.app,
                email or side.recipient,
                db.session.scalars(place).one(),
                confined_to=db.session.get_one(Agency, side.agency_id),
            )
            db.session.remove()
        return browser

    def nobody(self) -> FlaskClient:
        """A browser with cookies of the right form that mean nothing here."""
        browser = self.app.test_client()
        for name in ("gh_staff", "gh_intake", "gh_portal"):
            browser.set_cookie(name, secrets.token_urlsafe(32))
        return browser

    @contextlib.contextmanager
    def acting(self, side: Side) -> Iterator[tuple[Agency, Staff]]:
        """Within the agency, as its owner."""
        with self.app.app_context():
            enter_tenant(side.agency_id)
            yield db.session.get_one(Agency, side.agency_id), db.session.get_one(Staff, side.people["owner"])
            db.session.remove()

    def csrf(self, browser: FlaskClient, path: str) -> str:
        """The token that a form at this address would carry for this browser."""
        return csrf_token(self.app, path, cookies_of(browser))

    def rows(self, side: Side) -> Rows:
        """All that is stored of an agency but who is signed in."""
        with self.app.app_context():
            found = rows_of(db.session.get_one(Agency, side.agency_id))
            db.session.remove()
        return {name: rows for name, rows in found.items() if name not in ("staff_session", "portal_session")}

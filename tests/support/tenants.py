"""Two agencies, a second workspace, a second recipient: everything that may be somebody else's, on one installation."""

import secrets

from flask import Flask
from flask.testing import FlaskClient

from app.catalog import load
from app.extensions import db
from app.models import Role, Staff, Workspace
from app.services import link_tokens, workspaces
from app.tenancy import across_tenants
from tests import factories
from tests.support.browsing import Browser
from tests.support.scenery import MEMBER, RECIPIENT, Scenery, unknown

ROLES = {"owner": Role.OWNER, "admin": Role.ADMIN, "member": Role.MEMBER}
PORTAL = {"portal": RECIPIENT, "portal member": MEMBER}
COVERING = list(load(None).get("slack").scopes)  # so that nothing but the owner speaks against a connection


class Tenants(Scenery):
    """The scenery and, of our agency, `beside` (another workspace) and `next_door` (another recipient), by names as in addresses."""

    def __init__(self, app: Flask) -> None:
        super().__init__(app, None)
        with self.acting(self.ours) as (agency, owner):
            self._people = {
                name: factories.make_staff(agency, f"{name}-twin Lee", role=role).id for name, role in ROLES.items()
            }
            first = workspaces.get(agency, self.ours.names["workspace_id"])
            self.beside = _filled(factories.make_workspace(agency, "Cobalt"), owner, "beside@cobalt-it.example")
            self.next_door = _filled(first, owner, "next.door@harbordental.example")
            spare = factories.make_workflow(first, owner, ("slack", "find_user"), name="Spare")
            self.spare_slot = f"{first.public_id}/workflows/{spare.public_id}/slots/{spare.slots[0].public_id}"
        with self.acting(self.theirs) as (agency, _):
            foreign = factories.make_connection(factories.make_workspace(agency, "Foreign"), scopes=COVERING)
            self.connections = {
                "of another agency": foreign.public_id,
                "of another workspace": self.beside["connection"],
                "of another recipient": self.next_door["connection"],
                "of nobody": unknown("connection"),
            }

    def visitor(self, role: str) -> FlaskClient:
        """A browser of ours, signed in with that role, or of the client who opened our link or is in the portal; a stranger elsewhere."""
        if role == "client":
            browser = self.client(self.ours)
        elif role in PORTAL:
            browser = self.visitor_of(self.ours, PORTAL[role])
        else:
            with self.app.app_context(), across_tenants("a test's setting"):
                browser = factories.signed_in(self.app, db.session.get_one(Staff, self._people[role]))
                db.session.remove()
        for cookie in ("gh_staff", "gh_intake", "gh_portal"):
            if browser.get_cookie(cookie) is None:
                browser.set_cookie(cookie, secrets.token_urlsafe(32))
        return browser

    def everything(self) -> object:
        """All that is stored of both agencies, but for who is signed in."""
        return self.rows(self.ours), self.rows(self.theirs)


def _filled(workspace: Workspace, owner: Staff, recipient: str) -> dict[str, str]:
    """A workflow with what was sent to somebody, and the names of it all."""
    workflow = factories.make_workflow(workspace, owner, ("slack", "find_user"), name=f"For {recipient}"[:60])
    member = factories.make_member(workspace, f"member-{recipient}", "Zoe Beside")
    connection = factories.make_connection(workspace, name=recipient, owner_email=recipient, scopes=COVERING)
    (asked,) = factories.make_sent(workflow, owner, recipient=recipient)
    assert asked.bundle
    assert Browser().open(link_tokens.of(asked.bundle)).bundle
    return {
        "workspace_id": workspace.public_id,
        "member_id": member.public_id,
        "workflow_id": workflow.public_id,
        "node_id": workflow.nodes[0].public_id,
        "slot_id": workflow.slots[0].public_id,
        "request_id": asked.public_id,
        "bundle_id": asked.bundle.public_id,
        "token": link_tokens.of(asked.bundle),
        "connection": connection.public_id,
        "connection_id": connection.public_id,
    }

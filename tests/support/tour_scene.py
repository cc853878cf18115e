"""An agency in every state that the tour cannot come by in a few clicks: what went wrong, what is over, what is empty."""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from flask import Flask
from sqlalchemy import select

from app import clock
from app.database import transaction
from app.extensions import db
from app.models import (
    Bundle,
    Connection,
    ConnectionRequest,
    Health,
    Notice,
    OutboxItem,
    OutboxState,
    PortalCode,
    Revocation,
    Role,
    Source,
    Staff,
    Workspace,
)
from app.oauth.faults import Fault
from app.services import (
    connection_requests,
    fulfilment,
    handovers,
    link_tokens,
    members,
    mending,
    mending_requests,
    nodes,
    revocations,
    scopes,
    sending,
    staff,
    workspaces,
)
from app.services import secrets as vault
from app.services.audit import Actor
from app.tenancy import across_tenants, acting_for
from tests import factories

DANA, LEE, PRIYA = "dana.reyes@harbordental.example", "lee@harbordental.example", "priya.nair@harbordental.example"
INES, NOBODY, OUTSIDE = "ines@harbordental.example", "nobody@harbordental.example", "books@ledger-and-sons.example"
CRM = ["crm.objects.contacts.write"]
STEPS = {
    "slack": "send_channel_message",
    "hubspot": "create_contact",
    "google-sheets": "add_row",
    "zendesk": "create_ticket",
    "calendly": "find_event",
    "typeform": "new_response",
    "mailchimp": "add_subscriber",
    "xero": "create_invoice",
    "google-calendar": "create_event",
    "asana": "create_task",
}


@dataclass
class Scene:
    """Where everything is: addresses below the panel by name, and links of clients."""

    app: Flask
    agency_id: int = 0
    owner_email: str = ""
    pages: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    @contextlib.contextmanager
    def behind(self) -> Iterator[None]:
        """Act where the services do."""
        with self.app.app_context(), acting_for(self.agency_id):
            yield


def make(app: Flask) -> Scene:
    """Fill an empty installation."""
    scene = Scene(app)
    with app.app_context():
        agency = factories.make_agency()
        maya = factories.make_staff(agency)
        scene.owner_email, scene.agency_id = maya.email, agency.id
        with acting_for(agency.id):
            _people(maya)
            harbor = _harbor(scene, maya)
            _clients(scene, maya, harbor)
            _accounts(scene, maya, harbor)
            _archived(scene, maya)
    return scene


def change(row: Any, **values: Any) -> None:
    with transaction():
        for name, value in values.items():
            setattr(row, name, value)


def fail_mail(scene: Scene) -> None:
    """Have the mail to somebody whose address is refused come back, and another wait for a busy server."""
    at = clock.now()
    with scene.behind():
        change(_mail_to(NOBODY), state=OutboxState.DEAD, error="refused", attempts=1, finished_at=at)
        waits = {"attempts": 1, "finished_at": None, "due_at": at + timedelta(hours=1)}
        change(_mail_to(PRIYA), state=OutboxState.RETRY, error="busy", **waits)


def _mail_to(email: str) -> OutboxItem:
    key = select(Bundle.public_id).where(Bundle.recipient == email).scalar_subquery()
    return db.session.scalars(select(OutboxItem).where(OutboxItem.key.startswith(key))).one()


def approve_hand_over(scene: Scene) -> None:
    """Agree to what Ines wants to hand over."""
    with scene.behind():
        found = select(ConnectionRequest).where(ConnectionRequest.hand_over_to == OUTSIDE)
        asked, maya = db.session.scalars(found).one(), db.session.scalars(select(Staff).order_by(Staff.id)).first()
        assert maya is not None
        handovers.approve(maya.agency, asked.public_id, to=OUTSIDE, by=maya)


def end_code(scene: Scene, email: str, **values: Any) -> None:
    """Have the code that somebody was mailed be over."""
    with scene.app.app_context(), across_tenants("the tour"):
        change(db.session.scalars(select(PortalCode).where(PortalCode.email == email)).one(), **values)


def cookie_of(scene: Scene, email: str, workspace: str | None = None) -> str:
    """What a browser brings in which somebody is signed in to the portal: at a workspace, or before one is picked."""
    session_id = secrets.token_urlsafe(32)
    with scene.behind():
        found = select(Workspace).where(Workspace.name == workspace)
        place = db.session.scalars(found).one() if workspace else None
        factories.signed_in_client(scene.app, email, place, session_id=session_id)
    return session_id


def _people(maya: Staff) -> None:
    staff.add(maya.agency, name="Tom Achterberg", email="tom@northwind.example", role=Role.MEMBER, by=maya)
    former, _password = staff.add(
        maya.agency, name="Ben Former", email="ben@northwind.example", role=Role.ADMIN, by=maya
    )
    change(former, disabled_at=clock.now())


def _harbor(scene: Scene, maya: Staff) -> Workspace:
    harbor = factories.make_workspace(maya.agency)
    members.add(harbor, name="Dana Reyes", email=DANA, by=maya)
    members.add(harbor, name="Lee Park", email=LEE, by=maya)
    scene.pages["workspace"] = f"workspaces/{harbor.public_id}"
    empty = factories.make_workflow(harbor, maya, name="Nothing in it yet")
    scene.pages["workflow-empty"] = f"{scene.pages['workspace']}/workflows/{empty.public_id}"
    ready = factories.make_workflow(harbor, maya, ("gmail", "send_email"), name="Ready to go")
    factories.make_request(ready.slots[0], maya, recipient=PRIYA)
    scene.pages["workflow-ready"] = f"{scene.pages['workspace']}/workflows/{ready.public_id}"
    return harbor


def _clients(scene: Scene, maya: Staff, harbor: Workspace) -> None:
    flow = factories.make_workflow(harbor, maya, *STEPS.items(), name="All that may happen")
    scene.pages["workflow-states"] = f"{scene.pages['workspace']}/workflows/{flow.public_id}"
    slots = {slot.app_key: slot for slot in flow.slots}
    to = dict.fromkeys(STEPS, PRIYA) | {
        "hubspot": "expired@harbordental.example",
        "google-sheets": NOBODY,
        "xero": LEE,
        "asana": DANA,
    }
    asked = {
        key: factories.make_request(slot, maya, recipient=to[key], note="Thank you.") for key, slot in slots.items()
    }
    sending.send(flow, by=maya)
    db.session.expire_all()
    scene.links["states"] = link_tokens.of(asked["slack"].bundle)
    _connected(harbor, asked)
    _gone_wrong(scene, maya, asked)
    _unsent(scene, maya, flow, asked)
    change(flow, version=1, published_at=clock.now())


def _fulfil(asked: ConnectionRequest, harbor: Workspace, *, other: bool = False, **values: Any) -> Connection:
    account = f"priya@{asked.app_key}.example"
    held = factories.make_connection(
        harbor, asked.app_key, **{"owner_email": asked.recipient, "account": account, "name": account} | values
    )
    at, by = clock.now(), Actor.client(asked.recipient)
    with transaction():
        vault.keep(held, {"access_token": "a token of the tour"}, at=at)
        fulfilment.fulfil(asked, held, generation=asked.generation, at=at, by=by, other_account=other)
    return held


def _connected(harbor: Workspace, asked: dict[str, ConnectionRequest]) -> None:
    """Another account than expected, one that lacks a permission, one that broke, one that was taken back."""
    at = clock.now()
    _fulfil(asked["calendly"], harbor, other=True, scopes=["scheduled_events:read"], used_at=at, granted_at=at)
    _fulfil(asked["typeform"], harbor, scopes=[])
    mending.mark_broken(_fulfil(asked["mailchimp"], harbor), Fault.GRANT_ENDED, at=at)
    lees = _fulfil(asked["xero"], harbor)
    revocations.revoke(lees, by=Actor.client(LEE))
    change(lees, revocation=Revocation.UNSUPPORTED)
    factories.make_connection(harbor, "hubspot", name="Front desk CRM", owner_email=LEE, scopes=CRM)
    ended = {"health": Health.ERROR, "health_reason": Fault.GRANT_ENDED, "broken_at": at}
    factories.make_connection(harbor, "xero", name="Books of last year", owner_email=LEE, **ended)
    ends = {"owner_email": DANA, "grant_ends_at": at + timedelta(days=5), "granted_at": at}
    factories.make_connection(harbor, "notion", name="Front desk notes", health=Health.PENDING, **ends)


def _gone_wrong(scene: Scene, maya: Staff, asked: dict[str, ConnectionRequest]) -> None:
    at = clock.now()
    connection_requests.decline(asked["slack"], reason="Our IT company runs Slack. Please ask them.")
    change(asked["hubspot"].bundle, expires_at=at - timedelta(days=2))
    change(asked["zendesk"], notice=Notice.UNCONFIGURED)
    handovers.ask(asked["google-calendar"].bundle, asked["google-calendar"].public_id, OUTSIDE)
    handovers.refuse(maya.agency, asked["google-calendar"].public_id, to=OUTSIDE, by=maya)


def _unsent(scene: Scene, maya: Staff, flow: Any, asked: dict[str, ConnectionRequest]) -> None:
    """Cancelled, queued, asked to reconnect, and steps for which nobody was asked."""
    connection_requests.cancel(maya.agency, asked["asana"].public_id, by=maya)
    mailchimp = asked["mailchimp"].connection
    assert mailchimp is not None
    mending_requests.queue(mailchimp, workflow=flow, by=maya)
    for app, action, source in (
        ("notion", "create_page", None),
        ("airtable", "create_record", Source.AGENCY),
        ("twilio", "send_sms", None),
        ("slack", "find_user", Source.CLIENT),
    ):
        node = nodes.add(flow, app_key=app, action_key=action, separate=True, by=maya)
        change(node.slot, source=source)
        if app == "slack":
            factories.make_request(node.slot, maya, recipient=PRIYA, note="For the second Slack.")
    nodes.add(flow, app_key="calendly", action_key="find_event", by=maya)


def _accounts(scene: Scene, maya: Staff, harbor: Workspace) -> None:
    """What one person is asked for with an account in mind, with one that is not theirs to give, and with one that they gave already."""
    apps = ("slack", "hubspot", "google-sheets", "typeform")
    flow = factories.make_workflow(harbor, maya, *((app, STEPS[app]) for app in apps), name="Whose account")
    asked = {slot.app_key: factories.make_request(slot, maya, recipient=INES) for slot in flow.slots}
    change(asked["slack"], expected_account="office@slack.example")
    sending.send(flow, by=maya)
    db.session.expire_all()
    change(asked["hubspot"], notice=Notice.THEIRS)
    account, needed = "ines@typeform.example", list(scopes.required(asked["typeform"]))
    factories.make_connection(harbor, "typeform", owner_email=INES, account=account, scopes=needed)
    scene.links["accounts"] = link_tokens.of(asked["slack"].bundle)


def _archived(scene: Scene, maya: Staff) -> None:
    """A workspace that is archived, with what was asked there; and one with a member of the other."""
    old = factories.make_workspace(maya.agency, "Tannery Row")
    flow = factories.make_workflow(old, maya, ("slack", "send_channel_message"), name="Daily report")
    factories.make_sent(flow, maya, recipient="ops@tannery-row.example")
    workspaces.archive(maya.agency, old.public_id, by=maya)
    scene.pages["workspace-archived"] = f"workspaces/{old.public_id}"
    scene.pages["workflow-archived"] = f"workspaces/{old.public_id}/workflows/{flow.public_id}"
    other = factories.make_workspace(maya.agency, "Bluefin Logistics")
    factories.make_member(other, DANA, "Dana Reyes")

"""What the demo starts with: an agency, its people, its clients and their workflows, in states worth looking at."""

from datetime import timedelta

from flask import Flask

from app import clock
from app.cli import demo_client
from app.database import transaction
from app.models import Connection, Health, Role, Source, Staff, Workflow, Workspace
from app.oauth.faults import Fault
from app.services import (
    agencies,
    connection_requests,
    members,
    mending,
    nodes,
    secrets,
    sending,
    staff,
    workflows,
    workspaces,
)
from app.services.agencies import NewAgency
from app.tenancy import acting_for

AGENCY = "Northwind Studio"
OWNER, OWNER_EMAIL = "Maya Okafor", "maya@northwind.example"
TEAMMATE, TEAMMATE_EMAIL = "Tom Achterberg", "tom@northwind.example"
PASSWORD = "demo demo demo"  # noqa: S105 - printed on the console
PRIYA, DANA = "priya.nair@harbordental.example", "dana.reyes@harbordental.example"
KESTREL = "orders@kestrelcoffee.example"

Step = tuple[str, str, str, str]  # app, action, who is asked ("" for nobody yet), note


def make(sandbox: Flask) -> None:
    """Fill an empty installation; what is connected in it was approved at the sandbox, which has to be served already."""
    owner = agencies.create(
        NewAgency(
            name=AGENCY,
            owner_name=OWNER,
            owner_email=OWNER_EMAIL,
            password=PASSWORD,
            support_email="help@northwind.example",
            sender_address="requests@northwind.example",
        )
    )
    with acting_for(owner.agency_id):
        _look(owner)
        _harbor_dental(owner)
        _bluefin(owner)
        _kestrel(owner, sandbox)
        workspaces.create(owner.agency, "Tannery Row", by=owner)


def introduction(panel: str, sandbox: str) -> str:
    """What the console says once the demo is up."""
    return f"""
Gatehouse's demo is running.

  Panel      {panel}/panel/
             sign in as {OWNER_EMAIL}, password “{PASSWORD}”
  Portal     {panel}/portal/login
             as {KESTREL}, who gave two accounts and may mend or take back what they gave;
             the code comes by mail
  Mail       {panel}/demo/mail   (nothing leaves this machine)
  Sandbox    {sandbox}   (stands in for every app; accounts are made as you type them)

Begin at Workspaces, Harbor Dental, New patient intake: press “Send to client”, then open the mail.
Stop with Ctrl-C; your data stays. “make demo-reset” starts over.
"""


def _look(owner: Staff) -> None:
    with transaction():
        owner.agency.accent = "#a03c17"
        owner.agency.timezone = "Europe/Berlin"
    staff.add(owner.agency, name=TEAMMATE, email=TEAMMATE_EMAIL, role=Role.MEMBER, by=owner)


def _workflow(workspace: Workspace, name: str, steps: tuple[Step, ...], *, by: Staff) -> Workflow:
    """A workflow whose nodes the client provides for; those that name a recipient are in the queue."""
    workflow = workflows.create(workspace, name, by=by)
    for app, action, recipient, note in steps:
        node = nodes.add(workflow, app_key=app, action_key=action, by=by)
        with transaction():
            node.slot.source = Source.CLIENT if recipient else None
        if recipient and len(node.slot.nodes) == 1:
            connection_requests.queue(node.slot, recipient=recipient, note=note, by=by)
    return workflow


def _harbor_dental(owner: Staff) -> None:
    """The one to begin with: three apps queued for somebody new, one for a member, and the rest still open."""
    workspace = workspaces.create(owner.agency, "Harbor Dental", by=owner)
    members.add(workspace, name="Dana Reyes", email=DANA, by=owner)
    steps = (
        ("typeform", "new_response", "", ""),
        (
            "hubspot",
            "create_contact",
            PRIYA,
            "New patients from the form become contacts, so reception sees them at once.",
        ),
        ("hubspot", "create_deal", PRIYA, ""),
        ("google-sheets", "add_row", PRIYA, ""),
        (
            "zendesk",
            "create_ticket",
            PRIYA,
            "When a patient writes through the form, we open a ticket so that nobody is forgotten.",
        ),
        ("slack", "send_channel_message", DANA, "We post a line in your front desk channel for every new patient."),
        ("calendly", "find_event", "", ""),
        ("twilio", "send_sms", "", ""),
    )
    intake = _workflow(workspace, "New patient intake", steps, by=owner)
    _northwind_sms(intake, by=owner)
    _workflow(workspace, "Recall reminders", (("google-calendar", "create_event", "", ""),), by=owner)


def _northwind_sms(workflow: Workflow, *, by: Staff) -> None:
    """The agency's own account of an app that knows API keys alone."""
    at = clock.now()
    slot = next(slot for slot in workflow.slots if slot.app_key == "twilio")
    with transaction() as session:
        connection = Connection(
            agency_id=by.agency_id,
            workspace_id=None,
            app_key="twilio",
            name="Northwind SMS",
            health=Health.ACTIVE,
            issuer="https://api.twilio.com",
            external_id="northwind",
            account=None,
            created_at=at,
            updated_at=at,
        )
        session.add(connection)
        session.flush()
        secrets.keep(connection, {"auth_token": "a token of the demo"}, at=at)
        slot.connection_id, slot.source = connection.id, Source.AGENCY


def _bluefin(owner: Staff) -> None:
    """Asked and waiting."""
    workspace = workspaces.create(owner.agency, "Bluefin Logistics", by=owner)
    steps = (
        ("xero", "create_invoice", "ops@bluefin-logistics.example", "We draft the invoices, you approve them."),
        ("slack", "send_channel_message", "ops@bluefin-logistics.example", ""),
    )
    workflow = _workflow(workspace, "Fleet invoicing", steps, by=owner)
    sending.send(workflow, by=owner)


def _kestrel(owner: Staff, sandbox: Flask) -> None:
    """Published and connected by its client; since then one of the accounts broke, and the other ends soon."""
    workspace = workspaces.create(owner.agency, "Kestrel Coffee", by=owner)
    steps = (
        ("hubspot", "create_deal", KESTREL, "Each order becomes a deal, so that nobody has to type it."),
        ("mailchimp", "add_subscriber", KESTREL, ""),
    )
    workflow = _workflow(workspace, "Wholesale orders", steps, by=owner)
    workflows.publish(workflow, by=owner)
    ending = demo_client.provide(sandbox, workflow, "mailchimp", account=KESTREL)
    broken = demo_client.provide(sandbox, workflow, "hubspot", account=KESTREL)
    demo_client.take_back(sandbox, KESTREL, "hubspot")
    at = clock.now()
    with transaction():
        ending.grant_ends_at = at + timedelta(days=9)
    mending.mark_broken(broken, Fault.GRANT_ENDED, at=at)

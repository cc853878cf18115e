"""A tab that is out of date: whatever it still asks for, its reader is shown how things stand, never an error page (R16)."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from sqlalchemy import update

from app import clock
from app.database import transaction
from app.models import OutboxItem, OutboxState, Role, Source
from app.services import (
    connection_requests,
    fulfilment,
    handovers,
    members,
    nodes,
    own_clients,
    revocations,
    sending,
    staff,
    workspaces,
)
from app.services.audit import SYSTEM
from app.tenancy import across_tenants
from tests import factories
from tests.support.shared_app import *  # noqa: F403

PRIYA, SAM = "priya.nair@harbordental.example", "sam@cobalt-it.example"
STEPS = (("slack", "send_channel_message"), ("slack", "find_user"), ("hubspot", "create_contact"))
HERE = "/panel/workspaces/{workspace}/workflows/{workflow}"


@pytest.fixture
def world(agency, workspace, owner, teammate):
    """A workflow whose first account was asked for, whose second waits in the queue, and people around it."""
    workflow = factories.make_workflow(workspace, owner, *STEPS)
    nodes.use_separate_account(workflow, workflow.nodes[1].public_id, by=owner)
    with transaction():
        for slot in workflow.slots:
            slot.source = Source.CLIENT
    sent = factories.make_request(workflow.slots[0], owner, recipient=PRIYA)
    sending.send(workflow, by=owner)
    queued = factories.make_request(workflow.slots[1], owner, recipient=PRIYA)
    own_clients.configure(agency, "xero", client_id="northwind", client_secret="hush-hush", by=owner)
    member = factories.make_member(workspace)
    return SimpleNamespace(
        agency=agency,
        owner=owner,
        people=teammate,
        space=workspace,
        flow=workflow,
        sent=sent,
        queued=queued,
        free=workflow.slots[2],
        node=workflow.nodes[1],
        someone=member,
        held=factories.make_connection(workspace, "slack", scopes=["chat:write", "channels:read"]),
    )


def settle(world):
    with transaction():
        assert fulfilment.fulfil(world.sent, world.held, generation=world.sent.generation, at=clock.now(), by=SYSTEM)


def cancel(which):
    return lambda world: connection_requests.cancel(world.agency, getattr(world, which).public_id, by=world.owner)


def archive(world):
    workspaces.archive(world.agency, world.space.public_id, by=world.owner)


def lose_node(world):
    nodes.remove(world.flow, world.node.public_id, confirmed=True, by=world.owner)


def lose_free(world):
    nodes.remove(world.flow, world.flow.nodes[2].public_id, confirmed=True, by=world.owner)


def lose_member(world):
    members.remove(world.space, world.someone.public_id, by=world.owner)


def disable(world):
    staff.disable(world.agency, world.people.public_id, by=world.owner)


def enable(world):
    disable(world)
    staff.enable(world.agency, world.people.public_id, by=world.owner)


def demote(world):
    staff.change_role(world.agency, world.people.public_id, role=Role.ADMIN, by=world.owner)


def deliver(world):
    with across_tenants("a test's setting"), transaction() as session:
        session.execute(update(OutboxItem).values(state=OutboxState.DONE))


def revoke(world):
    revocations.revoke(world.held, by=world.owner)


def delete(world):
    revocations.delete(world.agency, world.held.public_id, by=world.owner)


def after_asking(act):
    """What staff did with a hand-over that the client asked for meanwhile."""

    def answered(world):
        handovers.ask(world.sent.bundle, world.sent.public_id, SAM)
        act(world.agency, world.sent.public_id, to=SAM, by=world.owner)

    answered.__name__ = act.__name__
    return answered


def nothing(_world):
    """The same form sent again, after its first answer was lost."""


@dataclass(frozen=True)
class Stale:
    """What a form asks for, and what somebody did since its page was read."""

    endpoint: str
    path: str
    since: Callable[[SimpleNamespace], object]
    page: str = HERE
    data: tuple[tuple[str, str], ...] = ()

    def __str__(self):
        return f"{self.endpoint} after {getattr(self.since, '__name__', 'it was cancelled')}"


REQUEST, SLOT, NODE = "/panel/requests/{sent}", HERE + "/slots/{free}", HERE + "/nodes/{node}"
SPACE, PEOPLE, PERSON = "/panel/workspaces/{workspace}", "/panel/people", "/panel/people/{person}"
CONNECTION, ALL = "/panel/connections/{held}", "/panel/connections"
TO_SAM = (("recipient", SAM),)
CASES = [
    *[Stale("resend_request", f"{REQUEST}/resend", since) for since in (settle, cancel("sent"), archive)],
    *[Stale("cancel_request", f"{REQUEST}/cancel", since) for since in (settle, cancel("sent"), archive)],
    *[Stale("change_recipient", f"{REQUEST}/recipient", since, HERE, TO_SAM) for since in (settle, cancel("sent"))],
    *[
        Stale("change_request", f"{REQUEST}/edit", since, HERE, (("note", "Later"),))
        for since in (nothing, settle, cancel("sent"))
    ],
    *[Stale("request_again", f"{REQUEST}/again", since) for since in (nothing, settle, cancel("sent"), archive)],
    *[Stale("try_mail_again", f"{REQUEST}/try-again", since) for since in (deliver, settle, cancel("sent"))],
    *[Stale("send_requests", f"{HERE}/send", since) for since in (cancel("queued"), archive, lose_node)],
    *[Stale("publish_workflow", f"{HERE}/publish", since) for since in (archive, lose_node)],
    *[Stale("queue_request", f"{SLOT}/request", since, HERE, TO_SAM) for since in (lose_free, archive)],
    *[Stale("set_source", f"{SLOT}/source", since, HERE, (("source", "agency"),)) for since in (lose_free, archive)],
    *[Stale("use_account", f"{SLOT}/account", since, HERE, (("connection", "{held}"),)) for since in (lose_free,)],
    *[Stale("move_node_up", f"{NODE}/up", since, HERE, (("seen_at", "2"),)) for since in (lose_node,)],
    *[Stale("move_node_down", f"{NODE}/down", since, HERE, (("seen_at", "2"),)) for since in (lose_node,)],
    *[Stale("remove_node", f"{NODE}/remove", since, HERE, (("confirmed", "1"),)) for since in (lose_node,)],
    *[Stale("separate_account", f"{NODE}/separate-account", since) for since in (nothing, lose_node)],
    *[Stale("share_account", f"{NODE}/shared-account", since, HERE, (("confirmed", "1"),)) for since in (lose_node,)],
    Stale("add_node", HERE + "/nodes/new/slack", archive, HERE, (("action", "find_user"),)),
    Stale("rename_workflow", HERE + "/rename", archive, HERE, (("name", "Intake"),)),
    Stale("create_workflow", SPACE + "/workflows", archive, SPACE, (("name", "Another"),)),
    Stale("rename_workspace", SPACE + "/rename", archive, SPACE, (("name", "Harbor"),)),
    Stale("archive_workspace", SPACE + "/archive", archive, SPACE),
    Stale("restore_workspace", SPACE + "/restore", nothing, SPACE),
    Stale("add_member", SPACE + "/members", archive, SPACE, (("name", "Zoe"), ("email", "zoe@client.example"))),
    Stale("remove_member", SPACE + "/members/{member}/remove", lose_member, SPACE),
    Stale("create_workspace", "/panel/workspaces", nothing, "/panel/workspaces", (("name", "Harbor Dental"),)),
    Stale("disable_person", PERSON + "/disable", disable, PEOPLE),
    Stale("enable_person", PERSON + "/enable", enable, PEOPLE),
    Stale("change_role", PERSON + "/role", demote, PEOPLE, (("role", "admin"),)),
    Stale("renew_password", PERSON + "/password", disable, PEOPLE),
    Stale(
        "remove_client",
        "/panel/apps/xero/remove",
        lambda world: own_clients.remove(world.agency, "xero", by=world.owner),
        "/panel/apps/xero",
    ),
    Stale(
        "save_client",
        "/panel/apps/xero",
        lambda world: own_clients.remove(world.agency, "xero", by=world.owner),
        "/panel/apps/xero",
        (("client_id", "n"), ("client_secret", "s")),
    ),
    *[
        Stale(endpoint, REQUEST + path, since, "/panel/", (("to", SAM),))
        for endpoint, path in (("approve_hand_over", "/hand-over"), ("refuse_hand_over", "/hand-over/refuse"))
        for since in (after_asking(handovers.approve), after_asking(handovers.refuse), settle, cancel("sent"))
    ],
    *[
        Stale(f"{act}_connection", f"{CONNECTION}/{act}", since, ALL, given)
        for act, given in (("rename", (("name", "Sales"),)), ("refresh", ()), ("revoke", ()), ("delete", ()))
        for since in (revoke, delete)
    ],
    *[Stale("queue_mending", f"{CONNECTION}/ask", since, ALL) for since in (nothing, revoke, delete)],
    Stale("try_notice_again", f"{CONNECTION}/try-mail-again", delete, ALL),
    *[Stale("invite_member", SPACE + "/members/{member}/invite", since, SPACE) for since in (nothing, lose_member)],
    Stale("try_invitation_again", SPACE + "/members/{member}/try-again", lose_member, SPACE),
    Stale("set_up_app", "/panel/apps/xero/set-up", nothing, "/panel/apps/xero"),
]
# What can't be out of date: it says what it wants to be so, whatever was before, or concerns the one who asks alone.
ALWAYS_FRESH = {
    "preview_mail",
    "preview_page",
    "try_branding",
    "add_person",
    "change_password",
    "rename_self",
    "save_branding",
    "save_chosen_password",
    "sign_out",
    "sign_out_everywhere",
    "submit_sign_in",
}


def test_every_form_of_the_panel_is_here(app):
    posts = {
        rule.endpoint.removeprefix("panel.")
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("panel.") and "POST" in rule.methods
    }

    assert {each.endpoint for each in CASES} | ALWAYS_FRESH == posts


@pytest.mark.parametrize(("stale", "htmx"), [(case, number % 3 > 0) for number, case in enumerate(CASES)], ids=str)
def test_a_form_that_is_out_of_date_leads_to_how_things_stand(maya, world, stale, htmx):
    names = {
        "workspace": world.space.public_id,
        "workflow": world.flow.public_id,
        "sent": world.sent.public_id,
        "free": world.free.public_id,
        "node": world.node.public_id,
        "member": world.someone.public_id,
        "person": world.people.public_id,
        "held": world.held.public_id,
    }
    page = stale.page.format(**names)
    given = {name: text.format(**names) for name, text in stale.data}
    before = maya.get(page)
    assert before.status_code == 200
    stale.since(world)
    came = {"HX-Current-URL" if htmx else "Referer": f"http://localhost{page}"}

    answer = maya.post(stale.path.format(**names), given, htmx=htmx, **came)

    assert answer.status_code in (200, 303, 422), answer.text[:500]
    if answer.status_code == 422:
        assert "<form" in answer.text, "a form that says what does not fit"
    to = answer.headers.get("HX-Redirect") or answer.headers.get("Location")
    if to:
        assert maya.get(urlsplit(to).path).status_code == 200
    elif answer.status_code == 200:
        assert answer.text.strip(), "how things stand"


def test_without_a_page_to_go_back_to_it_is_an_error(maya, world):
    disable(world)

    assert maya.post(f"/panel/people/{world.people.public_id}/disable", htmx=True).status_code == 409
    lose_member(world)
    gone = f"/panel/workspaces/{world.space.public_id}/members/{world.someone.public_id}/remove"
    assert maya.post(gone, Referer="https://elsewhere.example/").status_code == 404

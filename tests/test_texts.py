"""The texts that people were promised, letter for letter, on the screens and in the mail where they belong.

Each screen stands with the texts that it must show: an element says exactly this, or, where it is a `Part`, has it in
a longer sentence.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from app.models import Health, Notice, OutboxState, Source
from app.services import connection_requests, fulfilment, own_clients, sending, workflows
from tests import factories
from tests.support import browsing, shared_app
from tests.support.staff_browser import StaffBrowser
from tests.support.stage import PRIYA, Part, Stage

agency, app, config, stranger = shared_app.fixtures
app_on_postgres, app_on_sqlite = shared_app.apps
stub = browsing.stub

DANA = "dana.reyes@harbordental.example"
SLACK, HUBSPOT, ZENDESK = ("slack", "send_channel_message"), ("hubspot", "create_contact"), ("zendesk", "create_ticket")
SHEETS, TWILIO = ("google-sheets", "add_row"), ("twilio", "send_sms")
AGENCY = "Northwind Studio"
NOT_OAUTH = "OAuth provider on this request is not configured for OAuth2."
COUNTED = "apps|clients|connections|days|hours|minutes|people|permissions|recipients|requests|things|workflows"
WRONG_NUMBER = re.compile(rf"\b1 (more )?({COUNTED})\b")


@dataclass(frozen=True)
class Screen:
    """What to look at, and what is to be read there."""

    show: Callable[[Stage], None]
    texts: tuple[str, ...]


SCREENS: dict[str, Screen] = {}


def screen(*texts: str) -> Callable[[Callable[[Stage], None]], Callable[[Stage], None]]:
    """Say what is to be read on the screens that the decorated function looks at."""

    def keep(show: Callable[[Stage], None]) -> Callable[[Stage], None]:
        SCREENS[show.__name__.replace("_", " ")] = Screen(show, texts)
        return show

    return keep


@pytest.fixture
def stage(app, agency, owner, workspace, clock, monkeypatch, stub) -> Stage:
    stage = Stage(app, agency, owner, workspace, clock, monkeypatch, stub, StaffBrowser(app, owner))
    stage.change(agency, name=AGENCY)  # without the number that tells this module's agencies apart
    return stage


# ── The workflow page: nodes and slots ───────────────────────────────────────


@screen("Agency provides the connection", "Client provides the connection")
def a_slot_whose_source_is_not_chosen(stage: Stage) -> None:
    workflow = stage.workflow(SLACK)
    stage.change(workflow.slots[0], source=None)
    stage.look_at(workflow)


@screen(
    Part("client will connect Slack from their portal or through a sign-in link"),
    "Add to client request queue",
    "Client connection requests",
    "Send to client",
    "Use a separate account",
)
def a_slot_that_nobody_was_asked_for(stage: Stage) -> None:
    stage.look_at(stage.workflow(SLACK, ("slack", "find_user")))


@screen("Use existing connection")
def a_slot_for_which_there_is_a_connection_already(stage: Stage) -> None:
    (asked,) = stage.sent(SLACK)
    stage.connect(asked)
    stage.look_at(stage.workflow(SLACK, name="Recall reminders"))


@screen("Select an existing connection", "Search accounts...", "No accounts available")
def the_picker_of_accounts_without_one(stage: Stage) -> None:
    workflow = stage.workflow(SLACK)
    stage.change(workflow.slots[0], source=Source.AGENCY)
    stage.look_at(workflow)
    stage.look(f"{stage.path(workflow)}/slots/{workflow.slots[0].public_id}/account", htmx=True)


@screen("ann@client.example", "Ann@client.example (2)")
def connections_named_after_their_accounts(stage: Stage) -> None:
    (first,) = stage.sent(SLACK)
    stage.authorize(first, "ann@client.example")
    (second,) = stage.sent(SLACK, name="Recall reminders")
    stage.authorize(second, "Ann@client.example")
    workflow = stage.workflow(SLACK, name="Surveys")
    stage.look(f"{stage.path(workflow)}/slots/{workflow.slots[0].public_id}/account", htmx=True)


@screen(Part(NOT_OAUTH))
def a_slot_of_an_app_without_a_client(stage: Stage) -> None:
    stage.look_at(stage.workflow(("zoom", "create_meeting")))


@screen(NOT_OAUTH)
def a_forged_request_for_an_app_that_knows_keys_alone(stage: Stage) -> None:
    workflow = stage.workflow(TWILIO)
    stage.press(f"{stage.path(workflow)}/slots/{workflow.slots[0].public_id}/request", workflow, recipient=PRIYA)


# ── Adding to the queue ──────────────────────────────────────────────────────


@screen(
    "Add Slack request to queue",
    "Queue a connection request for this app. No email is sent until you send the queued requests to the client.",
    "Recipient email",
    "Other",
    "Note to client",
    "Expected account",
    "Requested permissions",
    "Add to queue",
)
def the_dialog_for_a_request(stage: Stage) -> None:
    workflow = stage.workflow(SLACK)
    stage.look(f"{stage.path(workflow)}/slots/{workflow.slots[0].public_id}/request", htmx=True)


@screen(
    Part("connects inside the portal and has 4 hours from when you send to connect"),
    Part("gets a sign-in link and has 7 days from when you send to connect"),
)
def how_a_recipient_would_come_to_their_apps(stage: Stage) -> None:
    factories.make_member(stage.workspace, DANA)
    for address in (DANA, PRIYA):
        stage.look(f"/panel/workspaces/{stage.workspace.public_id}/recipient?recipient={address}", htmx=True)


# ── The panel and its rows ───────────────────────────────────────────────────


@screen("Queued (not yet sent)", "Send it first with Send to client", "Cancel", "Change recipient", "0 of 1 connected")
def a_request_that_waits_in_the_queue(stage: Stage) -> None:
    workflow = stage.workflow(SLACK)
    factories.make_request(workflow.slots[0], stage.owner)
    stage.look_at(workflow)


@screen("Sent requests to client", "1 recipient, 1 request", "2 recipients, 3 requests")
def what_was_sent(stage: Stage) -> None:
    one, three = stage.workflow(SLACK), stage.workflow(SLACK, HUBSPOT, ZENDESK, name="Recall reminders")
    factories.make_request(one.slots[0], stage.owner)
    for slot, address in zip(three.slots, (PRIYA, PRIYA, DANA), strict=True):
        factories.make_request(slot, stage.owner, recipient=address)
    for workflow in (one, three):
        stage.press(f"{stage.path(workflow)}/send", workflow)


@screen(
    "Pending",
    "Resend email (available in 5:00)",
    "Resend email (available in 4:12)",
    "Resend email (3 left)",
    "Resend email (2 left)",
    "Resend email (1 left)",
    "No resends left",
    "Cancel",
)
def a_request_that_is_sent_and_resent(stage: Stage) -> None:
    (asked,) = stage.sent(SLACK)
    stage.look_at(asked.workflow)
    stage.clock.forward(seconds=48)
    stage.look_at(asked.workflow)
    for _ in range(3):
        stage.clock.forward(minutes=5)
        stage.look_at(asked.workflow)
        sending.resend(stage.agency, asked.public_id, by=stage.owner)
    stage.look_at(asked.workflow)


@screen("Link expired", "Resend email (3 left)")
def a_request_whose_link_expired(stage: Stage) -> None:
    (asked,) = stage.sent(SLACK)
    stage.clock.forward(days=6, hours=23)
    stage.maya = StaffBrowser(stage.app, stage.owner)
    stage.clock.forward(hours=1)
    stage.look_at(asked.workflow)


@screen("Declined", Part("“Our IT company runs it.”"))
def a_request_that_was_declined(stage: Stage) -> None:
    (asked,) = stage.sent(SLACK)
    connection_requests.decline(asked, reason="Our IT company runs it.")
    stage.look_at(asked.workflow)


@screen("Cancelled", "Request again", "1 hour ago", "2 hours ago")
def a_request_that_was_cancelled(stage: Stage) -> None:
    (asked,) = stage.sent(SLACK)
    connection_requests.cancel(stage.agency, asked.public_id, by=stage.owner)
    for _ in range(2):
        stage.clock.forward(hours=1)
        stage.look_at(asked.workflow)


@screen("Connected", "Connected as chat@hubspot.example", "1 of 1 connected", "2 of 2 connected")
def requests_that_are_connected(stage: Stage) -> None:
    slack, hubspot = stage.sent(SLACK, HUBSPOT)
    stage.connect(slack, account=None)
    stage.connect(hubspot)
    stage.look_at(slack.workflow)
    (alone,) = stage.sent(SHEETS, name="Surveys")
    stage.connect(alone)
    stage.look_at(alone.workflow)


@screen("Reconnection needed", "Revoked")
def requests_whose_connection_broke(stage: Stage) -> None:
    slack, hubspot = stage.sent(SLACK, HUBSPOT)
    stage.change(stage.connect(slack), health=Health.ERROR)
    gone = stage.connect(hubspot)
    stage.change(gone, health=Health.REVOKED)
    fulfilment.revoke_for(gone, by=stage.owner, at=stage.clock.now)
    stage.look_at(slack.workflow)


@screen(Part("could not be delivered"), "Try again", "Change recipient")
def a_request_whose_mail_did_not_arrive(stage: Stage) -> None:
    (asked,) = stage.sent(SLACK)
    stage.fail_mail(OutboxState.DEAD, "refused")
    stage.look_at(asked.workflow)
    stage.look("/panel/")


@screen(Part("delayed"))
def a_request_whose_mail_is_late(stage: Stage) -> None:
    (asked,) = stage.sent(SLACK)
    stage.fail_mail(OutboxState.RETRY, "unreachable")
    stage.look_at(asked.workflow)


# ── States of a workflow, and what needs attention ───────────────────────────


@screen("Waiting on client (0 of 2 connected)", "Waiting on client (1 of 2 connected)", "Ready", "Paused")
def a_published_workflow(stage: Stage) -> None:
    workflow = stage.workflow(SLACK, HUBSPOT)
    slack, hubspot = (factories.make_request(slot, stage.owner) for slot in workflow.slots)
    workflows.publish(workflow, by=stage.owner)
    stage.look_at(workflow)
    stage.connect(slack)
    stage.look_at(workflow)
    held = stage.connect(hubspot)
    stage.look_at(workflow)
    stage.change(held, health=Health.ERROR)
    stage.look_at(workflow)


@screen("A connection needs to be reauthorized", "2 connections need to be reauthorized")
def the_home_page_with_broken_connections(stage: Stage) -> None:
    for name in ("first", "second"):
        factories.make_connection(stage.workspace, name=name, health=Health.ERROR)
        stage.look("/panel/")


@screen("Set up Slack", "Branding")
def the_page_of_an_app(stage: Stage) -> None:
    stage.look("/panel/apps/slack")


# ── The branded page ─────────────────────────────────────────────────────────


@screen(
    f"Connect an app · {AGENCY}",
    f"{AGENCY} needs you to connect 1 app",
    f"{AGENCY} needs you to connect 2 apps",
    "0 of 1 connected",
    "0 of 2 connected",
    "Apps to connect",
    "Awaiting authorisation",
    "Connect Slack",
    "Connect HubSpot",
    "I can't connect this app",
)
def the_branded_page(stage: Stage) -> None:
    for step, name in ((SLACK, "New patient intake"), (HUBSPOT, "Recall reminders")):
        (asked,) = stage.sent(step, name=name)
        stage.client(asked).look()


@screen("1 of 3 connected", "Connected", "Declined", "Awaiting authorisation", "Grant the rest", "Connect HubSpot")
def the_branded_page_half_way(stage: Stage) -> None:
    slack, hubspot, sheets = stage.sent(SLACK, HUBSPOT, SHEETS)
    stage.connect(slack)
    connection_requests.decline(hubspot, reason="")
    stage.change(sheets, notice=Notice.PARTIAL, granted_scopes=[])
    stage.client(sheets).look()


@screen(
    "Somebody of the client connected this Slack account, and it is theirs: only they can connect it anew. "
    "Use their connection, or choose another account."
)
def the_branded_page_of_staff_with_an_account_of_the_clients(stage: Stage) -> None:
    (slack,) = stage.sent(SLACK)
    stage.change(slack, notice=Notice.THEIRS)
    stage.client(slack).look()


@screen("1 of 1 connected")
def the_branded_page_once_all_is_connected(stage: Stage) -> None:
    (asked,) = stage.sent(SLACK)
    client = stage.client(asked)
    stage.connect(asked)
    client.look()


@screen("Use chat@slack.example")
def an_app_that_was_connected_for_another_workflow(stage: Stage) -> None:
    (first,) = stage.sent(SLACK)
    (second,) = stage.sent(SLACK, name="Recall reminders")
    stage.connect(first)
    stage.client(second).look()


@screen("Continue to Slack")
def the_way_to_the_provider_without_a_script(stage: Stage) -> None:
    (asked,) = stage.sent(SLACK)
    stage.client(asked).press("start", asked, htmx=False)


@screen(Part(NOT_OAUTH))
def an_app_whose_client_was_taken_away(stage: Stage) -> None:
    own_clients.configure(stage.agency, "zoom", client_id="our-client", client_secret="secret", by=stage.owner)
    (asked,) = stage.sent(("zoom", "create_meeting"))
    own_clients.remove(stage.agency, "zoom", by=stage.owner)
    stage.client(asked).press("start", asked)


@screen(
    "This link can't be opened",
    "It may have expired, already been used, or is otherwise invalid. Ask the requester to send you a fresh link.",
)
def a_link_that_does_not_open(stage: Stage) -> None:
    stage.look("/l/nothing")


# ── The e-mail ───────────────────────────────────────────────────────────────


@screen(
    f"Action required: {AGENCY} needs you to connect Slack",
    f"{AGENCY} needs you to connect 1 app",
    Part(f"{AGENCY} never sees your password"),
    Part("uses the provider's own consent screen"),
)
def the_mail_for_one_app(stage: Stage) -> None:
    stage.mail(*stage.sent(SLACK))


@screen(
    f"Action required: {AGENCY} needs you to connect Slack and HubSpot",
    f"Action required: {AGENCY} needs you to connect Slack, HubSpot and 1 more app",
    f"Action required: {AGENCY} needs you to connect Slack, HubSpot and 2 more apps",
    f"{AGENCY} needs you to connect 2 apps",
    f"{AGENCY} needs you to connect 3 apps",
    f"{AGENCY} needs you to connect 4 apps",
)
def the_mail_for_several_apps(stage: Stage) -> None:
    stage.sent(SLACK)
    for step, name in ((HUBSPOT, "Recall reminders"), (ZENDESK, "Surveys"), (SHEETS, "Invoices")):
        stage.mail(*stage.sent(step, name=name))


@screen(Part(f"{AGENCY} never sees your password"), Part("uses the provider's own consent screen"))
def the_mail_to_a_member(stage: Stage) -> None:
    factories.make_member(stage.workspace, DANA)
    stage.mail(*stage.sent(SLACK, to=DANA))


@pytest.mark.parametrize("name", SCREENS)
def test_the_screen_says_it_letter_for_letter(stage: Stage, name: str):
    SCREENS[name].show(stage)

    assert [text for text in SCREENS[name].texts if not stage.seen.has(text)] == []
    assert [text for text in stage.seen.whole if WRONG_NUMBER.search(text)] == []

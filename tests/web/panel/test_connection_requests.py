from datetime import timedelta

import pytest

from app import clock as app_clock
from app.database import transaction
from app.extensions import db
from app.models import AuditEvent, Health, OutboxItem, OutboxState, Source, Status
from app.services import connection_requests, members, oauth_clients, sending, slots, workflows, workspaces
from app.services.audit import SYSTEM
from tests import factories
from tests.support.rows import rows_of
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import StaffBrowser, errors, one, page, toasts
from tests.support.statements import counted

PRIYA, DANA = "priya.nair@harbordental.example", "dana.reyes@harbordental.example"
STEPS = (("slack", "send_channel_message"), ("hubspot", "create_contact"))
NOT_OAUTH = "OAuth provider on this request is not configured for OAuth2."


@pytest.fixture
def workflow(workspace, owner):
    return factories.make_workflow(workspace, owner, *STEPS)


@pytest.fixture
def slot(workflow):
    return workflow.slots[0]


@pytest.fixture
def url(workspace, workflow):
    return f"/panel/workspaces/{workspace.public_id}/workflows/{workflow.public_id}"


@pytest.fixture
def here(url):
    return {"HX-Current-URL": f"http://localhost{url}"}


def words(tag):
    return " ".join(tag.get_text(" ").split())


def group(answer, recipient=PRIYA):
    found = [each for each in page(answer).select(".gh-recipient") if words(one(each, "h3")) == recipient]
    assert len(found) == 1, (recipient, [words(one(each, "h3")) for each in page(answer).select(".gh-recipient")])
    return found[0]


def row(answer, asked):
    return one(page(answer), f"#request-{asked.public_id}")


def label(answer, asked):
    return words(one(row(answer, asked), ".gh-status"))


def preview(answer):
    return words(one(page(answer), "#send-preview"))


def mails(agency):
    kept = db.select(OutboxItem).where(OutboxItem.kind == "bundle.sent", OutboxItem.agency_id == agency.id)
    return db.session.scalars(kept.order_by(OutboxItem.id)).all()


def settle(asked, connection):
    with transaction():
        done = connection_requests.fulfil(asked, connection, generation=asked.generation, at=app_clock.now(), by=SYSTEM)
    assert done


# ── Adding to the queue ──────────────────────────────────────────────────────


def test_the_dialog_says_what_it_does(maya, url, workspace, slot):
    factories.make_member(workspace)
    dialog = page(maya.get(f"{url}/slots/{slot.public_id}/request", htmx=True))

    assert words(one(dialog, "#dialog-title")) == "Add Slack request to queue"
    assert words(one(dialog, "#dialog-text")) == (
        "Queue a connection request for this app. No email is sent until you send the queued requests to the client."
    )
    assert [words(each) for each in dialog.select("label")] == [
        "Recipient email",
        "Note to client optional",
        "Expected account optional",
    ]
    assert words(one(dialog, "#note-count")) == "0 of 256"
    assert one(dialog, "#note")["maxlength"] == "256"
    assert words(one(dialog, "#permissions-title")) == "Requested permissions"
    assert [words(each) for each in dialog.select(".gh-scope")] == [
        "Send messages as the app chat:write",
        "See public channels channels:read",
    ]
    assert words(one(dialog, "button[type=submit]")) == "Add to queue"


def test_the_combobox_lists_the_members_and_other(maya, url, workspace, slot, owner):
    factories.make_member(workspace)
    gone = factories.make_member(workspace, "gone@harbordental.example", "Gone")
    members.remove(workspace, gone.public_id, by=owner)
    dialog = page(maya.get(f"{url}/slots/{slot.public_id}/request", htmx=True))

    field = one(dialog, "#recipient")
    assert (field["role"], field["hx-get"]) == ("combobox", f"/panel/workspaces/{workspace.public_id}/recipient")
    assert words(one(dialog, "#recipient-list-members")) == "Members of Harbor Dental"
    assert [words(each) for each in dialog.select("[data-members] [role=option]")] == [f"Dana Reyes {DANA}"]
    assert words(one(dialog, "#recipient-list-other")) == "Other"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (DANA, f"{DANA} connects inside the portal and has 4 hours from when you send to connect."),
        (f"  {DANA.upper()} ", f"{DANA} connects inside the portal and has 4 hours from when you send to connect."),
        (PRIYA, f"{PRIYA} gets a sign-in link and has 7 days from when you send to connect."),
        ("priya", "Choose a member, or type any address."),
        ("", "Choose a member, or type any address."),
        ("<b>@x.example", "Choose a member, or type any address."),
        ("x" * 5000, "Choose a member, or type any address."),
    ],
)
def test_the_channel_is_told_as_one_types(maya, workspace, typed, said):
    factories.make_member(workspace)
    answer = maya.web.get(
        f"/panel/workspaces/{workspace.public_id}/recipient",
        query_string={"recipient": typed},
        headers={"HX-Request": "true"},
    )

    assert words(page(answer)) == said
    assert "<b>" not in answer.text


def test_queue(maya, url, here, slot, agency):
    given = {"recipient": " Priya.Nair@HarborDental.example ", "note": "So reception sees it.", "expected_account": ""}
    answer = maya.post(f"{url}/slots/{slot.public_id}/request", given, htmx=True, **here)

    assert "Slack is in the queue" in toasts(answer)
    assert "No email is sent until you send it." in toasts(answer)
    asked = connection_requests.live_for(slot)
    assert (asked.recipient, asked.note, asked.status) == (PRIYA, "So reception sees it.", Status.QUEUED)
    assert label(answer, asked) == "Queued (not yet sent)"
    assert mails(agency) == []
    assert "Queued (not yet sent)" in words(one(page(answer), "#node-1"))
    assert f"To be asked of {PRIYA}." in words(one(page(answer), "#node-1"))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("recipient", "", "Write an e-mail address, like name@company.com."),
        ("recipient", "dana@harbordental", "This address has no domain ending. Write it like name@company.com."),
        ("recipient", "dana", "This is not an e-mail address. Write it like name@company.com."),
        ("recipient", "a@x.example\r\nBcc: b@x.example", "This is not an e-mail address."),
        ("recipient", "a@x.example, b@x.example", "This is not an e-mail address."),
        ("note", "x" * 257, "At most 256 characters; this has 257."),
        ("note", "a\u202eb", "This holds a character that can't be shown."),
        ("expected_account", "not a domain", "Write an e-mail address or a domain,"),
        ("expected_account", "x@", "This address has no domain ending."),
        ("expected_account", "-x.example", "Write an e-mail address or a domain,"),
    ],
)
def test_queue_keeps_what_was_typed_beside_its_error(maya, url, here, slot, field, value, said):
    given = {"recipient": PRIYA, "note": "A note & more", "expected_account": "harbordental.example"} | {field: value}
    answer = maya.post(f"{url}/slots/{slot.public_id}/request", given, htmx=True, **here)

    found = errors(answer)
    assert set(found) == {field}
    assert found[field].startswith(said)
    form = page(answer, 422)
    assert one(form, "#recipient").get("value", "") == given["recipient"]
    assert one(form, "#note").get_text().strip() == given["note"]
    assert one(form, "#expected_account").get("value", "") == given["expected_account"]
    assert connection_requests.live_for(slot) is None


def test_two_hundred_and_fifty_six_are_not_too_many(maya, url, here, slot):
    given = {"recipient": PRIYA, "note": "ü" * 256}
    assert maya.post(f"{url}/slots/{slot.public_id}/request", given, htmx=True, **here).status_code == 200
    assert connection_requests.live_for(slot).note == "ü" * 256


@pytest.mark.parametrize("app_key", ["activecampaign", "calendly"])
def test_a_forged_post_for_an_app_that_is_not_eligible_is_refused(maya, url, here, workflow, owner, app_key):
    from app import runtime

    action = runtime.current().catalog.get(app_key).actions[0].key
    added = workflows.add_node(workflow, app_key=app_key, action_key=action, by=owner)
    slots.set_source(added.slot, Source.CLIENT, by=owner)

    answer = maya.post(f"{url}/slots/{added.slot.public_id}/request", {"recipient": PRIYA}, htmx=True, **here)

    assert errors(answer) == {"": NOT_OAUTH}
    assert one(page(answer, 422), "#recipient")["value"] == PRIYA
    assert connection_requests.live_for(added.slot) is None


def test_a_second_request_for_a_slot_shows_how_it_stands(maya, url, here, slot, owner):
    first = factories.make_request(slot, owner)
    answer = maya.post(f"{url}/slots/{slot.public_id}/request", {"recipient": DANA}, htmx=True, **here)

    assert "A request for this account is already in the queue or pending." in toasts(answer)
    assert label(answer, first) == "Queued (not yet sent)"
    assert len(page(answer).select(".gh-request")) == 1


def test_a_note_is_text(maya, url, slot, owner):
    factories.make_request(slot, owner, note="<i>see</i> https://evil.example\n'now'")
    text = maya.get(url).text

    assert "&lt;i&gt;see&lt;/i&gt; https://evil.example" in text
    assert 'href="https://evil' not in text


# ── The panel ────────────────────────────────────────────────────────────────


def test_an_empty_panel_says_what_will_be_there(maya, url):
    answer = maya.get(url)

    assert words(one(page(answer), "#requests-title")) == "Client connection requests"
    assert "No requests yet" in answer.text
    assert preview(answer) == "Nothing is queued."
    assert one(page(answer), "#send-requests")["aria-disabled"] == "true"


def test_requests_are_grouped_by_recipient(maya, url, workspace, workflow, owner):
    factories.make_member(workspace)
    slack = factories.make_request(workflow.slots[0], owner, note="So reception sees it.")
    hubspot = factories.make_request(workflow.slots[1], owner, recipient=DANA)
    answer = maya.get(url)

    assert "0 of 1 connected" in words(group(answer))
    assert "Link, 7 days from when you send" in words(group(answer))
    assert "Portal, 4 hours from when you send" in words(group(answer, DANA))
    assert words(one(row(answer, slack), ".gh-quote")) == "Note “So reception sees it.”"
    assert row(answer, slack) in group(answer).select(".gh-request")
    assert row(answer, hubspot) in group(answer, DANA).select(".gh-request")
    assert preview(answer) == "Sends 2 queued requests to 2 recipients."


def test_the_bar_counts_what_is_connected_and_never_what_is_cancelled(maya, url, workspace, workflow, owner, agency):
    workflows.add_node(workflow, app_key="zendesk", action_key="find_ticket", by=owner)
    workflows.add_node(workflow, app_key="typeform", action_key="new_response", by=owner)
    slack, hubspot, zendesk, typeform = factories.make_sent(workflow, owner)
    settle(slack, factories.make_connection(workspace, "slack", scopes=["chat:write", "channels:read"]))
    connection_requests.decline(hubspot, reason="")
    connection_requests.cancel(agency, typeform.public_id, by=owner)

    bar = one(group(maya.get(url)), "[role=progressbar]")

    assert (bar["aria-valuenow"], bar["aria-valuemax"]) == ("1", "3")
    assert bar["aria-valuetext"] == "1 of 3 connected"
    assert len(bar.select("i")) == 3
    assert zendesk.status is Status.PENDING


@pytest.mark.parametrize(
    ("ago", "said"), [({"days": 1}, "Link, expires in 6 days"), ({"days": 9}, "Link, expired 2 days ago")]
)
def test_the_panel_says_when_the_link_expires(maya, url, workflow, owner, clock, agency, ago, said):
    sent = factories.make_sent(workflow, owner)[0]
    clock.forward(**ago)
    maya = type(maya)(maya.app, owner)

    when = one(group(maya.get(url)), "header time")
    assert said in words(group(maya.get(url)))
    assert when["datetime"] == sent.bundle.expires_at.isoformat(timespec="seconds")
    assert "UTC" in when["title"]
    assert words(one(when, ".visually-hidden")) == f"({when['title']})"


def test_labels_follow_the_status(maya, url, workspace, workflow, owner, agency, clock):
    asked = factories.make_request(workflow.slots[0], owner)
    assert label(maya.get(url), asked) == "Queued (not yet sent)"

    sending.send(workflow, by=owner)
    assert label(maya.get(url), asked) == "Pending"

    connection_requests.decline(asked, reason="Our IT company runs it.")
    answer = maya.get(url)
    assert label(answer, asked) == "Declined"
    assert "Reason “Our IT company runs it.”" in words(row(answer, asked))
    assert "Declined" in words(one(page(answer), "#node-1"))

    held = factories.make_connection(workspace, "slack", scopes=["chat:write", "channels:read"], account=None)
    settle(asked, held)
    assert label(maya.get(url), asked) == "Connected"
    change(held, account="chat@harbordental.example")
    assert label(maya.get(url), asked) == "Connected as chat@harbordental.example"
    change(held, health=Health.ERROR)
    answer = maya.get(url)
    assert label(answer, asked) == "Reconnection needed"
    assert "Ask to reconnect" in words(row(answer, asked))
    change(held, health=Health.REVOKED)
    connection_requests.revoke_for(held, by=owner, at=app_clock.now())
    assert label(maya.get(url), asked) == "Revoked"


def change(row_, **values):
    with transaction():
        for name, value in values.items():
            setattr(row_, name, value)


def test_an_expired_link_is_said_on_row_and_node(maya, url, workflow, owner, clock):
    asked = factories.make_sent(workflow, owner)[0]
    clock.forward(days=7, seconds=1)
    answer = type(maya)(maya.app, owner).get(url)

    assert label(answer, asked) == "Link expired"
    assert f"Asked of {PRIYA}, link expired" in words(one(page(answer), "#node-1"))


def test_a_cancelled_row_goes_once_its_slot_is_asked_for_again(maya, url, here, slot, owner, agency):
    asked = factories.make_request(slot, owner)
    connection_requests.cancel(agency, asked.public_id, by=owner)
    answer = maya.get(url)
    assert label(answer, asked) == "Cancelled"
    assert "connected" not in words(one(group(answer), "header"))
    assert "Not asked yet" in words(one(page(answer), "#node-1"))

    again = maya.post(f"/panel/requests/{asked.public_id}/again", htmx=True, **here)

    assert "Slack is in the queue" in toasts(again)
    assert not page(again).select(f"#request-{asked.public_id}")
    assert label(again, connection_requests.live_for(slot)) == "Queued (not yet sent)"


def test_changed_permissions_are_flagged(maya, url, workflow, owner):
    slack, hubspot = factories.make_sent(workflow, owner)
    assert "Permissions changed since it was sent." not in maya.get(url).text

    workflows.add_node(workflow, app_key="hubspot", action_key="create_deal", by=owner)

    answer = maya.get(url)
    assert "Permissions changed since it was sent." in words(row(answer, hubspot))
    assert "Permissions changed" not in words(row(answer, slack))


def test_what_a_row_tells_beside(maya, url, workflow, owner):
    slack, hubspot = factories.make_sent(workflow, owner)
    change(slack, handed_over_from=DANA, expected_account="harbordental.example")
    change(hubspot, notice="unconfigured")
    answer = maya.get(url)

    assert f"Handed over by {DANA}" in words(row(answer, slack))
    assert "Expects harbordental.example" in words(row(answer, slack))
    assert one(row(answer, hubspot), ".gh-flag a")["href"] == "/panel/apps/hubspot"


def test_more_than_a_page_of_recipients_is_paged(maya, url, here, workspace, owner):
    workflow = workflows.create(workspace, "Many", by=owner)
    for _ in range(27):
        workflows.add_node(workflow, app_key="slack", action_key=STEPS[0][1], separate=True, by=owner)
    for number, each in enumerate(workflow.slots):
        slots.set_source(each, Source.CLIENT, by=owner)
        factories.make_request(each, owner, recipient=f"person{number:02}@x.example")
    sending.send(workflow, by=owner)
    address = f"/panel/workspaces/{workspace.public_id}/workflows/{workflow.public_id}"

    def listed(answer):
        return [words(each) for each in page(answer).select(".gh-recipient h3")]

    first = maya.get(address)
    assert listed(first) == [f"person{number:02}@x.example" for number in range(26, 1, -1)]
    older = one(page(first), "#connection-requests a[rel=next]")["href"]
    second = maya.get(older)
    assert listed(second) == ["person01@x.example", "person00@x.example"]
    assert one(page(second), "#workflow")["hx-get"] == older
    newer = one(page(second), "#connection-requests a[rel=prev]")["href"]
    assert listed(maya.get(newer)) == listed(first)

    act = maya.post(f"{address}/send", htmx=True, **{"HX-Current-URL": f"http://localhost{older}"})
    assert listed(act) == listed(second)
    assert listed(maya.get(f"{address}?after=unknown")) == listed(first)


# ── Sending ──────────────────────────────────────────────────────────────────


def test_send_says_how_many_and_leaves_them_pending(maya, url, here, workflow, owner, agency):
    asked = [factories.make_request(each, owner) for each in workflow.slots]
    answer = maya.post(f"{url}/send", htmx=True, **here)

    assert "Sent requests to client" in toasts(answer)
    assert "1 recipient, 2 requests" in toasts(answer)
    assert [label(answer, each) for each in asked] == ["Pending", "Pending"]
    assert len(mails(agency)) == 1
    assert one(page(answer), "#workflow")["hx-trigger"] == "every 3s"


def test_send_twice_sends_once(maya, url, here, workflow, owner, agency):
    factories.make_request(workflow.slots[0], owner)
    maya.post(f"{url}/send", htmx=True, **here)
    again = maya.post(f"{url}/send", htmx=True, **here)

    assert "Nothing is queued" in toasts(again)
    assert len(mails(agency)) == 1


def test_send_names_whom_it_left_and_why(maya, url, here, workflow, owner, agency, monkeypatch):
    factories.make_request(workflow.slots[0], owner)
    left = factories.make_request(workflow.slots[1], owner, recipient=DANA)
    states = oauth_clients.states
    monkeypatch.setattr(
        oauth_clients, "states", lambda agency: {key: each for key, each in states(agency).items() if key != "hubspot"}
    )

    answer = maya.post(f"{url}/send", htmx=True, **here)

    assert "Sent requests to client" in toasts(answer)
    assert "1 recipient, 1 request. " in toasts(answer)
    assert f"Not sent to {DANA}: HubSpot has no OAuth client. Set it up on the Apps page." in toasts(answer)
    assert '"link_url": "/panel/apps"' in toasts(answer)
    assert label(answer, left) == "Queued (not yet sent)"


def test_send_from_an_archived_workspace_sends_nothing(maya, url, here, workspace, workflow, owner, agency):
    factories.make_request(workflow.slots[0], owner)
    workspaces.archive(agency, workspace.public_id, by=owner)

    answer = maya.post(f"{url}/send", htmx=True, **here)

    assert "Nothing was sent" in toasts(answer)
    assert "this workspace is archived." in toasts(answer)
    assert mails(agency) == []


# ── Resending ────────────────────────────────────────────────────────────────


def button(answer, asked):
    return one(page(answer), f"#resend-{asked.public_id}")


def test_resend_counts_down_and_is_usable_after_five_minutes(maya, url, here, workflow, owner, clock, agency):
    asked = factories.make_sent(workflow, owner)[0]
    clock.forward(seconds=48)
    waiting = button(maya.get(url), asked)
    assert words(waiting) == "Resend email (available in 4:12) Slack"
    assert waiting["aria-disabled"] == "true"
    assert waiting["data-ready-label"] == "Resend email (3 left)"
    assert waiting["data-waiting-label"] == "Resend email (available in {time})"

    early = maya.post(f"/panel/requests/{asked.public_id}/resend", htmx=True, **here)
    assert "Resend email (available in 4:12)" in toasts(early)
    assert len(mails(agency)) == 1

    clock.forward(minutes=4, seconds=12)
    ready = button(maya.get(url), asked)
    assert words(ready) == "Resend email (3 left) Slack"
    assert not ready.has_attr("aria-disabled")
    answer = maya.post(f"/panel/requests/{asked.public_id}/resend", htmx=True, **here)
    assert "Sent a fresh e-mail" in toasts(answer)
    assert words(button(answer, asked)) == "Resend email (available in 5:00) Slack"
    assert len(mails(agency)) == 2


def test_three_resends_are_all_there_are(maya, url, here, workflow, owner, clock, agency):
    asked = factories.make_sent(workflow, owner)[0]
    for left in ("2", "1"):
        clock.forward(minutes=5)
        maya.post(f"/panel/requests/{asked.public_id}/resend", htmx=True, **here)
        assert button(maya.get(url), asked)["data-ready-label"] == f"Resend email ({left} left)"
    clock.forward(minutes=5)
    answer = maya.post(f"/panel/requests/{asked.public_id}/resend", htmx=True, **here)
    assert words(button(answer, asked)) == "No resends left Slack"
    assert button(answer, asked)["aria-disabled"] == "true"

    clock.forward(minutes=5)
    spent = maya.post(f"/panel/requests/{asked.public_id}/resend", htmx=True, **here)
    assert "No resends left" in toasts(spent)
    assert len(mails(agency)) == 4


def test_a_queued_row_offers_no_resend(maya, url, here, slot, owner):
    asked = factories.make_request(slot, owner)
    answer = maya.get(url)

    assert "Send it first with Send to client" in words(row(answer, asked))
    assert not row(answer, asked).select(f"#resend-{asked.public_id}")
    forged = maya.post(f"/panel/requests/{asked.public_id}/resend", htmx=True, **here)
    assert "Send it first with Send to client" in toasts(forged)


def test_a_declined_row_can_be_resent_unless_its_slot_is_asked_of_another(
    maya, url, here, slot, workflow, owner, clock
):
    declined = factories.make_request(slot, owner)
    sending.send(workflow, by=owner)
    connection_requests.decline(declined, reason="")
    clock.forward(minutes=5)
    assert words(button(maya.get(url), declined)) == "Resend email (3 left) Slack"

    factories.make_request(slot, owner, recipient=DANA)
    assert not page(maya.get(url)).select(f"#resend-{declined.public_id}")
    forged = maya.post(f"/panel/requests/{declined.public_id}/resend", htmx=True, **here)
    assert "A request for this account is already in the queue or pending." in toasts(forged)


# ── Cancelling, moving, mail ─────────────────────────────────────────────────


def test_cancel_asks_once_and_clears_the_slot(maya, url, here, workflow, owner, agency):
    asked = factories.make_sent(workflow, owner)[0]
    dialog = page(maya.get(f"/panel/requests/{asked.public_id}/cancel", htmx=True))
    assert "Cancel the Slack request?" in dialog.get_text()
    assert f"{PRIYA} is no longer asked for Slack." in dialog.get_text()

    answer = maya.post(f"/panel/requests/{asked.public_id}/cancel", htmx=True, **here)

    assert label(answer, asked) == "Cancelled"
    assert "close-dialog" in answer.headers["HX-Trigger"]
    assert "Slack has neither a connection nor a live request" in words(one(page(answer), "#workflow-state"))
    again = maya.post(f"/panel/requests/{asked.public_id}/cancel", htmx=True, **here)
    assert "This request is already settled." in toasts(again)


def test_a_settled_row_offers_nothing_to_press(maya, url, workspace, workflow, owner):
    asked = factories.make_sent(workflow, owner)[0]
    settle(asked, factories.make_connection(workspace, "slack", scopes=["chat:write", "channels:read"]))

    assert not row(maya.get(url), asked).select("button")


@pytest.mark.parametrize("sent", [False, True])
def test_change_recipient(maya, url, here, workspace, workflow, slot, owner, agency, sent):
    factories.make_member(workspace)
    asked = factories.make_request(slot, owner)
    if sent:
        sending.send(workflow, by=owner)
    dialog = page(maya.get(f"/panel/requests/{asked.public_id}/recipient", htmx=True))
    assert words(one(dialog, "#dialog-title")) == "Change recipient of Slack"
    assert words(one(dialog, "button[type=submit]")) == ("Change and send" if sent else "Change recipient")

    answer = maya.post(f"/panel/requests/{asked.public_id}/recipient", {"recipient": DANA}, htmx=True, **here)

    assert row(answer, asked) in group(answer, DANA).select(".gh-request")
    assert label(answer, asked) == ("Pending" if sent else "Queued (not yet sent)")
    assert len(mails(agency)) == (2 if sent else 0)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "Write an e-mail address, like name@company.com."),
        ("nobody", "This is not an e-mail address."),
        (PRIYA.upper(), "It is already asked of this address."),
    ],
)
def test_change_recipient_keeps_what_was_typed_beside_its_error(maya, here, slot, owner, typed, said):
    asked = factories.make_request(slot, owner)
    answer = maya.post(f"/panel/requests/{asked.public_id}/recipient", {"recipient": typed}, htmx=True, **here)

    assert errors(answer)["recipient"].startswith(said)
    assert one(page(answer, 422), "#recipient").get("value", "") == typed
    assert asked.recipient == PRIYA


def test_what_is_declined_can_not_be_moved(maya, url, here, slot, workflow, owner):
    asked = factories.make_request(slot, owner)
    sending.send(workflow, by=owner)
    connection_requests.decline(asked, reason="")

    assert "Change recipient" not in words(row(maya.get(url), asked))
    forged = maya.post(f"/panel/requests/{asked.public_id}/recipient", {"recipient": DANA}, htmx=True, **here)
    assert "Only a queued or pending request can go to another address." in toasts(forged)


def shown(answer, asked):
    """What the row offers at once, and what its menu holds."""
    buttons = row(answer, asked).select(".gh-actions button:not([data-bs-toggle])")
    return [
        [words(each) for each in buttons if bool(each.find_parent(class_="dropdown")) is held] for held in (False, True)
    ]


def test_change_recipient_is_in_a_menu_until_it_is_what_helps(app, owner, url, workflow, clock):
    slack = factories.make_request(workflow.slots[0], owner)
    assert shown(StaffBrowser(app, owner).get(url), slack) == [["Cancel"], ["Change recipient"]]
    sending.send(workflow, by=owner)
    assert shown(StaffBrowser(app, owner).get(url), slack)[1] == ["Change recipient"]

    clock.forward(days=7, seconds=1)
    at_once = ["Resend email (3 left) Slack", "Change recipient", "Cancel"]
    assert shown(StaffBrowser(app, owner).get(url), slack) == [at_once, []]


def fail_mail(agency, state=OutboxState.DEAD, error="refused"):
    mail = mails(agency)[-1]
    change(
        mail,
        state=state,
        error=error,
        attempts=1,
        finished_at=app_clock.now(),
        due_at=app_clock.now() + timedelta(minutes=3),
    )
    return mail


def test_mail_that_could_not_be_delivered_is_on_its_rows(maya, url, here, workflow, owner, agency):
    slack, hubspot = factories.make_sent(workflow, owner)
    mail = fail_mail(agency)
    answer = maya.get(url)

    for asked in (slack, hubspot):
        said = words(row(answer, asked))
        assert "The e-mail could not be delivered. The recipient's address was refused." in said
        at_once, held = shown(answer, asked)
        assert at_once[:2] == [f"Try again , {'Slack' if asked is slack else 'HubSpot'}", "Change recipient"]
        assert held == []

    tried = maya.post(f"/panel/requests/{slack.public_id}/try-again", htmx=True, **here)
    assert "Trying again" in toasts(tried)
    db.session.expire_all()
    assert mail.state is OutboxState.RETRY


def test_delayed_mail_says_so(maya, url, workflow, owner, agency, monkeypatch):
    monkeypatch.setattr("app.services.deliveries.mail_is_set_up", lambda: True)
    asked = factories.make_sent(workflow, owner)[0]
    fail_mail(agency, OutboxState.RETRY, "unreachable")

    assert "The e-mail is delayed. The mail server can't be reached." in words(row(maya.get(url), asked))


def test_without_a_mail_server_a_note_says_so(maya, url, monkeypatch):
    assert "Mail is not set up: what is sent waits in the outbox." in maya.get(url).text
    monkeypatch.setattr("app.services.deliveries.mail_is_set_up", lambda: True)
    assert "Mail is not set up" not in maya.get(url).text


def test_mail_that_is_on_its_way_is_not_tried_again(maya, here, workflow, owner, agency):
    asked = factories.make_sent(workflow, owner)[0]
    change(mails(agency)[-1], state=OutboxState.DONE, finished_at=app_clock.now())
    answer = maya.post(f"/panel/requests/{asked.public_id}/try-again", htmx=True, **here)

    assert "This e-mail is on its way already." in toasts(answer)


def test_mail_of_a_queued_request_is_nothing_to_try(maya, here, slot, owner):
    asked = factories.make_request(slot, owner)
    answer = maya.post(f"/panel/requests/{asked.public_id}/try-again", htmx=True, **here)

    assert "Nothing was sent for this request yet." in toasts(answer)


def test_what_is_open_is_not_asked_again(maya, here, slot, owner):
    asked = factories.make_request(slot, owner)
    answer = maya.post(f"/panel/requests/{asked.public_id}/again", htmx=True, **here)

    assert "This request is still open: there is nothing to ask again." in toasts(answer)


def test_an_act_asks_the_database_as_often_for_twenty_rows_as_for_one(maya, agency, workspace, owner):
    def statements(count):
        workflow = workflows.create(workspace, f"With {count}", by=owner)
        for _ in range(count):
            workflows.add_node(workflow, app_key="slack", action_key=STEPS[0][1], separate=True, by=owner)
        asked = [factories.make_request(each, owner, recipient=f"p{each.id}@x.example") for each in workflow.slots]
        address = f"/panel/workspaces/{workspace.public_id}/workflows/{workflow.public_id}"
        target, here = f"/panel/requests/{asked[0].public_id}/cancel", {"HX-Current-URL": f"http://localhost{address}"}
        with counted() as found:
            assert maya.post(target, htmx=True, **here).status_code == 200
        return len(found)

    statements(1)
    assert statements(2) == statements(20)


# ── Who may ──────────────────────────────────────────────────────────────────

ROUTES = [
    ("get", "{url}/slots/{slot}/request"),
    ("post", "{url}/slots/{slot}/request"),
    ("post", "{url}/send"),
    ("get", "/panel/workspaces/{workspace}/recipient"),
    ("post", "/panel/requests/{asked}/resend"),
    ("get", "/panel/requests/{asked}/cancel"),
    ("post", "/panel/requests/{asked}/cancel"),
    ("get", "/panel/requests/{asked}/recipient"),
    ("post", "/panel/requests/{asked}/recipient"),
    ("post", "/panel/requests/{asked}/again"),
    ("post", "/panel/requests/{asked}/try-again"),
]


@pytest.mark.parametrize("who", ["sam", "anybody"])
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_others_reach_nothing(request, who, method, path, url, workflow, workspace, owner, agency):
    asked = factories.make_request(workflow.slots[1], owner)
    ids = {"slot": workflow.slots[0].public_id, "workspace": workspace.public_id, "asked": asked.public_id}
    visitor, address = request.getfixturevalue(who), path.format(url=url, **ids)
    given = [{"recipient": DANA}] if method == "post" else []
    before = rows_of(agency)

    answer = getattr(visitor, method)(address, *given)

    assert answer.status_code == (404 if who == "sam" else 303)
    assert rows_of(agency) == before


def test_anothers_request_answers_like_none(sam, slot, owner):
    asked = factories.make_request(slot, owner)

    theirs, nobodys = (sam.post(f"/panel/requests/{each}/cancel") for each in (asked.public_id, "x" * 20))
    assert (theirs.status_code, theirs.data) == (nobodys.status_code, nobodys.data)


def test_a_teammate_without_a_role_does_it_all(tom, url, here, slot, teammate, agency):
    tom.post(f"{url}/slots/{slot.public_id}/request", {"recipient": PRIYA}, htmx=True, **here)
    asked = connection_requests.live_for(slot)
    assert "Sent requests to client" in toasts(tom.post(f"{url}/send", htmx=True, **here))
    tom.post(f"/panel/requests/{asked.public_id}/recipient", {"recipient": DANA}, htmx=True, **here)
    tom.post(f"/panel/requests/{asked.public_id}/cancel", htmx=True, **here)
    tom.post(f"/panel/requests/{asked.public_id}/again", htmx=True, **here)

    acts = db.select(AuditEvent.type).where(AuditEvent.agency_id == agency.id, AuditEvent.actor == teammate.email)
    assert set(db.session.scalars(acts)) == {
        "request.queued",
        "request.sent",
        "request.recipient_changed",
        "request.cancelled",
    }

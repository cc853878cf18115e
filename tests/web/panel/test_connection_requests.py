"""The queue of a workflow, and the panel that shows what was asked of whom."""

import pytest

from app import clock as app_clock
from app.models import Health, Source, Status
from app.services import connection_requests, fulfilment, members, nodes, sending, slot_requests, slots, workflows
from tests import factories
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import errors, one, page, toasts
from tests.web.panel.requests_screen import DANA, PRIYA, STEPS, change, group, label, mails, row, settle, words

NOT_OAUTH = "OAuth provider on this request is not configured for OAuth2."


def preview(answer):
    return words(one(page(answer), "#send-preview"))


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
    asked = slot_requests.live_for(slot)
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
    assert slot_requests.live_for(slot) is None


def test_two_hundred_and_fifty_six_are_not_too_many(maya, url, here, slot):
    given = {"recipient": PRIYA, "note": "ü" * 256}
    assert maya.post(f"{url}/slots/{slot.public_id}/request", given, htmx=True, **here).status_code == 200
    assert slot_requests.live_for(slot).note == "ü" * 256


@pytest.mark.parametrize("app_key", ["activecampaign", "calendly"])
def test_a_forged_post_for_an_app_that_is_not_eligible_is_refused(maya, url, here, workflow, owner, app_key):
    from app import runtime

    action = runtime.current().catalog.get(app_key).actions[0].key
    added = nodes.add(workflow, app_key=app_key, action_key=action, by=owner)
    slots.set_source(added.slot, Source.CLIENT, by=owner)

    answer = maya.post(f"{url}/slots/{added.slot.public_id}/request", {"recipient": PRIYA}, htmx=True, **here)

    assert errors(answer) == {"": NOT_OAUTH}
    assert one(page(answer, 422), "#recipient")["value"] == PRIYA
    assert slot_requests.live_for(added.slot) is None


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
    nodes.add(workflow, app_key="zendesk", action_key="find_ticket", by=owner)
    nodes.add(workflow, app_key="typeform", action_key="new_response", by=owner)
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
    fulfilment.revoke_for(held, by=owner, at=app_clock.now())
    assert label(maya.get(url), asked) == "Revoked"


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
    assert label(again, slot_requests.live_for(slot)) == "Queued (not yet sent)"


def test_changed_permissions_are_flagged(maya, url, workflow, owner):
    slack, hubspot = factories.make_sent(workflow, owner)
    assert "Permissions changed since it was sent." not in maya.get(url).text

    nodes.add(workflow, app_key="hubspot", action_key="create_deal", by=owner)

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
        nodes.add(workflow, app_key="slack", action_key=STEPS[0][1], separate=True, by=owner)
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

"""“Send to client” and “Resend email” on the panel of requests."""

from app.services import connection_requests, oauth_clients, sending, workspaces
from tests import factories
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import one, page, toasts
from tests.web.panel.requests_screen import DANA, label, mails, row, words

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

"""Asking the owner of a connection to approve it anew."""

from app.models import Health
from app.services import sending
from tests import factories
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import errors, one, page, toasts
from tests.web.panel import held as holding
from tests.web.panel.held import FULL, asked_to_mend, at
from tests.web.panel.requests_screen import DANA, PRIYA, change, row, settle, words

held, broken = holding.fixtures


def test_the_dialog_names_the_owner_and_lets_nobody_else_be_chosen(maya, workspace, broken):
    dialog = maya.get(at(broken, "/ask"), htmx=True)

    assert "Ask to reconnect Slack" in dialog.text
    assert PRIYA in dialog.text
    assert "gets a sign-in link and has 7 days" in dialog.text
    assert not page(dialog).select("[name=recipient]")
    assert "chat:write" in dialog.text


def test_asking_from_the_list_leads_to_the_workflow_where_it_waits(maya, workflow, broken, url):
    done = maya.post(at(broken, "/ask"), {"note": "Please.", "broken": "1"}, htmx=True)

    assert done.headers["HX-Redirect"] == url
    [asked] = asked_to_mend(broken)
    assert (asked.recipient, asked.note, asked.workflow_id) == (PRIYA, "Please.", workflow.id)
    listed = str(page(maya.get("/panel/connections")))
    assert f"Asked of {PRIYA} to reconnect it: Queued (not yet sent)" in listed
    assert "Ask to reconnect" not in listed
    home = page(maya.get("/panel/"))
    assert f"Queued for {PRIYA} to reconnect it, and not sent yet." in words(home)
    assert [each["href"] for each in home.select(".gh-row a.btn")] == [url]


def test_revoking_says_that_what_is_asked_is_withdrawn(maya, broken):
    said = f"The request to {PRIYA} to reconnect it is withdrawn."
    assert said not in maya.get(at(broken, "/revoke"), htmx=True).text
    maya.post(at(broken, "/ask"), {"broken": "1"}, htmx=True)

    assert said in maya.get(at(broken, "/revoke"), htmx=True).text


def test_asking_from_the_workflow_changes_that_page(maya, workflow, broken, url, here):
    screen = maya.get(url)
    button = one(page(screen), "#node-1 .gh-slot button")
    assert (words(button), button["hx-get"]) == ("Ask to reconnect", f"{url}/connections/{broken.public_id}/ask")
    form = one(page(maya.get(button["hx-get"], htmx=True)), "form")
    assert form["action"] == button["hx-get"]

    answer = maya.post(form["action"], {"broken": "1"}, htmx=True, **here)

    [asked] = asked_to_mend(broken)
    assert "To reconnect desk@slack.example" in words(row(answer, asked))
    assert f"Asked of {PRIYA} to reconnect it Queued (not yet sent)" in words(one(page(answer), "#node-1 .gh-slot"))
    assert "Slack is in the queue" in toasts(answer)
    assert not page(answer).select("#node-1 .gh-slot button[hx-get$=ask]")


def test_asking_twice_says_so_and_asks_once(maya, broken, url, here):
    for _ in range(2):
        answer = maya.post(f"{url}/connections/{broken.public_id}/ask", {"broken": "1"}, htmx=True, **here)

    assert "is asked already to reconnect this account" in toasts(answer)
    assert len(asked_to_mend(broken)) == 1


def test_what_was_mended_meanwhile_asks_nobody(maya, held):
    answer = maya.post(at(held, "/ask"), {"broken": "1"}, htmx=True)

    assert answer.headers["HX-Redirect"] == at(held)
    assert asked_to_mend(held) == []


def test_once_the_owner_was_removed_a_member_is_chosen(maya, workspace, broken, clock):
    factories.make_member(workspace, DANA, "Dana Reyes")
    change(broken, owner_left_at=clock.now)
    dialog = page(maya.get(at(broken, "/ask"), htmx=True))
    assert [each["value"] for each in dialog.select("[name=recipient] option")] == [DANA]

    refused = maya.post(at(broken, "/ask"), {"recipient": "sam@cobalt-it.example"}, htmx=True)
    assert errors(refused) == {"recipient": f"{PRIYA} was removed, so a member has to reconnect it. Choose one."}
    maya.post(at(broken, "/ask"), {"recipient": DANA}, htmx=True)
    assert [each.recipient for each in asked_to_mend(broken)] == [DANA]


def test_a_note_that_is_too_long_comes_back(maya, broken):
    assert set(errors(maya.post(at(broken, "/ask"), {"note": "x" * 257}, htmx=True))) == {"note"}


def test_an_act_on_it_at_another_workflow_stays_on_that_page(maya, workspace, broken, owner, url):
    other = factories.make_workflow(workspace, owner, ("slack", "send_channel_message"), name="Another")
    change(other.slots[0], connection_id=broken.id)
    maya.post(f"{url}/connections/{broken.public_id}/ask", htmx=True)
    [asked] = asked_to_mend(broken)
    there = f"/panel/workspaces/{workspace.public_id}/workflows/{other.public_id}"
    here = {"HX-Current-URL": f"http://localhost{there}"}
    assert ", asked from New patient intake" in words(row(maya.get(there), asked))

    sent = maya.post(f"{there}/send", htmx=True, **here)
    assert "Sent requests to client" in toasts(sent)
    assert words(one(row(sent, asked), ".gh-status")) == "Pending"

    dialog = maya.get(f"/panel/requests/{asked.public_id}/cancel", htmx=True)
    assert "Workflows that use the account stay as they are." in dialog.text
    cancelled = maya.post(f"/panel/requests/{asked.public_id}/cancel", htmx=True, **here)
    assert one(page(cancelled), "h1").text == "Another"
    assert not page(cancelled).select(f"#request-{asked.public_id}")


def test_a_fulfilled_request_of_it_offers_to_ask(maya, workspace, workflow, owner, url):
    [slack, _hubspot] = factories.make_sent(workflow, owner)
    held = factories.make_connection(workspace, scopes=FULL, owner_email=PRIYA)
    settle(slack, held)
    change(held, health=Health.ERROR)
    found = row(maya.get(url), slack)

    assert words(one(found, ".gh-status")) == "Reconnection needed"
    assert one(found, f"#mend-{slack.public_id}")["hx-get"] == f"{url}/connections/{held.public_id}/ask"


def test_change_recipient_is_not_offered_while_the_owner_is_there(maya, workflow, broken, owner, url, here):
    maya.post(f"{url}/connections/{broken.public_id}/ask", htmx=True, **here)
    sending.send(workflow, by=owner)
    [asked] = asked_to_mend(broken)

    assert "Change recipient" not in words(row(maya.get(url), asked))

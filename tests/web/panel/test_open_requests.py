"""What can be done about a request that is still open: cancelled, moved, its mail tried again; and who may."""

from datetime import timedelta

import pytest

from app import clock as app_clock
from app.extensions import db
from app.models import AuditEvent, OutboxState
from app.services import connection_requests, nodes, sending, slot_requests, workflows
from tests import factories
from tests.support.rows import rows_of
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import StaffBrowser, errors, one, page, toasts
from tests.support.statements import counted
from tests.web.panel.requests_screen import DANA, PRIYA, STEPS, change, group, label, mails, row, settle, words

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


def test_edit_a_queued_request(maya, url, here, slot, owner):
    asked = factories.make_request(slot, owner, note="Before")
    dialog = page(maya.get(f"/panel/requests/{asked.public_id}/edit", htmx=True))
    assert words(one(dialog, "#dialog-title")) == "Edit the Slack request"
    assert one(dialog, "textarea[name=note]").text.strip() == "Before"

    typed = {"note": "The blue one.", "expected_account": "harbordental.example"}
    answer = maya.post(f"/panel/requests/{asked.public_id}/edit", typed, htmx=True, **here)

    assert "The blue one." in words(row(answer, asked))
    assert label(answer, asked) == "Queued (not yet sent)"
    dialog = page(maya.get(f"/panel/requests/{asked.public_id}/edit", htmx=True))
    assert one(dialog, "input[name=expected_account]")["value"] == "harbordental.example"


@pytest.mark.parametrize(
    ("typed", "at"), [({"note": "x" * 257}, "note"), ({"expected_account": "?"}, "expected_account")]
)
def test_edit_keeps_what_was_typed_beside_its_error(maya, here, slot, owner, typed, at):
    asked = factories.make_request(slot, owner)
    answer = maya.post(f"/panel/requests/{asked.public_id}/edit", typed, htmx=True, **here)

    assert set(errors(answer)) == {at}
    control = one(page(answer, 422), f"#{at}")
    assert typed[at] in (control.get("value"), control.text.strip())


def test_what_was_sent_can_not_be_edited(maya, url, workflow, owner):
    asked = factories.make_sent(workflow, owner)[0]

    assert "Edit" not in words(row(maya.get(url), asked))


def test_change_recipient_is_in_a_menu_until_it_is_what_helps(app, owner, url, workflow, clock):
    slack = factories.make_request(workflow.slots[0], owner)
    assert shown(StaffBrowser(app, owner).get(url), slack) == [["Edit", "Cancel"], ["Change recipient"]]
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
            nodes.add(workflow, app_key="slack", action_key=STEPS[0][1], separate=True, by=owner)
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
    asked = slot_requests.live_for(slot)
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

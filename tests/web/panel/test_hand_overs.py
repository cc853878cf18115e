"""What staff see and do of hand-overs: on the board, on the home page and in the settings; and who may."""

import pytest

from app.extensions import db
from app.models import Agency, AuditEvent
from app.services import handovers
from tests import factories
from tests.support.rows import rows_of
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import StaffBrowser, one, page, toasts
from tests.support.statements import counted
from tests.web.panel.requests_screen import PRIYA, STEPS, group, mails, row, words

ANA, SAM = "ana.reyes@harbordental.example", "sam@cobalt-it.example"


@pytest.fixture
def asked(workflow, owner):
    return factories.make_sent(workflow, owner)[0]


@pytest.fixture
def sent_twice(workflow, owner):
    """Slack and HubSpot."""
    return factories.make_sent(workflow, owner)[:2]


def name(asked, colleague=SAM):
    handovers.ask(asked.bundle, asked.public_id, colleague)


@pytest.fixture
def waiting(asked):
    name(asked)
    return asked


def address(asked, act=""):
    return f"/panel/requests/{asked.public_id}/hand-over{act}"


def waiting_rows(answer):
    return [words(each) for each in page(answer).select("section[aria-labelledby=hand-overs] .gh-row")]


def test_the_row_says_who_handed_it_over(maya, url, asked):
    name(asked, ANA)

    answer = maya.get(url)

    assert row(answer, asked) in group(answer, ANA).select(".gh-request")
    assert f"Handed over by {PRIYA}" in words(row(answer, asked))


def test_the_board_asks_and_one_click_approves(maya, url, here, waiting, agency):
    shown = row(maya.get(url), waiting)
    assert f"{PRIYA} wants to hand this over to {SAM}." in words(shown)
    form = one(shown, f'form[action="{address(waiting)}"]')
    before = len(mails(agency))

    answer = maya.post(form["action"], {"to": one(form, "[name=to]")["value"]}, htmx=True, **here)

    assert row(answer, waiting) in group(answer, SAM).select(".gh-request")
    assert f"Handed over by {PRIYA}" in words(row(answer, waiting))
    assert "Handed Slack over" in toasts(answer)
    assert len(mails(agency)) == before + 1


def test_refused_the_row_is_as_it_was(maya, here, waiting):
    answer = maya.post(address(waiting, "/refuse"), {"to": SAM}, htmx=True, **here)

    assert row(answer, waiting) in group(answer, PRIYA).select(".gh-request")
    assert "wants to hand" not in words(row(answer, waiting))


def test_what_the_client_took_back_is_not_approved(maya, here, waiting):
    handovers.take_back(waiting.bundle, waiting.public_id)

    answer = maya.post(address(waiting), {"to": SAM}, htmx=True, **here)

    assert "The client does not ask for this any more." in toasts(answer)
    assert row(answer, waiting) in group(answer, PRIYA).select(".gh-request")


@pytest.mark.parametrize("screen", ["/panel/", "/panel/attention/hand-overs"])
def test_what_waits_says_since_when(maya, asked, clock, screen):
    clock.forward(minutes=5)
    name(asked)
    clock.forward(minutes=10)

    [since] = page(maya.get(screen)).select(".gh-row time")

    assert words(since).startswith("10 minutes ago (")
    assert since["title"] in words(since)
    assert since["datetime"] == f"{asked.hand_over_asked_at:%Y-%m-%dT%H:%M:%S}+00:00"


def test_who_asked_last_stands_first(maya, sent_twice, clock):
    first, second = sent_twice
    name(second)
    clock.forward(minutes=1)
    name(first)

    shown = page(maya.get("/panel/attention/hand-overs")).select(".gh-row strong")

    assert [words(each) for each in shown] == ["Slack", "HubSpot"]


def test_home_lists_what_waits_and_one_click_approves(maya, waiting, workflow):
    answer = maya.get("/panel/")
    assert words(one(page(answer), "h1")) == "1 thing needs attention"
    [shown] = waiting_rows(answer)
    assert shown.startswith(f"Waiting for your approval Slack , to be handed over by {PRIYA} to {SAM}")
    form = one(page(answer), f'form[action="{address(waiting)}"]')

    done = maya.post(form["action"], {"to": one(form, "[name=to]")["value"]}, Referer="http://localhost/panel/")

    assert done.status_code == 303
    assert done.headers["Location"] == "/panel/", "where the rest of the list is"
    assert waiting_rows(maya.get("/panel/")) == []
    db.session.refresh(waiting)
    assert waiting.recipient == SAM


def test_all_that_waits_is_listed_on_pages(app, maya, workspace, owner):
    costs = []
    for number in range(6):
        flow = factories.make_workflow(workspace, owner, STEPS[0], name=f"Number {number}")
        (asked,) = factories.make_sent(flow, owner, recipient=f"person{number}@harbordental.example")
        name(asked)
        with counted() as made:
            maya.get("/panel/")
        costs.append(len(made))

    home = maya.get("/panel/")
    assert len(waiting_rows(home)) == 5
    assert "All 6 requests" in home.text
    assert len(page(maya.get("/panel/attention/hand-overs")).select(".gh-row")) == 6
    assert costs[5] <= costs[1]


def test_nothing_waits(maya, asked):
    assert waiting_rows(maya.get("/panel/")) == []
    assert "Nothing needs attention" in maya.get("/panel/attention/hand-overs").text


@pytest.mark.parametrize("act", ["", "/refuse"])
def test_a_teammate_may_too_and_nobody_else(tom, sam, anybody, here, agency, waiting, act):
    before = rows_of(agency)
    assert sam.post(address(waiting, act), {"to": SAM}).status_code == 404
    assert anybody.post(address(waiting, act), {"to": SAM}).status_code in (303, 401)
    assert waiting_rows(sam.get("/panel/")) == []
    assert {key: rows for key, rows in rows_of(agency).items() if key != "staff_session"} == {
        key: rows for key, rows in before.items() if key != "staff_session"
    }

    tom.post(address(waiting, act), {"to": SAM}, htmx=True, **here)

    acts = db.session.scalars(db.select(AuditEvent).where(AuditEvent.subject == waiting.public_id)).all()
    assert acts[-1].type == ("request.hand_over_refused" if act else "request.handed_over")
    assert acts[-1].actor.startswith("tom@")


# ── The setting ──────────────────────────────────────────────────────────────


def test_owners_turn_it_off_on_the_branding_page(maya, app, owner, agency):
    shown = page(maya.get("/panel/branding"))
    box = one(shown, "#hands_over")
    assert box.has_attr("checked")
    assert words(one(shown, "label[for=hands_over]")) == "Clients may hand an app over to a colleague"
    look = {field: getattr(agency, field) for field in ("name", "sender_name", "support_email", "accent", "timezone")}

    assert maya.post("/panel/branding", look).status_code == 303
    assert not db.session.get_one(Agency, agency.id, populate_existing=True).hands_over
    assert not one(page(maya.get("/panel/branding")), "#hands_over").has_attr("checked")

    maya.post("/panel/branding", {**look, "hands_over": "y"})
    assert db.session.get_one(Agency, agency.id, populate_existing=True).hands_over


def test_members_of_staff_do_not(app, tom, teammate, agency):
    assert StaffBrowser(app, teammate).get("/panel/branding").status_code == 403

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app import clock as app_clock
from app.database import transaction
from app.extensions import db
from app.models import Health, OutboxItem, OutboxState, Recipient
from app.oauth.faults import Fault
from app.services import attention, connection_requests, letters, members, nodes, slots, workflows, workspaces
from tests import factories
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import StaffBrowser, one, page
from tests.support.statements import counted

PRIYA, DANA = "priya.nair@harbordental.example", "dana.reyes@harbordental.example"
STEPS = (("slack", "send_channel_message"), ("hubspot", "create_contact"))


@pytest.fixture
def workflow(workspace, owner):
    return factories.make_workflow(workspace, owner, *STEPS)


def words(tag):
    return " ".join(tag.get_text(" ").split()).replace(" ,", ",").replace(" .", ".")


def title(answer):
    return words(one(page(answer), "h1"))


def rows(answer, heading):
    return [words(each) for each in page(answer).select(f"section[aria-labelledby={heading}] .gh-row")]


def count_in_menu(answer):
    found = page(answer).select('.gh-nav a[href="/panel/"] span')
    return words(found[0]) if found else None


def change(row, **values):
    with transaction():
        for name, value in values.items():
            setattr(row, name, value)


def fail_mail(agency):
    kept = db.select(OutboxItem).where(OutboxItem.kind == "bundle.sent", OutboxItem.agency_id == agency.id)
    mail = db.session.scalars(kept.order_by(OutboxItem.id.desc())).first()
    change(mail, state=OutboxState.DEAD, error="refused", finished_at=app_clock.now())


def test_an_empty_panel_leads_to_the_first_step(maya):
    answer = maya.get("/panel/")

    assert title(answer) == "Welcome to Gatehouse"
    assert "No workspaces yet" in answer.text
    assert one(page(answer), "#first-workspace")["hx-get"] == "/panel/workspaces/new"
    assert count_in_menu(answer) is None


def test_nothing_needs_attention(maya, workspace):
    answer = maya.get("/panel/")

    assert title(answer) == "Nothing needs attention"
    assert "No client is asked for anything just now." in answer.text
    assert count_in_menu(answer) is None


def test_what_is_awaited_is_counted(maya, agency, workflow, owner):
    factories.make_sent(workflow, owner)
    assert "2 apps are still awaited from 1 client." in maya.get("/panel/").text
    other = factories.make_workflow(factories.make_workspace(agency, "Bluefin"), owner, STEPS[0])
    factories.make_sent(other, owner)
    assert "3 apps are still awaited from 2 clients." in maya.get("/panel/").text


def test_one_thing_is_said_in_the_singular(maya, workflow, owner):
    slack, _hubspot = factories.make_sent(workflow, owner)
    connection_requests.decline(slack, reason="Our IT company runs Slack.")
    answer = maya.get("/panel/")

    assert title(answer) == "1 thing needs attention"
    assert count_in_menu(answer) == "1"
    [row] = rows(answer, "stuck")
    assert row.startswith(f"Declined Slack, declined by {PRIYA} Harbor Dental / New patient intake.")
    assert "“Our IT company runs Slack.”" in row
    assert "Open request" in row


def test_an_expired_link_can_be_resent_from_here(maya, app, workflow, owner, clock):
    asked = factories.make_sent(workflow, owner)[0]
    clock.forward(days=7, seconds=1)
    maya = StaffBrowser(app, owner)
    answer = maya.get("/panel/")

    assert title(answer) == "2 things need attention"
    assert rows(answer, "stuck")[0].startswith(f"Link expired HubSpot, link expired for {PRIYA}")
    assert "Never opened." in rows(answer, "stuck")[0]
    form = one(page(answer), f'form[action="/panel/requests/{asked.public_id}/resend"]')
    assert words(form) == "Resend email (3 left) Slack"

    resent = maya.post(form["action"])
    assert resent.status_code == 303
    assert resent.headers["Location"].endswith(workflow.public_id)
    assert title(maya.get("/panel/")) == "Nothing needs attention"


def test_a_mail_that_just_left_is_not_offered_again_before_its_time(maya, app, workspace, workflow, owner, clock):
    asked = factories.make_sent(workflow, owner)[0]
    clock.forward(days=7, seconds=1)
    theirs = select(Recipient).where(Recipient.email == asked.recipient)
    change(db.session.scalars(theirs).one(), mailed_at=clock.now - timedelta(minutes=1))
    found = one(page(StaffBrowser(app, owner).get("/panel/")), f"#resend-{asked.public_id}")

    assert found["aria-disabled"] == "true"
    assert words(found) == "Resend email (available in 4:00) Slack"


def test_who_is_asked_in_the_portal_is_not_said_never_to_have_opened_it(maya, app, workspace, workflow, owner, clock):
    factories.make_member(workspace, PRIYA, "Priya Nair")
    factories.make_sent(workflow, owner)
    clock.forward(hours=5)
    [found, *_more] = rows(StaffBrowser(app, owner).get("/panel/"), "stuck")

    assert "link expired for" in found
    assert "Never opened." not in found


def test_an_app_that_is_not_set_up_is_told(maya, workflow, owner):
    slack = factories.make_sent(workflow, owner)[0]
    change(slack, notice="unconfigured")
    [row] = rows(maya.get("/panel/"), "stuck")

    assert f"Slack is not set up for OAuth, {PRIYA} can't connect it" in row
    assert row.endswith("Set up Slack")


def test_a_broken_connection_has_its_banner(maya, workspace, workflow, owner):
    use(workflow, owner, factories.make_connection(workspace, "slack", scopes=["chat:write", "channels:read"]))
    answer = maya.get("/panel/")

    assert words(one(page(answer), "#broken")) == "A connection needs to be reauthorized"
    [row] = rows(answer, "broken")
    assert row.startswith("Reconnection needed Slack at Harbor Dental Access was removed or ran out in Slack.")
    held = workflow.slots[0].connection
    assert one(page(answer), ".gh-row a.gh-plain-link")["href"] == f"/panel/connections/{held.public_id}"

    workflow_is_live(workflow)
    assert "New patient intake is paused." in rows(maya.get("/panel/"), "broken")[0]


def use(workflow, owner, held):
    slots.use_connection(workflow.slots[0], held.public_id, by=owner)
    change(held, health=Health.ERROR, health_reason=Fault.GRANT_ENDED)


def workflow_is_live(workflow):
    change(workflow, version=1, published_at=app_clock.now())


def test_several_broken_connections_are_counted(maya, workspace):
    for number in range(2):
        factories.make_connection(workspace, name=f"Slack {number}", health=Health.ERROR)

    assert "2 connections need to be reauthorized" in maya.get("/panel/").text


def test_mail_that_could_not_be_delivered_is_told_once(maya, agency, workflow, owner):
    slack, _hubspot = factories.make_sent(workflow, owner)
    fail_mail(agency)
    answer = maya.get("/panel/")

    assert title(answer) == "1 thing needs attention"
    [row] = rows(answer, "undelivered")
    assert row.startswith(f"Not delivered E-mail was not delivered to {PRIYA} Harbor Dental / New patient intake.")
    assert "The recipient's address was refused. Check that it is right." in row
    assert "Open requests" in row
    form = one(page(answer), f'form[action="/panel/requests/{slack.public_id}/try-again"]')
    assert maya.post(form["action"]).headers["Location"].endswith(workflow.public_id)
    assert title(maya.get("/panel/")) == "Nothing needs attention"


def fail_letter(agency, kind):
    kept = db.select(OutboxItem).where(OutboxItem.kind == kind, OutboxItem.agency_id == agency.id)
    change(db.session.scalars(kept).one(), state=OutboxState.DEAD, error="refused", finished_at=app_clock.now())


REFUSED = "The recipient's address was refused. Check that it is right. Try again"


def test_an_invitation_that_could_not_be_delivered_is_told_and_tried_again(maya, agency, workspace, owner):
    member = members.add(workspace, name="Dana Reyes", email=DANA, by=owner)
    fail_letter(agency, "member.invited")
    answer = maya.get("/panel/")

    assert title(answer) == "1 thing needs attention"
    [row] = rows(answer, "undelivered")
    assert row.startswith(f"Not delivered Invitation was not delivered to {DANA} Harbor Dental / Dana Reyes. {REFUSED}")
    members_page = f"/panel/workspaces/{workspace.public_id}"
    action = f"{members_page}/members/{member.public_id}/try-again"
    one(page(answer), f'form[action="{action}"]')
    assert (
        maya.post(action, Referer="http://localhost/panel/attention/mail").headers["Location"]
        == "/panel/attention/mail"
    )
    assert title(maya.get("/panel/")) == "Nothing needs attention"
    assert "Invitation on its way" in maya.get(members_page).text


def test_word_of_a_broken_connection_that_could_not_be_delivered_is_told_and_tried_again(maya, agency, workspace):
    held = factories.make_connection(workspace, name="Front desk", owner_email=DANA)
    with transaction():
        held.health, held.health_reason, held.broken_at = Health.ERROR, Fault.GRANT_ENDED, app_clock.now()
        letters.tell_broken(held, at=app_clock.now())
    fail_letter(agency, "connection.broken")
    answer = maya.get("/panel/")

    assert title(answer) == "2 things need attention"
    [row] = rows(answer, "undelivered")
    said = (
        f"Not delivered Word of a broken connection was not delivered to {DANA} Harbor Dental / Front desk. {REFUSED}"
    )
    assert row.startswith(said)
    action = f"/panel/connections/{held.public_id}/try-mail-again"
    one(page(answer), f'form[action="{action}"]')
    assert maya.post(action).headers["Location"] == "/panel/"
    assert rows(maya.get("/panel/"), "undelivered") == []


def test_every_undelivered_letter_is_on_some_page(maya, agency, workspace, owner, monkeypatch):
    monkeypatch.setattr("app.services.paging.PAGE", 3)
    for number in range(4):
        members.add(workspace, name=f"Person {number}", email=f"p{number}@harbordental.example", by=owner)
    with transaction() as session:
        session.execute(update(OutboxItem).values(state=OutboxState.DEAD, error="refused", finished_at=app_clock.now()))

    first = page(maya.get("/panel/attention/mail"))
    assert len(first.select(".gh-row")) == 3
    second = page(maya.get(one(first, "a[rel=next]")["href"]))
    assert len(second.select(".gh-row")) == 1
    assert len(page(maya.get(one(second, "a[rel=prev]")["href"])).select(".gh-row")) == 3


def test_mail_with_a_single_request_can_go_to_another_at_once(maya, agency, workspace, owner):
    [asked] = factories.make_sent(factories.make_workflow(workspace, owner, STEPS[0]), owner)
    fail_mail(agency)

    button = one(page(maya.get("/panel/")), f"#move-{asked.public_id}")
    assert (words(button), button["hx-get"]) == ("Change recipient", f"/panel/requests/{asked.public_id}/recipient")


def test_long_lists_are_cut_and_lead_on(maya, workspace, owner):
    workflow = workflows.create(workspace, "Many", by=owner)
    for _ in range(7):
        nodes.add(workflow, app_key="slack", action_key=STEPS[0][1], separate=True, by=owner)
    for asked in factories.make_sent(workflow, owner):
        connection_requests.decline(asked, reason="")
    for number in range(6):
        factories.make_connection(workspace, name=f"Slack {number}", health=Health.ERROR)
    answer = maya.get("/panel/")

    assert title(answer) == "13 things need attention"
    assert (len(rows(answer, "stuck")), len(rows(answer, "broken"))) == (5, 5)
    links = {words(each): each["href"] for each in page(answer).select(".gh-section header a")}
    assert len(page(maya.get(links["All 7 requests"])).select(".gh-row")) == 7
    assert len(page(maya.get(links["All 6 connections"])).select(".gh-row")) == 6


@pytest.mark.parametrize("path", ["connections", "requests", "mail"])
def test_a_list_of_nothing_says_so(maya, path):
    assert "Nothing needs attention" in maya.get(f"/panel/attention/{path}").text


def test_every_stuck_request_is_on_some_page(maya, workspace, owner, monkeypatch):
    monkeypatch.setattr("app.services.paging.PAGE", 3)
    workflow = workflows.create(workspace, "Many", by=owner)
    for _ in range(5):
        nodes.add(workflow, app_key="slack", action_key=STEPS[0][1], separate=True, by=owner)
    for asked in factories.make_sent(workflow, owner):
        connection_requests.decline(asked, reason="")

    first = page(maya.get("/panel/attention/requests"))
    assert len(first.select(".gh-row")) == 3
    second = page(maya.get(one(first, "a[rel=next]")["href"]))
    assert len(second.select(".gh-row")) == 2
    assert len(page(maya.get(one(second, "a[rel=prev]")["href"])).select(".gh-row")) == 3


def test_every_undelivered_mail_is_on_some_page(maya, agency, workspace, owner, monkeypatch):
    monkeypatch.setattr("app.services.paging.PAGE", 3)
    for number in range(4):
        workflow = factories.make_workflow(workspace, owner, STEPS[0], name=f"Workflow {number}")
        factories.make_sent(workflow, owner, recipient=f"p{number}@harbordental.example")
        fail_mail(agency)

    first = page(maya.get("/panel/attention/mail"))
    assert len(first.select(".gh-row")) == 3
    second = page(maya.get(one(first, "a[rel=next]")["href"]))
    assert len(second.select(".gh-row")) == 1
    assert len(page(maya.get(one(second, "a[rel=prev]")["href"])).select(".gh-row")) == 3


def test_workspaces_show_how_far_they_are(maya, agency, workspace, workflow, owner):
    factories.make_workspace(agency, "Tannery Row")
    factories.make_sent(workflow, owner)
    held = factories.make_connection(workspace, "slack", scopes=["chat:write", "channels:read"])
    change(workflow.slots[0], connection_id=held.id)
    workflow_is_live(workflow)
    answer = maya.get("/panel/")

    def row(name):
        found = [each for each in page(answer).select("tbody tr") if words(one(each, "th")) == name]
        return [words(cell) for cell in found[0].select("td")][:5]

    assert row("Harbor Dental")[:4] == ["Waiting on client", "1 of 2", "1", "1 person"]
    assert row("Tannery Row")[:4] == ["Draft", "Nothing asked yet", "0", "Nobody"]
    assert "All 2 workspaces" in answer.text


def test_ten_workspaces_are_shown_and_the_rest_linked(maya, agency):
    for number in range(12):
        factories.make_workspace(agency, f"Client {number:02}")
    answer = maya.get("/panel/")

    assert len(page(answer).select("tbody tr")) == 10
    assert 'href="/panel/workspaces">All 12 workspaces' in answer.text


def test_archived_clients_need_no_attention(maya, agency, workspace, workflow, owner):
    connection_requests.decline(factories.make_sent(workflow, owner)[0], reason="")
    workspaces.archive(agency, workspace.public_id, by=owner)
    answer = maya.get("/panel/")

    assert rows(answer, "stuck") == []
    assert title(answer) == "Welcome to Gatehouse"


def test_home_asks_the_database_as_often_for_twenty_as_for_one(maya, agency, owner):
    def trouble(name):
        workspace = factories.make_workspace(agency, name)
        workflow = factories.make_workflow(workspace, owner, *STEPS)
        slack, _hubspot = factories.make_sent(workflow, owner, recipient=f"one@{name}.example")
        connection_requests.decline(slack, reason="")
        fail_mail(agency)
        factories.make_connection(workspace, health=Health.ERROR)

    trouble("c0")
    maya.get("/panel/")
    with counted() as for_one:
        maya.get("/panel/")
    for number in range(1, 20):
        trouble(f"c{number}")
    with counted() as for_twenty:
        maya.get("/panel/")

    assert len(for_one) == len(for_twenty)
    assert for_twenty.writes == []


def test_a_teammate_sees_the_same(tom, workflow, owner):
    connection_requests.decline(factories.make_sent(workflow, owner)[0], reason="")

    assert title(tom.get("/panel/")) == "1 thing needs attention"


def test_a_stranger_sees_nothing_of_it(sam, workspace, workflow, owner):
    connection_requests.decline(factories.make_sent(workflow, owner)[0], reason="")
    factories.make_connection(workspace, health=Health.ERROR)

    answer = sam.get("/panel/")
    assert title(answer) == "Welcome to Gatehouse"
    assert "Harbor Dental" not in answer.text
    for path in ("connections", "requests", "mail"):
        assert "Nothing needs attention" in sam.get(f"/panel/attention/{path}").text


@pytest.mark.parametrize("path", ["", "attention/connections", "attention/requests", "attention/mail"])
def test_the_anonymous_are_sent_to_sign_in(anybody, path):
    assert anybody.get(f"/panel/{path}").headers["Location"].startswith("/panel/sign-in")


def test_the_menu_counts_on_every_page_but_not_in_parts(maya, workspace, workflow, owner, monkeypatch):
    connection_requests.decline(factories.make_sent(workflow, owner)[0], reason="")
    assert count_in_menu(maya.get("/panel/workspaces")) == "1"

    monkeypatch.setattr(attention, "counts", lambda _agency: pytest.fail("A part of a page has no menu."))
    url = f"/panel/workspaces/{workspace.public_id}/workflows/{workflow.public_id}"
    assert maya.get(url, htmx=True).status_code == 200


@pytest.mark.parametrize("path", ["/panel/", "/panel/account", "/panel/attention/mail"])
def test_what_needs_attention_is_counted_once_for_a_page(maya, workflow, owner, path):
    connection_requests.decline(factories.make_sent(workflow, owner)[0], reason="")
    with counted() as found:
        assert count_in_menu(maya.get(path)) == "1"

    assert len([each for each in found if "outbox" in each and "count(" in each]) == 1

"""“Someone else manages this account”, as clients see it: on the page of whoever had the app, and of whoever has it now."""

import pytest
from bs4 import BeautifulSoup

from app.database import transaction
from app.extensions import db
from app.models import Agency, Status
from app.services import handovers
from tests import factories
from tests.support.visitor import Visitor

pytestmark = pytest.mark.both_databases

PRIYA, ANA, SAM = "priya.nair@harbordental.example", "ana.reyes@harbordental.example", "sam@cobalt-it.example"
CHOICE = "Someone else manages this account"


def fresh(row):
    db.session.rollback()
    db.session.refresh(row)
    return row


def words(tag):
    return " ".join(tag.get_text(" ").split())


def card(html, asked):
    return BeautifulSoup(html, "html.parser").select_one(f"#app-{asked.public_id}")


def address(page, asked, act="hand-over"):
    return f"{page}/requests/{asked.public_id}/{act}"


@pytest.fixture
def page(visitor, asked):
    page = visitor.open(asked[0])
    visitor.get(page)
    return page


def test_the_card_offers_it_and_says_what_becomes_of_it(visitor, agency, asked, page):
    shown = card(visitor.get(page), asked[0])

    assert CHOICE in words(shown)
    hint = words(shown.select_one(f"#app-{asked[0].public_id}-colleague-hint"))
    assert hint == (
        "They get an e-mail of their own, for Northdesk alone: at harbordental.example at once, "
        f"elsewhere after {agency.name} agrees. You can do this once."
    )


def test_within_the_domain_the_card_moves_and_both_sides_see_it(app, visitor, asked, page):
    northdesk = asked[0]

    answer = visitor.post(address(page, northdesk), colleague=ANA)

    assert answer.status_code == 303
    html = visitor.get(page)
    assert card(html, northdesk) is None
    assert "0 of 1 connected" in html
    told = BeautifulSoup(html, "html.parser").select_one(f"#handed-over-{northdesk.public_id}")
    assert f"to {ANA}" in words(told)
    colleague = Visitor(app.test_client())
    theirs = colleague.get(colleague.open(fresh(northdesk)))
    assert f"{PRIYA} handed this over to you." in words(card(theirs, northdesk))
    assert CHOICE not in words(card(theirs, northdesk)), "once"


def test_the_final_page_says_to_whom(visitor, asked, page):
    for each in asked:
        visitor.post(address(page, each), colleague=ANA)

    html = visitor.get(page)
    assert "There is nothing left to connect" in html
    assert html.count(f"to {ANA}") == 2
    assert "hx-trigger" not in html


def test_without_a_script_it_leads_back_to_the_page(visitor, asked, page):
    given = {"csrf_token": visitor.token(), "colleague": ANA}
    answer = visitor.ask("POST", address(page, asked[0]), data=given)

    assert (answer.status_code, answer.headers["Location"]) == (303, page)
    assert f"to {ANA}" in visitor.get(page)


@pytest.mark.parametrize("by_script", [True, False])
@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("ana at harbor", "This is not an e-mail address. Write it like name@company.com."),
        (PRIYA, "This is your own address. Write the address of your colleague."),
    ],
)
def test_what_does_not_do_is_said_beside_the_field_with_what_was_typed(visitor, asked, page, typed, said, by_script):
    given = {"csrf_token": visitor.token(), "colleague": typed}
    headers = {"HX-Request": "true"} if by_script else {}
    answer = visitor.ask("POST", address(page, asked[0]), data=given, headers=headers)

    assert answer.status_code == 422
    field_id = f"app-{asked[0].public_id}-colleague"
    shown = card(answer.text, asked[0])
    field = shown.select_one(f"#{field_id}")
    assert (field["value"], field["aria-invalid"]) == (typed, "true")
    assert f"{field_id}-error" in field["aria-describedby"].split()
    assert words(shown.select_one(f"#{field_id}-error")) == said
    assert shown.select_one(f"#app-{asked[0].public_id}-other").has_attr("open")
    others = card(answer.text, asked[1])
    assert others.select_one(f"#app-{asked[1].public_id}-colleague")["value"] == ""


def test_beyond_the_domain_the_card_waits_and_stays_connectable(visitor, agency, asked, page, person):
    northdesk = asked[0]
    visitor.post(address(page, northdesk), colleague=SAM)

    shown = card(visitor.get(page), northdesk)
    assert f"This waits for {agency.name}'s approval to be handed over to {SAM}." in words(shown)
    assert CHOICE not in words(shown)
    assert "Connect Northdesk" in words(shown)
    visitor.approve(visitor.start(page, northdesk), person)
    assert (fresh(northdesk).status, northdesk.hand_over_to) == (Status.FULFILLED, None)


def test_refused_the_card_says_so_and_offers_it_anew(visitor, agency, owner, asked, page):
    visitor.post(address(page, asked[0]), colleague=SAM)
    handovers.refuse(agency, asked[0].public_id, to=SAM, by=owner)

    shown = card(visitor.get(page), asked[0])

    said = f"{agency.name} did not agree that this is handed over to {SAM}, so it is still asked of you."
    assert said in words(shown)
    assert CHOICE in words(shown)
    assert "Connect Northdesk" in words(shown)


def test_the_client_takes_it_back(visitor, asked, page):
    visitor.post(address(page, asked[0]), colleague=SAM)
    visitor.get(page)

    assert visitor.post(address(page, asked[0], "take-back")).status_code == 303

    assert fresh(asked[0]).hand_over_to is None
    assert CHOICE in words(card(visitor.get(page), asked[0]))
    assert visitor.post(address(page, asked[0], "take-back")).status_code == 303, "it shows how things stand"


def test_once_staff_agree_it_is_gone_from_the_page(visitor, agency, owner, asked, page):
    visitor.post(address(page, asked[0]), colleague=SAM)
    handovers.approve(agency, asked[0].public_id, to=SAM, by=owner)

    html = visitor.get(page)
    assert card(html, asked[0]) is None
    assert f"to {SAM}" in html


def test_turned_off_it_is_not_offered_and_a_forged_post_is_refused(visitor, agency, asked, page):
    with transaction() as session:
        session.get_one(Agency, agency.id).hands_over = False

    assert CHOICE not in visitor.get(page)
    answer = visitor.post(address(page, asked[0]), colleague=ANA)

    assert answer.status_code == 422
    assert "Handing over is turned off here." in answer.text
    assert fresh(asked[0]).recipient == PRIYA


def test_a_declined_app_may_be_handed_over(visitor, asked, page):
    visitor.post(address(page, asked[0], "decline"), reason="Ana runs it.")
    shown = words(card(visitor.get(page), asked[0]))
    assert "I can't connect this app" not in shown
    assert CHOICE in shown

    visitor.post(address(page, asked[0]), colleague=ANA)

    assert (fresh(asked[0]).status, asked[0].recipient) == (Status.PENDING, ANA)


def test_a_flow_that_was_overtaken_makes_no_connection(visitor, asked, page, person, provider):
    started = visitor.start(page, asked[0])
    visitor.post(address(page, asked[0]), colleague=ANA)

    landed = visitor.approve(started, person)

    assert landed.status_code == 303
    assert "Northdesk is no longer asked for" in visitor.get(page)
    assert fresh(asked[0]).status is Status.PENDING


def test_a_link_that_died_hands_nothing_over(visitor, agency, asked, page, clock):
    clock.forward(days=7, seconds=1)

    visitor.post(address(page, asked[0]), colleague=ANA)

    assert fresh(asked[0]).recipient == PRIYA


def test_another_clients_request_is_out_of_reach(app, visitor, workspace, owner, asked, page):
    more = factories.make_workflow(workspace, owner, ("northdesk", "find_ticket"), name="Theirs")
    (theirs,) = factories.make_sent(more, owner, recipient="lee@elsewhere.example")

    for act in ("hand-over", "take-back"):
        assert visitor.post(address(page, theirs, act), colleague=ANA).status_code in (303, 404)
    assert fresh(theirs).recipient == "lee@elsewhere.example"

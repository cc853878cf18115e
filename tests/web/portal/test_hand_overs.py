"""Handing an app over in the portal: the same choice as on the branded page."""

import pytest
from bs4 import BeautifulSoup

from app.database import transaction
from app.extensions import db
from app.models import Agency, Channel, Status
from app.services import handovers
from tests import factories
from tests.support import provided
from tests.support.visitor import Visitor
from tests.web.portal import test_workflows
from tests.web.portal.test_workflows import DANA, words

LEE, SAM = "lee@harbordental.example", "sam@cobalt-it.example"
catalog, config, visitor = provided.own
asked, dana, member, page = (getattr(test_workflows, name) for name in ("asked", "dana", "member", "page"))
person, workflow = provided.fixtures[1:]
pytestmark = pytest.mark.both_databases


def address(page, asked, act="hand-over"):
    return f"{page}/requests/{asked.public_id}/{act}"


def fresh(row):
    db.session.rollback()
    db.session.refresh(row)
    return row


def test_a_member_hands_over_to_another_member(app, dana, page, asked, workspace):
    factories.make_member(workspace, LEE, "Lee")
    assert "Someone else manages this account" in words(dana.get(page))

    assert dana.post(address(page, asked[0]), colleague=LEE).status_code == 303

    assert (fresh(asked[0]).recipient, asked[0].bundle.channel) == (LEE, Channel.PORTAL)
    html = dana.get(page)
    told = BeautifulSoup(html, "html.parser").select_one(f"#handed-over-{asked[0].public_id}")
    assert f"to {LEE}" in words(str(told))
    assert "0 of 1 connected" in words(html)
    lees = Visitor(factories.signed_in_client(app, LEE, workspace))
    assert f"{DANA} handed this over to you." in words(lees.get(page))


def test_once_all_is_handed_over_the_page_still_says_to_whom(dana, page, asked):
    dana.get(page)
    for each in asked:
        assert dana.post(address(page, each), colleague=LEE).status_code == 303

    html = words(dana.get(page))
    assert "There is nothing left to connect." in html
    assert html.count(f"to {LEE}") == 2


def test_refused_the_card_says_so(dana, page, asked, agency, owner):
    dana.get(page)
    dana.post(address(page, asked[0]), colleague=SAM)
    handovers.refuse(agency, asked[0].public_id, to=SAM, by=owner)

    said = f"{agency.name} did not agree that this is handed over to {SAM}, so it is still asked of you."
    assert words(dana.get(page)).count(said) == 1


def test_beyond_the_domain_it_waits_and_can_be_taken_back(dana, page, asked, agency):
    dana.get(page)
    dana.post(address(page, asked[0]), colleague=SAM)
    assert f"This waits for {agency.name}'s approval to be handed over to {SAM}." in words(dana.get(page)).replace(
        "&#39;", "'"
    )

    dana.post(address(page, asked[0], "take-back"))

    assert fresh(asked[0]).hand_over_to is None


def test_staff_agree_and_the_page_says_to_whom(dana, page, asked, agency, owner):
    dana.get(page)
    dana.post(address(page, asked[0]), colleague=SAM)
    handovers.approve(agency, asked[0].public_id, to=SAM, by=owner)

    assert f"to {SAM}" in words(dana.get(page))
    assert (fresh(asked[0]).status, asked[0].bundle.channel) == (Status.PENDING, Channel.LINK)


def test_turned_off_it_is_neither_offered_nor_done(dana, page, asked, agency):
    with transaction() as session:
        session.get_one(Agency, agency.id).hands_over = False

    assert "Someone else manages this account" not in words(dana.get(page))
    assert dana.post(address(page, asked[0]), colleague=LEE).status_code == 422
    assert fresh(asked[0]).recipient == DANA


def test_what_another_handed_over_is_not_shown(app, dana, page, asked, workspace):
    dana.get(page)
    dana.post(address(page, asked[0]), colleague=LEE)
    factories.make_member(workspace, "kim@harbordental.example", "Kim")
    kims = Visitor(factories.signed_in_client(app, "kim@harbordental.example", workspace))

    assert kims.ask("GET", page).status_code == 404

"""The session that a link opens: never under an id that somebody else may have chosen, and nothing is lost by it."""

import pytest

from app.models import Status
from app.services import intake_sessions, link_tokens, sending
from tests import factories
from tests.security.connecting import leave, status
from tests.support.visitor import Visitor

PLANTED = "p" * 43


@pytest.fixture
def another(agency, owner):
    """What another workspace asks of somebody."""
    workspace = factories.make_workspace(agency, "Cobalt")
    workflow = factories.make_workflow(workspace, owner, ("northdesk", "find_ticket"), name="Tickets")
    return factories.make_sent(workflow, owner, recipient="sam@cobalt-it.example")[0]


def page_of(asked) -> str:
    return f"/connect/{asked.bundle.public_id}"


def id_of(visitor) -> str:
    return visitor.web.get_cookie("gh_intake").value


@pytest.mark.both_databases
@pytest.mark.parametrize("planted", ["an invented id", "the id of the attacker's own session"])
def test_row_11_an_id_that_was_planted_reaches_nothing_of_its_victim(app, visitor, asked, another, planted):
    """Row 37 for links: a browser to which a link is new goes on under an id that nobody knew before."""
    attacker = Visitor(app.test_client())
    attacker.web.set_cookie("gh_intake", PLANTED)
    if planted == "the id of the attacker's own session":
        attacker.open(another)
    known = id_of(attacker)
    visitor.web.set_cookie("gh_intake", known)

    page = visitor.open(asked[0])

    assert id_of(visitor) not in (known, PLANTED)
    assert visitor.ask("GET", page).status_code == 200
    attacker.web.set_cookie("gh_intake", known)
    assert attacker.ask("GET", page).status_code == 404


def test_row_11_a_planted_id_that_is_kept_would_be_noticed(app, visitor, asked, monkeypatch):
    monkeypatch.setattr(intake_sessions, "knows", lambda *_: True)
    visitor.web.set_cookie("gh_intake", PLANTED)
    page = visitor.open(asked[0])

    attacker = app.test_client()
    attacker.set_cookie("gh_intake", PLANTED)
    assert attacker.get(page).status_code == 200


@pytest.mark.both_databases
def test_row_11_a_browser_takes_along_what_it_had(visitor, asked, another, person):
    """Another agency's or workspace's link, opened while an authorization is under way, takes nothing away."""
    away = leave(visitor, asked[0], person)
    before = id_of(visitor)

    other = visitor.open(another)

    assert id_of(visitor) != before
    assert visitor.ask("GET", other).status_code == visitor.ask("GET", page_of(asked[0])).status_code == 200
    assert visitor.ask("GET", away.path, query_string=away.back).status_code == 303
    assert status(asked[0]) is Status.FULFILLED


@pytest.mark.both_databases
def test_row_11_a_link_that_is_opened_again_leaves_the_session_as_it_is(visitor, asked):
    """A page that stands open in another tab keeps its form tokens."""
    page = visitor.open(asked[0])
    visitor.get(page)
    before, token = id_of(visitor), visitor.token()

    visitor.open(asked[0])

    assert id_of(visitor) == before
    decline = f"{page}/requests/{asked[0].public_id}/decline"
    assert visitor.ask("POST", decline, data={"csrf_token": token}).status_code == 303


def test_row_11_two_new_links_at_once_lead_to_sessions_that_both_hold_what_was_there(
    app, visitor, asked, another, owner
):
    """Whichever cookie the browser keeps in the end."""
    visitor.open(another)
    before = id_of(visitor)
    ends = []
    for _ in range(2):
        tab = Visitor(app.test_client())
        tab.web.set_cookie("gh_intake", before)
        tab.open(asked[0])
        ends.append(tab)

    assert len({before, *map(id_of, ends)}) == 3
    for tab in ends:
        assert tab.ask("GET", page_of(asked[0])).status_code == tab.ask("GET", page_of(another)).status_code == 200


def test_row_11_a_fresh_link_of_the_same_bundle_rotates_too(agency, visitor, asked, owner, clock):
    visitor.open(asked[0])
    before, old = id_of(visitor), link_tokens.of(asked[0].bundle)
    clock.forward(minutes=6)
    sending.resend(agency, asked[0].public_id, by=owner)
    assert visitor.ask("GET", f"/l/{old}").status_code == 404

    visitor.open(asked[0])

    assert id_of(visitor) != before
    assert visitor.ask("GET", page_of(asked[0])).status_code == 200

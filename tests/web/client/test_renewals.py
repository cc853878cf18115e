"""“Reconnect” in the portal: what came of it is said on the page that one comes back to."""

import pytest
from bs4 import BeautifulSoup

from app.database import transaction
from app.extensions import db
from app.models import FlowSurface, Health, Notice
from app.oauth.faults import Fault
from app.services import connection_requests
from app.services.callbacks import Landing
from app.web import oauth, toasts
from tests import factories
from tests.support.visitor import Visitor

PAGE = "/portal/connections"
pytestmark = pytest.mark.both_databases


@pytest.fixture
def held(visitor, asked, person):
    """What Priya connected, and what broke then."""
    page = visitor.open(asked[0])
    visitor.get(page)
    visitor.approve(visitor.start(page, asked[0]), person)
    db.session.refresh(asked[0])
    with transaction():
        asked[0].connection.health, asked[0].connection.health_reason = Health.ERROR, Fault.GRANT_ENDED
    return asked[0].connection


@pytest.fixture
def priya(app, held, workspace):
    visitor = Visitor(factories.signed_in_client(app, held.owner_email, workspace))
    visitor.get(PAGE)
    return visitor


def said_after(visitor, answer):
    """The notes of the page that an answer leads to, which has no anchor that would scroll past them."""
    assert answer.status_code == 303
    assert "#" not in answer.headers["Location"]
    page = BeautifulSoup(visitor.ask("GET", answer.headers["Location"]).text, "html.parser")
    return [" ".join(note.get_text(" ", strip=True).split()) for note in page.select(".gh-notes .gh-note")]


def test_a_reconnected_account_is_said_to_be_connected_again(priya, held, person):
    answer = priya.approve(priya.post(f"{PAGE}/{held.public_id}/reconnect"), person)

    assert said_after(priya, answer) == ["Northdesk is connected again The workflows that use it go on."]


@pytest.mark.parametrize(
    ("who", "choice", "because"),
    [
        ("ann", {"deny": True}, "Access was not approved at Northdesk."),
        (
            "ann",
            {"grant": ["tickets.read"]},
            "Northdesk did not grant what the workflows need, probably because a box was not ticked: Answer and close tickets.",
        ),
        ("ben", {}, "You signed in to Northdesk as {ben}, and this connection is of {ann}."),
    ],
)
def test_a_reconnection_that_failed_says_why(priya, held, provider, who, choice, because):
    with transaction():
        held.scopes = ["tickets.read", "tickets.write"]
    answer = priya.approve(priya.post(f"{PAGE}/{held.public_id}/reconnect"), provider.people[who], **choice)

    (said,) = said_after(priya, answer)
    because = because.format_map({name: person.email for name, person in provider.people.items()})
    assert said == f"Northdesk was not connected again {because} Nothing has changed; you can try again."


def test_a_request_withdrawn_meanwhile_is_said_to_be_no_longer_asked_for(app, agency, workspace, owner, person):
    factories.make_member(workspace, "dana@harbordental.example")
    workflow = factories.make_workflow(
        workspace, owner, ("northdesk", "find_ticket"), ("postwave", "send_campaign"), name="Portal's"
    )
    northdesk, _postwave = factories.make_sent(workflow, owner, recipient="dana@harbordental.example")
    dana = Visitor(factories.signed_in_client(app, "dana@harbordental.example", workspace))
    page = f"{PAGE}/workflows/{workflow.public_id}"
    dana.get(page)
    started = dana.start(page, northdesk)
    connection_requests.cancel(agency, northdesk.public_id, by=owner)

    said = said_after(dana, dana.approve(started, person))

    assert said == ["Northdesk is no longer asked for Nothing was connected, and the access is given back."]


def test_what_was_missing_fits_a_note_however_much_it_was(app):
    labels = tuple(f"Read {'a' * 40} {number}" for number in range(9))
    landing = Landing(FlowSurface.PORTAL, "cookie", "Northdesk", Notice.PARTIAL, missing=labels)
    with app.test_request_context():
        _title, said = oauth.renewed(landing)
    assert f"{labels[2]} and 6 more. Nothing has changed; you can try again." in said

    accounts = {"account": f"{'a' * 300}@client.example", "renews": f"{'b' * 300}@client.example"}
    landing = Landing(FlowSurface.PORTAL, "cookie", "Northdesk", Notice.OTHER_ACCOUNT, **accounts)
    with app.test_request_context():
        _title, said = oauth.renewed(landing)
    assert len(said) < toasts.LONGEST
    assert f"as {'a' * 79}…, and this connection is of {'b' * 79}…." in said

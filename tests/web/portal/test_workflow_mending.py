"""The portal's page of a workflow once something that was connected there broke, or was revoked."""

import pytest
from sqlalchemy import select

from app import clock
from app.database import transaction
from app.extensions import db
from app.models import Connection, Health, Status
from app.services import board, connection_requests, fulfilment, revocations, sending
from tests import factories
from tests.support import provided
from tests.web.portal import workflow_page
from tests.web.portal.own_connections import PRIYA, words

catalog, config, visitor = provided.own
person, workflow = provided.fixtures[1:]
asked, dana, member, page = workflow_page.fixtures
pytestmark = pytest.mark.both_databases


def test_a_new_request_for_an_account_takes_the_place_of_the_one_that_was_revoked(
    dana, page, asked, person, workflow, owner
):
    dana.get(page)
    dana.approve(dana.start(page, asked[0]), person)
    connection = db.session.scalars(select(Connection)).one()
    fulfilment.revoke_for(connection, by=owner, at=connection.updated_at)
    with transaction():
        connection.health = Health.REVOKED
    assert "Revoked" in words(dana.get(page))
    connection_requests.request_again(owner.agency, asked[0].public_id, by=owner)
    sending.send(workflow, by=owner)

    said = words(dana.get(page))

    assert "Revoked" not in said
    assert "0 of 2 connected" in said


def test_what_was_revoked_and_connected_again_counts_as_connected_on_both_sides(
    dana, page, asked, person, workflow, owner
):
    dana.get(page)
    dana.approve(dana.start(page, asked[0]), person)
    connection = db.session.scalars(select(Connection)).one()
    fulfilment.revoke_for(connection, by=owner, at=connection.updated_at)
    for health, number in ((Health.REVOKED, 0), (Health.ACTIVE, 1)):
        with transaction():
            connection.health = health

        said, listed = words(dana.get(page)), words(dana.get("/portal/connections"))

        assert f"{number} of 2 connected" in said
        assert f"{number} of 2 connected" in listed
        assert ("Revoked" in said) is (number == 0)
        [group] = board.view(workflow, at=clock.now()).groups
        assert (group.connected, group.total) == (number, 2)
        assert ("Revoked" in [card.badge.text for card in group.cards]) is (number == 0)


def test_a_connection_that_broke_since_is_not_told_as_connected(dana, page, asked, person):
    dana.get(page)
    dana.approve(dana.start(page, asked[0]), person)
    with transaction():
        db.session.scalars(select(Connection)).one().health = Health.ERROR

    said = words(dana.get(page))

    assert "Reconnection needed" in said
    assert "0 of 2 connected" in said


@pytest.mark.parametrize("end", ["broken", "revoked", "deleted", "passed on", "replaced"])
def test_what_works_no_more_leads_to_where_its_owner_brings_it_back(dana, page, asked, person, owner, agency, end):
    dana.get(page)
    dana.approve(dana.start(page, asked[0]), person)
    held = asked[0].connection
    reconnect = f'href="/portal/connections#connection-{held.public_id}"'
    assert reconnect not in dana.get(page)
    if end in ("broken", "replaced"):
        other = factories.make_connection(asked[0].slot.workflow.workspace, "northdesk", name="Another")
        with transaction():
            held.health, asked[1].status = Health.ERROR, Status.CANCELLED
            if end == "replaced":
                asked[0].slot.connection_id = other.id
    elif end == "deleted":
        revocations.delete(agency, held.public_id, confirmed=True, by=owner)
    else:
        revocations.revoke(held, by=owner)
    if end == "passed on":
        with transaction():
            held.owner_email = PRIYA

    shown = dana.get(page)

    assert (reconnect in shown) == (end in ("broken", "revoked"))
    assert ("Northdesk has to be reconnected. The workflow New patient intake waits for it." in words(shown)) == (
        end == "broken"
    ), "nothing else is asked there"

"""Sign-ins that failed, in the audit trail of those whom they concern."""

import pytest
from sqlalchemy import select

from app.extensions import db
from app.models import AuditEvent
from app.tenancy import across_tenants, acting_for
from tests import factories
from tests.web.portal.conftest import DANA
from tests.web.portal.signing_in import button, wrong

pytestmark = pytest.mark.both_databases


def failures():
    with across_tenants("a test's eye"):
        return db.session.scalars(select(AuditEvent).where(AuditEvent.type == "portal.sign_in_failed")).all()


def test_wrong_codes_are_in_the_audit_trail_one_by_one(dana, workspace):
    dana.ask()
    for _ in range(7):
        dana.post("/portal/code", code=wrong(dana.code()))

    events = failures()
    assert len(events) == 5, "what comes after the last try tells nothing more"
    event = events[0]
    assert (event.actor_kind, event.actor, event.data) == ("anonymous", DANA, {"how": "code"})
    assert (event.subject, event.workspace_id, event.address) == (workspace.public_id, workspace.id, "127.0.0.1")


def test_a_button_pressed_in_another_browser_is_in_the_trail_as_often_as_a_code_can_be_tried(dana, anybody):
    dana.ask()
    address = button(dana)
    anybody.get("/portal/login")
    for _ in range(7):
        anybody.post(address)

    assert [(event.actor, event.data) for event in failures()] == [(DANA, {"how": "button"})] * 5


def test_a_failure_of_an_address_that_nobody_knows_is_in_no_trail(anybody):
    anybody.ask("nobody@client.example")
    anybody.post("/portal/code", code=wrong(anybody.code()))
    anybody.post("/portal/enter/nothing")

    assert failures() == []


@pytest.mark.parametrize(("door", "told"), [("/portal/login", 2), ("/portal/login/northwind-studio", 1)])
def test_an_agency_hears_of_what_failed_at_its_own_door_or_the_common_one(
    dana, agency, workspace, stranger, door, told
):
    factories.make_member(factories.make_workspace(agency, "Another"), DANA)
    with across_tenants("a test's setting"):
        theirs = stranger.agency
    with acting_for(theirs.id):
        place = factories.make_workspace(theirs, "Another")
        factories.make_member(place, DANA)
        elsewhere = place.id
    dana.ask(door=door)
    dana.post("/portal/code", code=wrong(dana.code()))

    events = failures()
    assert [event.workspace_id for event in events] == [workspace.id, elsewhere][:told]
    assert len({event.agency_id for event in events}) == told

"""Renaming: a connection's name is unique for its app, in its workspace or in the agency's account."""

import pytest
from sqlalchemy import select

from app.errors import NotFound, Refused
from app.extensions import db
from app.models import AuditEvent
from app.services import connections
from app.services.audit import Actor
from tests import factories
from tests.services.settling import change
from tests.support import shared_app

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures


def renamings():
    events = select(AuditEvent).where(AuditEvent.type == "connection.renamed").order_by(AuditEvent.id)
    return [(event.actor, event.data) for event in db.session.scalars(events)]


@pytest.fixture
def held(workspace):
    return factories.make_connection(workspace, name="Front desk")


def test_get_finds_the_agencys_own_and_nothing_deleted(agency, held, stranger, clock):
    assert connections.get(agency, held.public_id).id == held.id
    with pytest.raises(NotFound):
        connections.get(stranger.agency, held.public_id)
    change(held, deleted_at=clock.now)
    with pytest.raises(NotFound):
        connections.get(agency, held.public_id)


def test_rename_is_told_by_whom_and_from_what(held):
    connections.rename(held, "  Reception ", by=Actor.client("priya@harbordental.example"))

    assert (held.name, held.name_key) == ("Reception", "reception")
    told = {"before": "Front desk", "after": "Reception"}
    assert renamings()[-1] == ("priya@harbordental.example", told)


def test_rename_to_what_it_is_called_already_changes_nothing(held, owner):
    before = len(renamings())
    connections.rename(held, "Front desk ", by=owner)

    assert len(renamings()) == before


@pytest.mark.parametrize("name", ["", "  ", "x" * 81, "two\nlines"])
def test_rename_refuses_what_is_no_name(held, owner, name):
    with pytest.raises(Refused) as refused:
        connections.rename(held, name, by=owner)

    assert refused.value.field == "name"
    assert held.name == "Front desk"


def test_rename_refuses_the_name_of_another_of_its_app_letter_case_aside(workspace, held, owner):
    factories.make_connection(workspace, name="Reception")
    with pytest.raises(Refused, match="Another Slack connection of this workspace has this name already") as refused:
        connections.rename(held, "RECEPTION", by=owner)

    assert refused.value.field == "name"
    assert held.name == "Front desk"


def test_rename_may_use_a_name_of_another_app_workspace_or_of_the_account(agency, workspace, held, owner):
    factories.make_connection(workspace, "hubspot", name="Reception")
    factories.make_connection(factories.make_workspace(agency, "Bluefin"), name="Reception")
    factories.make_connection(workspace, workspace_id=None, name="Reception")

    connections.rename(held, "Reception", by=owner)

    assert held.name == "Reception"


def test_rename_refuses_a_twin_in_the_agencys_account(workspace, owner):
    factories.make_connection(workspace, workspace_id=None, name="Ours")
    other = factories.make_connection(workspace, workspace_id=None, name="Theirs")

    with pytest.raises(Refused, match="of the agency's account has this name"):
        connections.rename(other, "ours", by=owner)


def test_rename_finds_nothing_that_was_deleted_meanwhile(held, owner, clock):
    change(held, deleted_at=clock.now)

    with pytest.raises(NotFound):
        connections.rename(held, "Reception", by=owner)

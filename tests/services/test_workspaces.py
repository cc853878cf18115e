import pytest
from sqlalchemy import select

from app.errors import Conflict, NotFound, Refused
from app.extensions import db
from app.models import AuditEvent
from app.services import members, workspaces
from tests import factories
from tests.support.shared_app import *  # noqa: F403
from tests.support.statements import counted

pytestmark = pytest.mark.both_databases


def audited():
    rows = db.session.scalars(select(AuditEvent).order_by(AuditEvent.id))
    return [(row.type, row.actor, row.subject) for row in rows]


def test_create_makes_a_workspace(agency, owner):
    made = workspaces.create(agency, "  Harbor Dental ", by=owner)

    assert workspaces.get(agency, made.public_id).name == "Harbor Dental"
    assert audited() == [("workspace.created", owner.email, made.public_id)]


@pytest.mark.parametrize("name", ["", "   ", "x" * 81, "Harbor\nDental", "Harbor\u200bDental", "Harbor\u2028Dental"])
def test_create_refuses_a_bad_name(agency, owner, name):
    with pytest.raises(Refused) as refused:
        workspaces.create(agency, name, by=owner)

    assert refused.value.field == "name"
    assert workspaces.page(agency).items == []


def test_create_refuses_a_name_that_there_is_but_not_another_agencys(agency, owner, stranger):
    with factories.across_tenants("a test's setting"):
        workspaces.create(stranger.agency, "Harbor Dental", by=stranger)
    workspaces.create(agency, "Harbor Dental", by=owner)

    with pytest.raises(Refused, match="You have a workspace of this name already") as refused:
        workspaces.create(agency, "harbor dental", by=owner)
    assert refused.value.field == "name"


def test_get_knows_ones_own_only(agency, workspace, stranger):
    with factories.across_tenants("a test's setting"):
        foreign = factories.make_workspace(stranger.agency, "Tannery Row")

    for public_id in (foreign.public_id, "nothing"):
        with pytest.raises(NotFound):
            workspaces.get(agency, public_id)


def test_rename_keeps_names_apart(agency, owner, workspace):
    other = workspaces.create(agency, "Tannery Row", by=owner)
    with pytest.raises(Refused):
        workspaces.rename(agency, other.public_id, "HARBOR DENTAL", by=owner)

    workspaces.rename(agency, other.public_id, "TANNERY ROW", by=owner)
    workspaces.rename(agency, other.public_id, "TANNERY ROW", by=owner)

    assert other.name == "TANNERY ROW"
    assert [row[0] for row in audited()] == ["workspace.created", "workspace.renamed"]


def test_archive_and_restore_move_it_between_the_lists(agency, owner, workspace):
    workspaces.archive(agency, workspace.public_id, by=owner)

    assert workspaces.page(agency).items == []
    assert workspaces.page(agency, archived=True).items == [workspace]
    with pytest.raises(Conflict):
        workspaces.archive(agency, workspace.public_id, by=owner)
    with pytest.raises(Conflict):
        members.add(workspace, name="Dana", email="dana@harbordental.example", by=owner)

    workspaces.restore(agency, workspace.public_id, by=owner)

    assert workspaces.page(agency).items == [workspace]
    with pytest.raises(Conflict):
        workspaces.restore(agency, workspace.public_id, by=owner)
    assert [row[0] for row in audited()] == ["workspace.archived", "workspace.restored"]


@pytest.mark.parametrize(
    ("search", "found"),
    [("", 3), ("harbor", 2), ("DENTAL", 1), ("%", 1), ("_", 0), ("'", 0), ("100%", 1), ("nothing", 0)],
)
def test_page_finds_by_a_part_of_the_name(agency, search, found):
    for name in ("Harbor Dental", "Harbor 100%", "Tannery Row"):
        factories.make_workspace(agency, name)

    assert len(workspaces.page(agency, search=search).items) == found


def test_page_lists_ones_own_last_active_first(agency, stranger, clock):
    first = factories.make_workspace(agency, "Harbor Dental")
    clock.forward(hours=1)
    second = factories.make_workspace(agency, "Tannery Row")
    with factories.across_tenants("a test's setting"):
        factories.make_workspace(stranger.agency, "Kestrel Coffee")

    assert workspaces.page(agency).items == [second, first]


def test_a_list_costs_the_same_however_long(agency):
    costs = []
    for number in (1, 20):
        for each in range(number):
            factories.make_workspace(agency, f"Client {number}-{each}")
        db.session.rollback()
        assert agency.id
        with counted() as statements:
            members.counts(workspaces.page(agency).items)
        costs.append(len(statements))

    assert costs[0] == costs[1] == 2

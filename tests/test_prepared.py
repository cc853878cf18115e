"""Statements that are made once: they keep to the tenant as those that the guard sees do."""

import pkgutil
import re
from importlib import import_module
from types import SimpleNamespace

import pytest
from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql

from app import clock, services
from app.database import transaction
from app.extensions import Base, db
from app.models import Agency, AuditEvent, Workflow, Workspace
from app.prepared import Prepared, bound_criteria
from app.tenancy import (
    OwnedByAgency,
    Tenant,
    TenantMissing,
    _criteria,
    across_tenants,
    acting_for,
    names_owned_table,
    owned_tables,
)
from tests import factories

pytestmark = pytest.mark.both_databases

NAMES = Prepared(select(Workspace.name).order_by(Workspace.id))
RENAME = Prepared(update(Workspace).where(Workspace.id == bindparam("which")).values(name=bindparam("called")))
RECORD = Prepared(insert(AuditEvent))


@pytest.fixture
def theirs(stranger):
    made = factories.make_workspace(stranger.agency, "Elsewhere")
    return SimpleNamespace(id=made.id, agency_id=made.agency_id)


@pytest.fixture
def ours(workspace):
    return SimpleNamespace(id=workspace.id, agency_id=workspace.agency_id)


def names(agency_id=None, workspace_id=None):
    with acting_for(agency_id, workspace_id) if agency_id else across_tenants("a test looks at all"):
        return NAMES().scalars().all()


def test_it_finds_the_tenants_rows_alone(agency, ours, theirs):
    other = factories.make_workspace(agency, "Cobalt").id

    assert names(ours.agency_id) == ["Harbor Dental", "Cobalt"]
    assert names(ours.agency_id, other) == ["Cobalt"]
    assert names(theirs.agency_id) == ["Elsewhere"]
    assert names() == ["Harbor Dental", "Elsewhere", "Cobalt"]  # so that the criteria are seen to matter


def test_it_changes_no_row_of_another_tenant(agency, ours, theirs):
    with acting_for(ours.agency_id), transaction():
        assert RENAME(which=theirs.id, called="Taken").rowcount == 0
        assert RENAME(which=ours.id, called="Harbour Dental").rowcount == 1

    assert names() == ["Harbour Dental", "Elsewhere"]


def test_it_writes_no_row_of_another_tenant(agency, ours, theirs):
    def record(agency_id, workspace_id):
        said = {
            "type": "a.test",
            "actor_kind": "system",
            "actor": "",
            "subject_kind": "test",
            "subject": "x",
            "data": {},
        }
        with transaction():
            RECORD(agency_id=agency_id, workspace_id=workspace_id, at=clock.now(), **said)

    with acting_for(ours.agency_id, ours.id):
        record(ours.agency_id, ours.id)
        for whose in ((theirs.agency_id, None), (ours.agency_id, theirs.id)):
            with pytest.raises(TenantMissing):
                record(*whose)


def test_several_rows_are_written_in_their_order_and_all_of_the_tenant(agency, ours, theirs):
    said = {"type": "a.test", "actor_kind": "system", "actor": "", "subject_kind": "test", "data": {}}

    def record(*whose):
        rows = [
            {"agency_id": agency_id, "workspace_id": workspace_id, "at": clock.now(), **said, "subject": str(number)}
            for number, (agency_id, workspace_id) in enumerate(whose)
        ]
        with transaction():
            RECORD.many(rows)

    with acting_for(ours.agency_id, ours.id):
        record((ours.agency_id, ours.id), (ours.agency_id, None), (ours.agency_id, ours.id))
        for foreign in ((theirs.agency_id, None), (ours.agency_id, theirs.id)):
            with pytest.raises(TenantMissing):
                record((ours.agency_id, ours.id), foreign)
        with pytest.raises(RuntimeError, match="outside a transaction"):
            RECORD.many([])

    rows = select(AuditEvent.subject, AuditEvent.public_id).where(AuditEvent.type == "a.test").order_by(AuditEvent.id)
    with acting_for(ours.agency_id):
        written = db.session.execute(rows).all()
    assert [subject for subject, _ in written] == ["0", "1", "2"]
    assert len({public_id for _, public_id in written}) == 3


def test_it_wants_a_tenant(agency):
    db.session().info["tenant"] = None

    for statement, values in ((NAMES, {}), (RENAME, {"which": 1, "called": "x"}), (RECORD, {"agency_id": 1})):
        with pytest.raises(TenantMissing):
            statement(**values)


TABLE = Workspace.__table__
BARE = (
    select(TABLE.c.name),
    select(func.count()).select_from(TABLE),
    select(Agency.name, TABLE.alias().c.name.label("theirs")),
    select(Agency.name).join(TABLE, TABLE.c.agency_id == Agency.id),
    select(Workflow.name).where(Workflow.workspace_id.in_(select(TABLE.c.id))),
    update(TABLE).values(name="Taken"),
    update(Workspace).values(agency_id=bindparam("to")),
)


@pytest.mark.parametrize("statement", BARE, ids=str)
def test_it_refuses_what_no_criterion_can_be_put_on(agency, ours, statement):
    with acting_for(ours.agency_id), transaction(), pytest.raises(TenantMissing, match="can be held"):
        Prepared(statement)(to=1)


def test_without_that_look_it_would_read_another_tenants_rows(agency, ours, theirs, monkeypatch):
    monkeypatch.setattr("app.prepared.can_be_held", lambda _statement: True)

    with acting_for(ours.agency_id):
        assert "Elsewhere" in Prepared(BARE[0])().scalars().all()


def test_it_writes_in_transactions_alone(agency, ours):
    with acting_for(ours.agency_id), pytest.raises(RuntimeError, match="outside a transaction"):
        RENAME(which=ours.id, called="Changed")


def test_it_wants_every_value(agency, ours):
    with acting_for(ours.agency_id), transaction(), pytest.raises(KeyError):
        RENAME(which=ours.id)


def unheld(statement):
    """How many tables of tenants' data a statement names, and how many criteria of the tenant it has, as it is sent."""
    sql = str(statement.compile(dialect=postgresql.dialect()))
    tables = "|".join(table.name for table in owned_tables())
    return len(re.findall(rf"(?:\bFROM|\bJOIN|\bUPDATE|,) (?:{tables})\b(?!\.)", sql)) - sql.count(
        "%(tenant_agency_id)s"
    )


def test_every_one_of_the_applications_is_held_wherever_it_names_a_tenants_table(app):
    names = [f"app.services.{each.name}" for each in pkgutil.iter_modules(services.__path__)]
    made = [each for name in names for each in vars(import_module(name)).values() if isinstance(each, Prepared)]
    reading = [each._statement for each in made if not each._statement.is_insert]
    held = bound_criteria(narrow=False)

    assert len(reading) > 20
    assert [str(each) for each in reading if unheld(each.options(*held))] == []
    assert all(unheld(each) for each in reading if names_owned_table(each)), "the measuring would notice"
    assert all(unheld(each.options(*held)) for each in BARE[:6]), "bare tables too"


@pytest.mark.parametrize("workspace_id", [None, 7])
def test_it_holds_every_table_to_what_the_guard_holds_it_to(app, app_context, workspace_id):
    """Each owned table: the criteria that a prepared statement has are the guard's, with values in place of its own."""
    for mapper in Base.registry.mappers:
        if issubclass(mapper.class_, OwnedByAgency):
            one = select(mapper.class_.id)
            bound = one.options(*bound_criteria(narrow=workspace_id is not None)).compile(db.engine)
            guarded = one.options(*_criteria(Tenant(1, workspace_id))).compile(db.engine)
            assert str(bound).count(" AND ") == str(guarded).count(" AND "), mapper
            assert {"tenant_agency_id"} <= bound.params.keys()

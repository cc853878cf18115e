"""Transactions, the tenant guard, and the types that tables share."""

import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import delete, func, insert, literal, select, text, update
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.orm import joinedload

from app.database import in_transaction, new_public_id, transaction
from app.extensions import Base, db
from app.models import (
    Agency,
    AuditEvent,
    Connection,
    ConnectionRequest,
    Counter,
    Health,
    Member,
    Slot,
    Workflow,
    Workspace,
)
from app.tenancy import OwnedByAgency, TenantMissing, across_tenants, acting_for, enter_tenant
from tests import factories
from tests.support import shared_app
from tests.support.elsewhere import at_once, elsewhere, outcomes

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures
app_on_postgres, app_on_sqlite = shared_app.apps


def names():
    db.session.rollback()
    return set(db.session.scalars(select(Workspace.name)).all())


def add(agency, name):
    at, agency_id = datetime.now(UTC), agency if isinstance(agency, int) else agency.id
    db.session.add(Workspace(agency_id=agency_id, name=name, created_at=at, active_at=at))


# ── Transactions ────────────────────────────────────────────────────────────


def test_transaction_commits_at_the_end(agency):
    with transaction():
        add(agency, "kept")
        assert in_transaction()

    assert not in_transaction()
    assert elsewhere(lambda _: names(), agency) == {"kept"}


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_transaction_keeps_nothing_when_anything_goes_wrong(agency, error):
    def fail():
        with transaction():
            add(agency, "lost")
            db.session.flush()
            raise error

    with pytest.raises(error):
        fail()

    assert names() == set()
    assert not in_transaction()
    with transaction():
        add(agency, "kept")
    assert names() == {"kept"}


def test_an_inner_transaction_joins_the_outer_one(agency):
    def fail():
        with transaction():
            with transaction():
                add(agency, "inner")
            assert in_transaction()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert names() == set()


def test_transaction_reads_anew_what_was_read_before(agency, workspace):
    assert workspace.name == "Harbor Dental"

    def rename(_agency, workspace):
        with transaction():
            workspace.name = "Cobalt"

    elsewhere(rename, agency, workspace)

    with transaction():
        assert workspace.name == "Cobalt"


@pytest.mark.parametrize("statement", [update(Workspace).values(name="x"), delete(Member), insert(Counter)], ids=str)
def test_statements_that_change_something_are_refused_outside_a_transaction(agency, workspace, statement):
    with pytest.raises(RuntimeError, match="outside a transaction"):
        db.session.execute(statement)


def test_transaction_refuses_what_was_changed_outside_of_one(agency, workspace):
    workspace.name = "Changed"

    with pytest.raises(RuntimeError, match="outside a transaction"), transaction():
        pass
    db.session.rollback()


def test_twenty_writers_at_once_all_succeed(agency, workspace):
    """On SQLite a transaction that reads before it writes would lose here, did it not begin IMMEDIATE."""

    def count_up(_agency, workspace):
        with transaction() as session:
            session.execute(select(Workspace.id).where(Workspace.id == workspace.id).with_for_update())
            session.refresh(workspace)
            workspace.name = str(int(workspace.name) + 1)

    with transaction():
        workspace.name = "0"
    futures = at_once([count_up] * 20, agency, workspace)

    assert outcomes(futures) == [None] * 20
    assert names() == {"20"}


def test_readers_do_not_wait_for_a_writer(agency, workspace):
    seen, go_on = [], threading.Event()

    def write(agency):
        with transaction():
            add(agency, "being written")
            db.session.flush()
            go_on.wait(10)

    def read(_agency):
        seen.append(names())
        go_on.set()

    assert outcomes(at_once([write, read], agency)) == [None, None]
    assert seen == [{"Harbor Dental"}]


def test_what_the_database_promises(app, app_context):
    def said(question):
        with across_tenants("settings are nobody's"):
            return db.session.execute(text(question)).scalar()

    if db.engine.dialect.name == "postgresql":
        assert said("SHOW transaction_isolation") == "read committed"
        return
    assert (said("PRAGMA journal_mode"), said("PRAGMA foreign_keys")) == ("wal", 1)
    assert said("PRAGMA synchronous") == 2, "a commit is on the disk: a lost refresh token is a lost connection"


def test_references_are_held(agency, workspace, clock):
    with pytest.raises(IntegrityError), transaction() as session:
        session.add(
            Member(agency_id=agency.id, workspace_id=10**9, email="x@x.example", name="X", created_at=clock.now)
        )


# ── The tenant guard ────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Foreign:
    """What another agency has, by its keys: a workspace with a member."""

    agency_id: int
    workspace_id: int
    member_id: int


@pytest.fixture
def foreign(stranger):
    workspace = shared_app.foreign_workspace(stranger)
    with across_tenants("to know the keys"):
        member = factories.make_member(workspace, "zoe@foreign.example", "Zoe")
        found = Foreign(stranger.agency_id, workspace.id, member.id)
    db.session.expunge(member)
    return found


@pytest.fixture
def nobody(agency):
    """No tenant is set."""
    db.session().info["tenant"] = None
    yield
    enter_tenant(agency.id)


def test_without_a_tenant_nothing_is_read(foreign, nobody):
    for statement in (
        select(Workspace),
        select(Workspace.name),
        select(func.count()).select_from(Member),
        select(Agency.name).join(Workspace, Workspace.agency_id == Agency.id),
        select(Agency).where(Agency.id.in_(select(Workspace.agency_id))),
        select(Connection).where(Connection.id == 1),
        update(Workspace).values(name="x"),
        delete(Member),
        insert(Member).values(agency_id=foreign.agency_id),
    ):
        with pytest.raises(TenantMissing, match="No tenant is set"), transaction():
            db.session.execute(statement)
    with pytest.raises(TenantMissing):
        db.session.get(Workspace, 1)


def test_without_a_tenant_nothing_is_written(agency, foreign, nobody):
    with pytest.raises(TenantMissing), transaction():
        add(foreign.agency_id, "x")


def test_what_is_no_tenants_can_always_be_read(foreign, nobody):
    assert len(db.session.scalars(select(Agency.id)).all()) >= 2


def test_queries_see_their_own_tenant_alone(agency, workspace, foreign):
    member = factories.make_member(workspace)

    assert names() == {"Harbor Dental"}
    assert db.session.scalars(select(Member.email)).all() == [member.email]
    assert db.session.scalar(select(func.count(Member.id))) == 1
    assert db.session.scalar(select(Workspace).where(Workspace.id == foreign.workspace_id)) is None
    theirs = foreign.workspace_id
    with transaction():
        assert db.session.execute(update(Workspace).where(Workspace.id == theirs).values(name="x")).rowcount == 0
        assert db.session.execute(delete(Member).where(Member.workspace_id == theirs)).rowcount == 0
    with across_tenants("to look"):
        assert db.session.get_one(Workspace, foreign.workspace_id).name == "Foreign"
        assert db.session.get(Member, foreign.member_id) is not None


def test_joins_and_subqueries_are_confined_too(agency, workspace, foreign, owner):
    workflow = factories.make_workflow(workspace, owner, ("slack", "find_user"))
    with across_tenants("a mistake of somebody's"), transaction():
        workflow.workspace_id = foreign.workspace_id

    joined = select(Workflow.name, Workspace.name).join(Workspace, Workspace.id == Workflow.workspace_id)
    assert db.session.execute(joined).all() == []
    within = select(Member.email).where(
        Member.workspace_id.in_(select(Workspace.id).where(Workspace.name == "Foreign"))
    )
    assert db.session.scalars(within).all() == []
    loaded = db.session.scalars(select(Workflow).options(joinedload(Workflow.workspace))).one()
    assert loaded.workspace is None
    db.session.rollback()
    db.session.expunge_all()
    assert db.session.scalars(select(Workflow)).one().workspace is None


def test_get_by_key_sees_its_own_tenant_alone(agency, workspace, foreign):
    assert db.session.get(Workspace, workspace.id) is not None
    assert db.session.get(Workspace, foreign.workspace_id) is None
    assert db.session.get(Member, foreign.member_id) is None


def test_one_workspace_can_be_acted_for(agency, workspace, owner):
    other = factories.make_workspace(agency, "Cobalt")
    for place, email in ((workspace, "a@x.example"), (other, "b@x.example")):
        factories.make_member(place, email)
        factories.make_connection(place)
    factories.make_connection(workspace, workspace_id=None)

    with acting_for(agency.id, workspace.id):
        assert db.session.scalars(select(Member.email)).all() == ["a@x.example"]
        assert [each.workspace_id for each in db.session.scalars(select(Connection))] == [workspace.id]
        with pytest.raises(TenantMissing, match="another workspace"), transaction() as session:
            session.add(Slot(agency_id=agency.id, workspace_id=other.id, workflow_id=1, app_key="slack"))
    assert len(db.session.scalars(select(Member.email)).all()) == 2


def test_writes_for_another_agency_are_refused(agency, workspace, foreign):
    with pytest.raises(TenantMissing), transaction():
        add(foreign.agency_id, "x")

    with across_tenants("to have it at hand"):
        theirs = db.session.get_one(Member, foreign.member_id)
        assert theirs.name
    for write in (lambda: setattr(theirs, "name", "Taken over"), lambda: db.session.delete(theirs)):
        with pytest.raises(TenantMissing), transaction():
            write()
    with across_tenants("to look"):
        assert db.session.get_one(Member, foreign.member_id, populate_existing=True).name == "Zoe"


def test_a_row_cannot_be_moved_to_another_agency(agency, workspace, foreign):
    with pytest.raises(TenantMissing), transaction():
        workspace.agency_id = foreign.agency_id
    with pytest.raises(TenantMissing), transaction() as session:
        session.execute(update(Workspace).where(Workspace.id == workspace.id).values(agency_id=foreign.agency_id))


def test_a_statement_inserts_nothing_for_another_agency(agency, workspace, foreign):
    at = datetime.now(UTC)
    row = {"name": "x", "name_key": "x", "created_at": at, "active_at": at}
    theirs = row | {"agency_id": foreign.agency_id}
    copied = insert(Workspace).from_select([*theirs], select(*(literal(value) for value in theirs.values())))
    for statement, given in (
        (insert(Workspace).values(theirs), None),
        (insert(Workspace), theirs),
        (insert(Workspace), [row | {"agency_id": agency.id}, theirs]),
        (insert(Workspace).values([theirs, theirs]), None),
        (copied, None),
    ):
        with pytest.raises(TenantMissing), transaction() as session:
            session.execute(statement, given)

    with transaction() as session:
        session.execute(insert(Workspace).values(row | {"agency_id": agency.id}))
        session.execute(insert(Workspace), [row | {"agency_id": agency.id, "name": "y", "name_key": "y"}])
    assert names() == {"Harbor Dental", "x", "y"}


def test_the_tenant_is_as_it_was_after_acting_for_another(agency, workspace, foreign):
    def fail():
        with acting_for(foreign.agency_id):
            assert names() == {"Foreign"}
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert names() == {"Harbor Dental"}


def test_a_new_session_has_no_tenant(app, agency):
    with app.app_context(), pytest.raises(TenantMissing):
        db.session.scalars(select(Workspace)).all()


def test_every_table_of_a_tenants_data_is_guarded():
    # The tenants themselves; how often something happened; the digests of the installation's keys, which seal for all;
    # who signs in to the portal, an address that may be a client of several agencies.
    public = {"agency", "counter", "vault_key", "portal_code", "portal_session"}
    for mapper in Base.registry.mappers:
        name = mapper.local_table.name
        assert issubclass(mapper.class_, OwnedByAgency) is (name not in public), name
        assert (name in public) or not mapper.local_table.c["agency_id"].nullable, name


# ── Types ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("offset", [0, 5.5, -8])
def test_moments_come_back_aware_and_in_utc_to_the_microsecond(agency, workspace, offset):
    there = timezone(timedelta(hours=offset))
    moment = datetime(2026, 3, 29, 2, 30, 0, 123456, tzinfo=there)
    with transaction():
        workspace.archived_at = moment

    db.session.expire_all()
    assert workspace.archived_at == moment
    assert workspace.archived_at.utcoffset() == timedelta(0)
    assert db.session.scalar(select(Workspace.id).where(Workspace.archived_at <= moment)) == workspace.id
    later = moment - timedelta(microseconds=1)
    assert db.session.scalar(select(Workspace.id).where(Workspace.archived_at <= later)) is None


def test_a_naive_moment_is_a_mistake(agency, workspace):
    with pytest.raises(StatementError, match="needs its time zone"), transaction():
        workspace.archived_at = datetime(2026, 3, 29)  # noqa: DTZ001 - the mistake


def test_enums_are_stored_as_their_words(agency, workspace):
    connection = factories.make_connection(workspace, health=Health.ERROR)

    stored = (
        db.session.connection().exec_driver_sql(f"SELECT health FROM connection WHERE id = {connection.id}").scalar()
    )
    assert stored == "error"
    assert connection.health is Health.ERROR


def test_new_public_ids_are_random_and_easy_to_read_aloud():
    made = {new_public_id() for _ in range(1000)}

    assert len(made) == 1000
    assert all(re.fullmatch(r"[a-km-np-z2-9]{20}", each) for each in made)
    assert len(set("".join(made))) == 32


def test_rows_have_ids_for_the_outside_that_say_nothing(agency, workspace, owner):
    workflow = factories.make_workflow(workspace, owner, ("slack", "find_user"))
    factories.make_request(workflow.slots[0], owner)
    for model in (Workspace, Workflow, Slot, ConnectionRequest, AuditEvent):
        for public_id in db.session.scalars(select(model.public_id)):
            assert re.fullmatch(r"[a-z2-9]{20}", public_id)

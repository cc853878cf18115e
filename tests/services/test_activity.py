"""Activity: what a long trail costs whoever reads their own part of it."""

from types import SimpleNamespace

import pytest
from sqlalchemy import insert

from app import clock
from app.database import new_public_id, transaction
from app.extensions import db
from app.models import AuditEvent
from app.services import activity
from tests import factories
from tests.support.statements import counted

DANA, TOM = "dana.reyes@harbordental.example", "tom.hale@harbordental.example"


@pytest.fixture
def visitor(agency, workspace):
    return SimpleNamespace(email=DANA, workspace_id=workspace.id, is_member=True, agency=agency)


def write(connection, number: int) -> None:
    at = clock.now()
    row = {
        "agency_id": connection.agency_id,
        "workspace_id": connection.workspace_id,
        "at": at,
        "type": "connection.used",
        "actor_kind": "system",
        "actor": "runner",
        "subject_kind": "connection",
        "subject": connection.public_id,
        "data": {},
    }
    with transaction() as session:
        session.execute(insert(AuditEvent), [row | {"public_id": new_public_id()} for _ in range(number)])


def test_a_page_is_found_by_the_index_however_long_the_trail(app, workspace, visitor):
    mine = [factories.make_connection(workspace, owner_email=DANA, name=f"Mine {n}") for n in range(3)]
    theirs = factories.make_connection(workspace, owner_email=TOM, name="Theirs")
    write(mine[0], 5)
    write(theirs, 5000)
    with counted() as seen:
        page = activity.page(visitor)

    (looked_up,) = [statement for statement in seen if "UNION ALL" in statement]
    values = [None] * looked_up.count("?")
    plan = " ".join(
        row.detail for row in db.session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {looked_up}", tuple(values))
    )
    assert "SCAN audit_event" not in plan
    assert plan.count("ix_audit_event_subject") == 3
    (changes,) = [statement for statement in seen if "owner_changed" in statement and "UNION" not in statement]
    (plan,) = db.session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {changes}", (None,) * changes.count("?"))
    assert "ix_audit_event_owner_changed" in plan.detail
    assert [event.name for event in page.items] == ["Mine 0"] * 5
    assert len(seen) == 4


@pytest.mark.both_databases
def test_more_connections_than_are_looked_up_at_a_time_are_one_list(app, workspace, visitor, monkeypatch):
    monkeypatch.setattr(activity, "CHUNK", 2)
    mine = [factories.make_connection(workspace, owner_email=DANA, name=f"Mine {n}") for n in range(5)]
    for _again in range(3):
        for each in mine:
            write(each, 1)

    first = activity.page(visitor, size=10)
    second = activity.page(visitor, size=10, after=first.older)

    names = [event.name for event in (*first.items, *second.items)]
    assert names == [f"Mine {n}" for n in (4, 3, 2, 1, 0)] * 3
    assert second.older is None
    assert [event.name for event in activity.page(visitor, size=10, before=second.newer).items] == names[:10]

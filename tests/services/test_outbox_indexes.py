"""The outbox's indexes: whoever looks for work passes by what is over, in hand or for later."""

from datetime import timedelta

import pytest
from sqlalchemy import event, true

from app.extensions import db
from app.services import claims, leases, outbox
from tests.services import outbox_rows
from tests.services.outbox_rows import KIND, put

both = pytest.mark.both_databases
at, everybody = outbox_rows.fixtures


def plans(act):
    """By which index SQLite comes to the rows of the outbox, for each statement of an act."""
    asked = []
    note = lambda *args: asked.append(args[2:4])  # noqa: E731
    event.listen(db.engine, "before_cursor_execute", note)
    act()
    event.remove(db.engine, "before_cursor_execute", note)
    connection = db.session.connection()
    told = [
        str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all())
        for statement, values in asked
        if " outbox" in statement
    ]
    db.session.rollback()
    return told


LOOKS = {
    "is due": lambda at: claims.is_due([KIND], at=at),
    "claim": lambda at: claims.claim([KIND], at=at),
    "hurry": lambda at: outbox.hurry([KIND], ["unreachable"], at=at),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_who_looks_for_what_is_due_passes_by_what_was_done(agency, at, look, monkeypatch):
    put(agency, *map(str, range(20)), at=at)

    assert all("ix_outbox_due" in plan for plan in plans(lambda: look(at)))

    monkeypatch.setattr(outbox, "IS_OPEN", true())
    monkeypatch.setattr(claims, "IS_OPEN", true())
    assert not any("ix_outbox_due" in plan for plan in plans(lambda: look(at))), "or it would not be noticed"


def test_who_looks_for_what_is_in_hand_passes_by_what_waits(agency, at, monkeypatch):
    put(agency, *map(str, range(20)), at=at)

    assert all("ix_outbox_in_hand" in plan for plan in plans(leases.in_hand))

    monkeypatch.setattr(leases, "_IS_IN_HAND", true())
    assert not any("ix_outbox_in_hand" in plan for plan in plans(leases.in_hand)), "or it would not be noticed"


def test_what_is_written_for_later_is_passed_by_until_it_is_due(agency, at):
    put(agency, *map(str, range(20)), at=at, due_at=at + timedelta(hours=1))

    def look():
        claims.is_due([KIND], at=at, ahead=True)
        claims.claim([KIND], at=at, ahead=True)

    assert all("kind=? AND due_at<?" in plan for plan in plans(look))

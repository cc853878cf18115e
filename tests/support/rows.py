"""Everything that is stored of an agency, so that a test can say that nothing changed, or that a secret is nowhere."""

from collections import Counter
from typing import Any

from sqlalchemy import select

from app.extensions import Base, db
from app.models import Agency
from app.tenancy import across_tenants

Rows = dict[str, list[tuple[Any, ...]]]


def rows_of(agency: Agency) -> Rows:
    """Every row of the agency by table, in the order of its primary key, read anew."""
    agency_id = agency.id
    db.session.rollback()
    found: Rows = {}
    with across_tenants("a test looks at everything"):
        for name, table in sorted(Base.metadata.tables.items()):
            owner = table.c.get("agency_id", table.c.id if name == "agency" else None)
            if owner is not None:
                columns = [column for column in table.c if column.name != "active_at"]  # a sign of life, no change
                query = select(*columns).where(owner == agency_id).order_by(*table.primary_key.columns)
                found[name] = [tuple(row) for row in db.session.execute(query)]
    db.session.rollback()
    return found


def changes(before: Rows, after: Rows) -> Counter:
    """What is different, counted: of rows, that they came, went or changed; of acts and of the outbox, each kind."""
    found: Counter = Counter()
    for name in before:
        old, new = ({row[0]: row for row in rows[name]} for rows in (before, after))
        found[name, "came"] += len(new.keys() - old.keys())
        found[name, "went"] += len(old.keys() - new.keys())
        found[name, "changed"] += sum(old[key] != new[key] for key in old.keys() & new.keys())
        if name in ("audit_event", "outbox"):
            kinds = [next(str(value) for value in new[key] if is_kind(value)) for key in new.keys() - old.keys()]
            found.update((name, kind) for kind in kinds)
    return +found


def is_kind(value: object) -> bool:
    """An act or a kind of work: the one value of its row that is two words with a dot between."""
    return isinstance(value, str) and value.replace(".", "", 1).replace("_", "").isalpha() and value.count(".") == 1

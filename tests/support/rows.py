"""Everything that is stored of an agency, so that a test can say that nothing changed, or that a secret is nowhere."""

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

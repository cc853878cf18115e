"""Where connections are used."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from app.extensions import db
from app.models import Slot, Workflow


def workflows_using(connection_ids: Sequence[int]) -> dict[int, list[Workflow]]:
    """The workflows in work that use each of these, by its id, each once and by name; one query."""
    rows = db.session.execute(
        select(Slot.connection_id, Workflow)
        .join(Workflow, Workflow.id == Slot.workflow_id)
        .where(Slot.connection_id.in_(connection_ids), Workflow.archived_at.is_(None))
        .order_by(Workflow.name, Workflow.id)
        .options(joinedload(Workflow.workspace))
    )
    found: dict[int, dict[int, Workflow]] = defaultdict(dict)
    for connection_id, workflow in rows:
        found[connection_id or 0][workflow.id] = workflow
    return {key: list(each.values()) for key, each in found.items()}

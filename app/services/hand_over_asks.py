"""Hand-overs that wait for staff: each names a colleague outside the recipient's own domain."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import contains_eager

from app.catalog.schema import App
from app.models import Agency, ConnectionRequest, Workflow, Workspace
from app.services import paging, scopes
from app.services.paging import Page


@dataclass(frozen=True)
class HandOver:
    """A request whose recipient names somebody else, for staff to agree."""

    asked: ConnectionRequest
    app: App


def waiting(agency: Agency) -> Select[ConnectionRequest]:
    """Those of workflows in work."""
    return (
        select(ConnectionRequest)
        .join(ConnectionRequest.workflow)
        .join(Workflow.workspace)
        .where(ConnectionRequest.agency_id == agency.id, ConnectionRequest.hand_over_to.is_not(None))
        .where(Workflow.archived_at.is_(None), Workspace.archived_at.is_(None))
    )


def page(agency: Agency, **where: Any) -> Page[HandOver]:
    """One page of them, those who asked last first; `where` as for `paging.page`."""
    whole = waiting(agency).options(contains_eager(ConnectionRequest.workflow).contains_eager(Workflow.workspace))
    found = paging.page(whole, ConnectionRequest.hand_over_asked_at, **where)
    return Page(_shown(found.items), found.newer, found.older)


def _shown(rows: Sequence[ConnectionRequest]) -> list[HandOver]:
    return [HandOver(each, scopes.app_of(each)) for each in rows]

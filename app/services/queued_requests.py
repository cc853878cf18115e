"""Requests that wait to be sent from a workflow: which they are, for whom, and what keeps some from being sent."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import CompoundSelect, select, union_all
from sqlalchemy.orm import joinedload, selectinload

from app.extensions import db
from app.i18n import _
from app.models import Agency, ConnectionRequest, Slot, Status, Workflow
from app.services import mending_requests, oauth_clients, scopes

WITH_SLOT = (
    joinedload(ConnectionRequest.connection),
    joinedload(ConnectionRequest.slot).options(joinedload(Slot.connection), selectinload(Slot.nodes)),
)


@dataclass(frozen=True)
class Left:
    """A recipient to whom nothing was sent, and why."""

    recipient: str
    apps: tuple[str, ...]
    reason: str


def ids(workflow: Workflow) -> CompoundSelect[tuple[int]]:
    """The ids of what is queued here, and of what is queued elsewhere to mend a connection that is used here too."""
    queued = select(ConnectionRequest.id).where(ConnectionRequest.status == Status.QUEUED)
    here, elsewhere = ConnectionRequest.workflow_id == workflow.id, mending_requests.from_elsewhere(workflow)
    return union_all(queued.where(here), queued.where(elsewhere))


def by_recipient(workflow: Workflow) -> dict[str, list[ConnectionRequest]]:
    """What is queued, with slots and connections, by the address that it is for."""
    queued = (
        select(ConnectionRequest)
        .where(ConnectionRequest.id.in_(ids(workflow)))
        .options(*WITH_SLOT)
        .order_by(ConnectionRequest.id)
    )
    groups: dict[str, list[ConnectionRequest]] = defaultdict(list)
    for asked in db.session.scalars(queued):
        groups[asked.recipient].append(asked)
    return groups


def stuck(workflow: Workflow, groups: Mapping[str, Sequence[ConnectionRequest]], agency: Agency) -> list[Left]:
    """Those of these recipients to whom nothing can be sent, and why."""
    unfit = _unfit_apps(groups, agency)
    astray = mending_requests.misdirected(each for asked in groups.values() for each in asked)
    troubles = (_trouble(workflow, to, asked, unfit, astray) for to, asked in groups.items())
    return [trouble for trouble in troubles if trouble]


def _unfit_apps(groups: Mapping[str, Sequence[ConnectionRequest]], agency: Agency) -> set[str]:
    """The keys of the apps among these that a client can't be asked for; one query however many there are."""
    states = oauth_clients.states(agency)
    apps = {each.app_key for asked in groups.values() for each in asked}
    return {key for key in apps if key not in states or not states[key].ready}


def _trouble(
    workflow: Workflow,
    recipient: str,
    asked: Sequence[ConnectionRequest],
    unfit: set[str],
    misdirected: Sequence[ConnectionRequest],
) -> Left | None:
    names = {each.app_key: scopes.app_of(each).name for each in asked}
    if workflow.archived_at or workflow.workspace.archived_at:
        return Left(recipient, tuple(names.values()), _("this workspace is archived."))
    at_fault = [name for key, name in names.items() if key in unfit]
    if at_fault:
        reason = _("%(app)s has no OAuth client. Set it up on the Apps page.", app=at_fault[0])
        return Left(recipient, tuple(at_fault), reason)
    astray = [each for each in asked if each in misdirected]
    if astray:
        return Left(
            recipient, tuple(names[each.app_key] for each in astray), mending_requests.why_misdirected(astray[0])
        )
    return None

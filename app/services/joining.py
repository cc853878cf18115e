"""Joining: a request comes to somebody who may have been mailed a moment ago, with at most one mail in five minutes.

Till then it stands on the page that their present link leads to; if they have none, their mail waits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from app import clock
from app.database import transaction
from app.extensions import db
from app.models import Bundle, ConnectionRequest, Status, Workspace
from app.services import bundles, outbox, scopes, sending
from app.services.claims import Postponed, Superseded

KIND = "bundle.renew"


@dataclass(frozen=True)
class Place:
    """The bundle where a request belongs, and when its recipient may be mailed of it: none is now.

    `is_fresh` where its link was made for this; else it is one that they may be using.
    """

    bundle: Bundle
    due: datetime | None
    is_fresh: bool


def find(workspace: Workspace, recipient: str, *, by: str, at: datetime) -> Place:
    """Where a request for them belongs; `by` signs a fresh link. Within a transaction that holds the workspace's lock."""
    due = _due(workspace.id, recipient, at=at)
    present = bundles.open_for(workspace.id, recipient, at=at) if due else None
    if present is not None and not present.is_expired(at):
        return Place(present, due, is_fresh=False)
    return Place(bundles.mint(workspace, recipient, by=by, at=at), due, is_fresh=True)


def _due(workspace_id: int, recipient: str, *, at: datetime) -> datetime | None:
    due = bundles.resend_available_at(workspace_id, [recipient]).get(recipient)
    return due if due and due > at else None


def announce(asked: ConnectionRequest, place: Place, *, at: datetime) -> None:
    """See to the mail that names a request which just came to its place; in the same transaction.

    Where one is still to leave, it is that one; after one that left, a fresh link is due.
    """
    if place.is_fresh:
        sending.post(place.bundle, at=at, due_at=place.due)
        return
    asked.sent_scopes = list(scopes.required(asked, scopes.needed_to_mend([asked])))
    db.session.flush()
    bundles.touch(asked.workspace_id, at=at)
    # point: bundle.joined
    bundle = _held_back(place.bundle.id)
    if bundle.clock_started_at is not None:
        given = {"request": asked.id, "bundle": bundle.id, "epoch": bundle.epoch}
        key = f"{asked.public_id}:{asked.transition}"
        outbox.put(KIND, key, agency_id=asked.agency_id, at=at, due_at=place.due, **given)


def _held_back(bundle_id: int) -> Bundle:
    """The bundle as it is now; its mail does not leave before the transaction ends."""
    found = select(Bundle).where(Bundle.id == bundle_id).with_for_update()
    return db.session.scalars(found.execution_options(populate_existing=True)).one()


def renew(payload: Mapping[str, Any]) -> None:
    """Mail somebody a fresh link, with all that is asked of them, now that five minutes have gone by since the last.

    Superseded where another mail named what joined, or nobody is asked for it any more; Postponed.
    """
    at = clock.now()
    with transaction() as session:
        asked = session.get_one(ConnectionRequest, payload["request"])
        bundles.turn(asked.workspace_id)
        bundle = asked.bundle
        if bundle is None or not _is_owed(asked, bundle, payload):
            raise Superseded
        if due := _due(bundle.workspace_id, bundle.recipient, at=at):
            raise Postponed("wait", due)
        fresh = bundles.mint(bundle.workspace, bundle.recipient, by=bundle.sent_by, at=at)
        # point: renewal.minted
        sending.post(fresh, at=at)
        # point: renewal.posted


def _is_owed(asked: ConnectionRequest, bundle: Bundle, payload: Mapping[str, Any]) -> bool:
    """Whether it is still asked with the link that it joined; a bundle that was closed is not opened again."""
    is_same = (bundle.id, bundle.epoch) == (payload["bundle"], payload["epoch"])
    in_work = asked.workflow.archived_at is None and bundle.workspace.archived_at is None
    return is_same and asked.status is Status.PENDING and bundle.closed_at is None and in_work

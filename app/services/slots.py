"""Slots: which account a workflow needs, who provides it, and which connection fills it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import delete, or_, select

from app import clock
from app.database import transaction
from app.errors import Conflict, DomainError, NotFound, Refused
from app.extensions import db
from app.i18n import _
from app.models import Connection, Health, Slot, Source, Staff, Workflow
from app.services import audit, bundles, confirmations, connection_requests, scopes, slot_requests

MOST_OFFERED = 200


class NeedsConfirmation(DomainError):
    """It would cancel a request; asked again with the person's yes, it is done."""


def get(workflow: Workflow, public_id: str) -> Slot:
    """The workflow's slot of that id; NotFound."""
    for slot in workflow.slots:
        if slot.public_id == public_id:
            return slot
    raise NotFound


def shared(workflow: Workflow, app_key: str) -> Slot:
    """The slot that the workflow's nodes of this app share, made with the first of them."""
    for slot in workflow.slots:
        if slot.app_key == app_key:
            return slot
    return _new(workflow, app_key, 0)


def separate(workflow: Workflow, app_key: str) -> Slot:
    """A further slot of the same app."""
    return _new(workflow, app_key, max((s.number for s in workflow.slots if s.app_key == app_key), default=-1) + 1)


def _new(workflow: Workflow, app_key: str, number: int) -> Slot:
    slot = Slot(
        agency_id=workflow.agency_id,
        workspace_id=workflow.workspace_id,
        workflow_id=workflow.id,
        app_key=app_key,
        number=number,
    )
    db.session.add(slot)
    db.session.flush()
    return slot


def drop(slot: Slot) -> None:
    """Delete a slot that no node needs any more; its settled requests stay."""
    db.session.execute(delete(Slot).where(Slot.id == slot.id).execution_options(synchronize_session=False))
    db.session.expunge(slot)


@contextmanager
def _turn_of(slot: Slot) -> Iterator[None]:
    """A transaction that changes a slot, as it is once its turn has come; Conflict when it is gone."""
    slot_id, workspace_id = slot.id, slot.workspace_id
    with transaction() as session:
        bundles.turn(workspace_id)
        if session.get(Slot, slot_id) is None:
            raise Conflict(str(connection_requests.STEP_IS_GONE))
        yield


def set_source(slot: Slot, source: Source, *, confirmed: bool = False, by: Staff) -> None:
    """Say who provides the connection. It cancels a live request and takes a connection out, which asks to confirm."""
    at = clock.now()
    with _turn_of(slot):
        if slot.source is source:
            return
        withdraw_request(slot, confirmed=confirmed, by=by, at=at)
        if slot.connection and not confirmed:
            raise NeedsConfirmation(confirmations.takes_out(slot.connection))
        slot.source, slot.connection_id = source, None
        audit.record("slot.source_changed", slot, by=by, at=at, app=slot.app_key, source=source)


def use_connection(slot: Slot, connection_id: str, *, confirmed: bool = False, by: Staff) -> None:
    """Fill the slot with a connection that is there already; NotFound, or Refused if it lacks permissions."""
    at = clock.now()
    with _turn_of(slot):
        chosen = next((c for c in candidates([slot]) if c.public_id == connection_id), None)
        if chosen is None:
            raise NotFound
        app = scopes.app_of(slot)
        if scopes.missing(app, scopes.of_slot(slot), chosen):
            raise Refused(_("This account does not cover what the workflow needs."))
        if slot.connection_id == chosen.id and not slot_requests.unsettled_for(slot):
            return
        withdraw_request(slot, confirmed=confirmed, by=by, at=at)
        slot.connection_id, slot.lost_at = chosen.id, None
        slot.source = slot.source or (Source.CLIENT if chosen.owner_email else Source.AGENCY)
        audit.record("slot.connection_chosen", slot, by=by, at=at, app=app.key, connection=chosen.public_id)


def withdraw_request(slot: Slot, *, confirmed: bool, by: Staff, at: datetime) -> None:
    """Cancel what is asked for the slot; NeedsConfirmation for a queued or pending request without the person's yes.

    A declined one goes too, so that a client who thinks better of it does not undo what staff decided since.
    """
    asked_for = slot_requests.unsettled_for(slot)
    live = next((asked for asked in asked_for if asked.status.live), None)
    if live is not None and not confirmed:
        raise NeedsConfirmation(confirmations.cancels(live))
    for asked in asked_for:
        connection_requests.withdraw(asked, by=by, at=at)


def candidates(wanted: Sequence[Slot]) -> Sequence[Connection]:
    """The working connections of these slots' apps, of the workspace and of the agency's account, in one query."""
    if not wanted:
        return []
    return db.session.scalars(
        select(Connection)
        .where(
            Connection.agency_id == wanted[0].agency_id,
            Connection.app_key.in_({slot.app_key for slot in wanted}),
            or_(Connection.workspace_id == wanted[0].workspace_id, Connection.workspace_id.is_(None)),
            Connection.health.in_([Health.PENDING, Health.ACTIVE]),
        )
        .order_by(Connection.app_key, Connection.id.desc())
        .limit(MOST_OFFERED)
    ).all()


def covering(slot: Slot, among: Sequence[Connection]) -> list[Connection]:
    """Those of the connections that fit the slot and cover what it needs."""
    app, needed = scopes.app_of(slot), scopes.of_slot(slot)
    return [each for each in among if each.app_key == slot.app_key and not scopes.missing(app, needed, each)]

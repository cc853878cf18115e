"""Connection requests: queued on a slot, moved by the table of statuses, settled once."""

from datetime import datetime
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload

from app import clock
from app.catalog.schema import App
from app.database import transaction
from app.errors import Conflict, NotFound, Refused
from app.extensions import db
from app.i18n import _, lazy_gettext
from app.models import Agency, Bundle, ConnectionRequest, Kind, Slot, Source, Staff, Status
from app.prepared import Row
from app.services import addresses, audit, bundles, oauth_clients, scopes
from app.services.audit import Actor

NOT_OAUTH = "OAuth provider on this request is not configured for OAuth2."
STEP_IS_GONE = lazy_gettext("The step that this was for is no longer there.")
NOTE_LENGTH = 256

FROM: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.QUEUED, Status.PENDING, Status.DECLINED}),
    Status.CANCELLED: frozenset({Status.QUEUED, Status.PENDING, Status.DECLINED}),
    Status.FULFILLED: frozenset({Status.PENDING, Status.DECLINED}),
    Status.DECLINED: frozenset({Status.PENDING}),
    Status.REVOKED: frozenset({Status.FULFILLED}),
    Status.QUEUED: frozenset(),
}


def get(agency: Agency, public_id: str) -> ConnectionRequest:
    """The agency's request of that id, with what surrounds it; NotFound."""
    found = db.session.scalar(
        select(ConnectionRequest)
        .where(ConnectionRequest.agency_id == agency.id, ConnectionRequest.public_id == public_id)
        .options(joinedload(ConnectionRequest.bundle), joinedload(ConnectionRequest.workflow))
    )
    if found is None:
        raise NotFound
    return found


def moved(asked: ConnectionRequest, *, to: Status, only_from: frozenset[Status] | None = None, **values: Any) -> bool:
    """Move a request if the table allows it from where it stands in the database now; one conditional UPDATE."""
    sources = FROM[to] if only_from is None else FROM[to] & only_from
    done = db.session.execute(
        update(ConnectionRequest)
        .where(ConnectionRequest.id == asked.id, ConnectionRequest.status.in_(sources))
        .values(status=to, transition=ConnectionRequest.transition + 1, **values)
        .execution_options(synchronize_session=False)
    )
    db.session.refresh(asked)
    return done.rowcount == 1  # type: ignore[attr-defined,no-any-return]


def check_eligible(agency: Agency, app: App) -> None:
    """Raise Refused for an app that a client can't be asked for: no OAuth, or no client id for it."""
    if not oauth_clients.eligible(agency, app):
        raise Refused(_(NOT_OAUTH))


def queue(slot: Slot, *, recipient: str, note: str = "", expected_account: str = "", by: Staff) -> ConnectionRequest:
    """Put a request for the slot in the queue; nothing is sent, and the client sees nothing of it yet."""
    app, at = scopes.app_of(slot), clock.now()
    check_eligible(by.agency, app)
    address = addresses.normalise(recipient, field="recipient")
    note = addresses.clean_text(note, field="note", most=NOTE_LENGTH)
    expected = addresses.clean_expected(expected_account)
    slot_id, workspace_id = slot.id, slot.workspace_id
    try:
        with transaction() as session:
            bundles.turn(workspace_id)
            if session.get(Slot, slot_id, populate_existing=True) is None:
                raise Conflict(str(STEP_IS_GONE))
            if slot.workflow.archived_at or slot.workflow.workspace.archived_at:
                raise Conflict(_("This workflow is archived."))
            if slot.source is Source.AGENCY:
                raise Conflict(_("The agency provides this connection: choose first that the client does."))
            if _is_covered(slot, app):
                raise Conflict(_("This account is connected already."))
            asked = ConnectionRequest(
                agency_id=slot.agency_id,
                workspace_id=slot.workspace_id,
                workflow_id=slot.workflow_id,
                slot_id=slot.id,
                app_key=slot.app_key,
                recipient=address,
                note=note,
                expected_account=expected,
                created_by_id=by.id,
                created_at=at,
            )
            session.add(asked)
            session.flush()
            bundles.touch(asked.workspace_id, at=at)
            audit.record("request.queued", asked, by=by, at=at, app=app.key, recipient=address)
    except IntegrityError:
        raise Conflict(_("A request for this account is already in the queue or pending.")) from None
    return asked


def _is_covered(slot: Slot, app: App) -> bool:
    held = slot.connection
    return held is not None and held.works and not scopes.missing(app, scopes.of_slot(slot), held)


def edit(agency: Agency, public_id: str, *, note: str, expected_account: str, by: Staff) -> ConnectionRequest:
    """Change what a queued request tells its client and expects of them; Conflict once it has been sent, as they may have read it."""
    at = clock.now()
    values = {
        "note": addresses.clean_text(note, field="note", most=NOTE_LENGTH),
        "expected_account": addresses.clean_expected(expected_account),
    }
    with transaction() as session:
        asked = get(agency, public_id)
        bundles.turn(asked.workspace_id)
        done = session.execute(
            update(ConnectionRequest)
            .where(
                ConnectionRequest.id == asked.id,
                ConnectionRequest.status == Status.QUEUED,
                or_(*(getattr(ConnectionRequest, name) != value for name, value in values.items())),
            )
            .values(**values)
            .execution_options(synchronize_session=False)
        )
        session.refresh(asked)
        if asked.status is not Status.QUEUED:
            raise Conflict(_("This request is not in the queue any more, so it stays as it is."))
        if done.rowcount == 1:  # type: ignore[attr-defined]
            bundles.touch(asked.workspace_id, at=at)
            audit.record("request.edited", asked, by=by, at=at, app=asked.app_key, recipient=asked.recipient)
    return asked


def cancel(agency: Agency, public_id: str, *, by: Staff) -> ConnectionRequest:
    """Withdraw a request; its link dies when nothing of the bundle is left. A callback that comes later finds it gone."""
    at = clock.now()
    with transaction():
        asked = get(agency, public_id)
        bundles.turn(asked.workspace_id)
        withdraw(asked, by=by, at=at)
    return asked


def withdraw(asked: ConnectionRequest, *, by: Staff | Actor, at: datetime) -> None:
    """Cancel within a transaction that holds the workspace's lock; Conflict once it is settled."""
    values: dict[str, Any] = {
        "settled_at": at,
        "generation": ConnectionRequest.generation + 1,
        "notice": None,
        "granted_scopes": None,
        "hand_over_to": None,
    }
    if not moved(asked, to=Status.CANCELLED, **values):
        raise Conflict(_("This request is already settled."))
    bundles.close_if_settled(asked.bundle, at=at)
    bundles.touch(asked.workspace_id, at=at)
    audit.record("request.cancelled", asked, by=by, at=at, app=asked.app_key, recipient=asked.recipient)


def request_again(agency: Agency, public_id: str, *, by: Staff) -> ConnectionRequest:
    """Queue a fresh copy of a cancelled or revoked request."""
    with transaction():
        asked = get(agency, public_id)
        if asked.status not in (Status.CANCELLED, Status.REVOKED):
            raise Conflict(_("This request is still open: there is nothing to ask again."))
        if asked.kind is Kind.REAUTHORIZE:
            raise Conflict(_("This asked to reconnect an account: ask for that at the connection."))
        if asked.slot is None:
            raise Conflict(str(STEP_IS_GONE))
        return queue(
            asked.slot, recipient=asked.recipient, note=asked.note, expected_account=asked.expected_account, by=by
        )


def decline(asked: ConnectionRequest, *, reason: str) -> None:
    """Record that the client can't connect this; reminders stop, and the card stays connectable while the link works.

    Conflict when it is settled, or asked of somebody else since it was read.
    """
    at, bundle_id = clock.now(), asked.bundle_id
    reason = addresses.clean_text(reason, field="reason", most=NOTE_LENGTH)
    with transaction():
        bundles.turn(asked.workspace_id)
        db.session.refresh(asked)
        if asked.bundle_id != bundle_id:
            raise Conflict(_("This request has gone to somebody else meanwhile."))
        if moved(asked, to=Status.DECLINED, declined_reason=reason, declined_at=at, notice=None):
            bundles.touch(asked.workspace_id, at=at)
            actor = Actor.client(asked.recipient)
            audit.record("request.declined", asked, by=actor, at=at, app=asked.app_key, reason=reason)
        elif asked.status is not Status.DECLINED:
            raise Conflict(_("This request is already settled."))


def in_bundle(bundle: Bundle | Row, public_id: str) -> ConnectionRequest:
    """The request of that id within a bundle, for the client's page; NotFound."""
    found = db.session.scalar(
        select(ConnectionRequest).where(
            ConnectionRequest.bundle_id == bundle.id, ConnectionRequest.public_id == public_id
        )
    )
    if found is None:
        raise NotFound
    return found

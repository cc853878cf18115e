"""Revocations: a connection is let go. Use stops at once, its provider is asked for a day at most, then its secret is shredded."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import exists, select, update

from app import clock
from app.database import lock, transaction
from app.errors import NotFound
from app.extensions import db
from app.i18n import _
from app.models import (
    Agency,
    Connection,
    ConnectionRequest,
    Health,
    Revocation,
    Slot,
    Staff,
    Workflow,
)
from app.services import (
    audit,
    bundles,
    causes,
    confirmations,
    connection_requests,
    connections,
    fulfilment,
    outbox,
    scopes,
    secrets,
)
from app.services.audit import Actor
from app.services.slots import NeedsConfirmation

KIND = "connection.revoke"


def revoke(connection: Connection, *, by: Staff | Actor) -> None:
    """End all use of a connection at once, and have its provider told; what is revoked already stays as it is.

    Whoever approves the account anew afterwards has it back; what was asked to mend it before is not wanted any more.
    NotFound for a client whose it is not, or not any more.
    """
    at = clock.now()
    with transaction():
        _turn(connection, at=at)
        if isinstance(by, Actor) and by.kind == "client" and not connections.is_owned(connection, by.name):
            raise NotFound
        _end(connection, by=by, at=at)


def affected(connection: Connection) -> Sequence[Workflow]:
    """The published workflows that pause, or already do, without a connection, by name."""
    return [each for each in _using(connection) if each.version]


def delete(agency: Agency, public_id: str, *, by: Staff, confirmed: bool = False) -> None:
    """Take a connection away for good: out of every list and slot, its name free. It is revoked if it was not yet.

    NotFound; NeedsConfirmation while a workflow uses it. The same account connected again brings it back.
    """
    at = clock.now()
    with transaction():
        connection = connections.get(agency, public_id)
        _turn(connection, at=at)
        if connection.deleted_at is not None:
            raise NotFound
        using = _using(connection)
        if using and not confirmed:
            raise NeedsConfirmation(confirmations.in_use([each.name for each in using]))
        _end(connection, by=by, at=at)
        _withdraw(connection, by=by, at=at)
        _clear_slots(connection, by=by, at=at)
        connection.deleted_at = connection.updated_at = at
        connection.name_key = f"\x1f{connection.public_id}"  # which nobody can type, so that the name is free
        # point: connection.deleting
        audit.record("connection.deleted", connection, by=by, at=at, app=connection.app_key, account=connection.account)


def _turn(connection: Connection, *, at: datetime) -> None:
    """Wait for one's turn with a connection; what was read before is read anew. Within a transaction."""
    if connection.workspace_id is not None:
        bundles.turn(connection.workspace_id)
        bundles.touch(connection.workspace_id, at=at)
    lock(connection)


def _end(connection: Connection, *, by: Staff | Actor, at: datetime) -> None:
    standing, is_interrupted = standing_of(connection), connection.health_reason == causes.INTERRUPTED
    ended = db.session.execute(
        update(Connection)
        .where(Connection.id == connection.id, Connection.health != Health.REVOKED)
        .values(
            health=Health.REVOKED,
            health_reason=None,
            broken_at=None,
            revoked_at=at,
            revocation=standing,
            updated_at=at,
        )
        .execution_options(synchronize_session=False)
    )
    if ended.rowcount != 1:  # type: ignore[attr-defined]
        return
    db.session.refresh(connection)
    # point: connection.ended
    _withdraw(connection, by=by, at=at)
    fulfilment.revoke_for(connection, by=by, at=at)
    audit.record("connection.revoked", connection, by=by, at=at, app=connection.app_key, account=connection.account)
    if standing is Revocation.PENDING and connection.secret is not None:
        key = f"{connection.public_id}:{connection.secret.public_id}"
        told: dict[str, Any] = {"connection": connection.id} | ({"interrupted": True} if is_interrupted else {})
        outbox.put(KIND, key, agency_id=connection.agency_id, at=at, **told)
    else:
        secrets.destroy(connection)
    # point: connection.revoked


def standing_of(connection: Connection) -> Revocation:
    """What can come of giving it back: `PENDING` if there is a provider to ask, else the end of it."""
    app = scopes.app_of(connection)
    if connection.oauth_client is None:  # a key that somebody typed
        return Revocation.UNSUPPORTED
    if app.oauth2 is None or connection.secret is None:
        return Revocation.UNCONFIRMED
    can_ask = app.oauth2.revoke or (connection.endpoints or {}).get("revoke")
    return Revocation.PENDING if can_ask else Revocation.UNSUPPORTED


def _withdraw(connection: Connection, *, by: Staff | Actor, at: datetime) -> None:
    """Ask nobody any more to mend it."""
    for asked in fulfilment.mending(ConnectionRequest.connection_id == connection.id):
        connection_requests.withdraw(asked, by=by, at=at)


def _clear_slots(connection: Connection, *, by: Staff, at: datetime) -> None:
    for slot in db.session.scalars(select(Slot).where(Slot.connection_id == connection.id)).all():
        slot.connection_id, slot.lost_at = None, at if slot.workflow.version else None
        audit.record("slot.connection_removed", slot, by=by, at=at, app=slot.app_key, connection=connection.public_id)
    db.session.flush()


def _using(connection: Connection) -> Sequence[Workflow]:
    uses = exists().where(Slot.workflow_id == Workflow.id, Slot.connection_id == connection.id)
    return db.session.scalars(
        select(Workflow).where(uses, Workflow.archived_at.is_(None)).order_by(Workflow.name, Workflow.id)
    ).all()


# ── In words ─────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Words:
    """What became of a revocation; `link` leads to where the account's owner can end the access themselves, if they have to."""

    text: str
    link: str = ""


def words(connection: Connection) -> Words | None:
    """What to say of a connection that was revoked; none of any other."""
    if connection.health is not Health.REVOKED:
        return None
    app = scopes.app_of(connection)
    if connection.revocation is Revocation.CONFIRMED:
        return Words(_("Revoked at %(app)s", app=app.name))
    if connection.revocation is Revocation.PENDING:
        return Words(_("We stopped using it; %(app)s has yet to confirm that it is revoked there", app=app.name))
    if connection.revocation is Revocation.KEPT_FOR_SIBLING:
        kept = _(
            "We stopped using it and deleted it here; %(app)s was not asked to revoke it: that would end another connection of the account",
            app=app.name,
        )
        return Words(kept)
    if connection.oauth_client is None:
        said = _("We stopped using it and deleted it here; remove the key in your %(app)s settings", app=app.name)
    elif connection.revocation is Revocation.UNSUPPORTED:
        said = _(
            "We stopped using it and deleted it here; %(app)s offers no revocation: remove it in your %(app)s settings",
            app=app.name,
        )
    else:
        said = _(
            "We stopped using it and deleted it here; %(app)s did not confirm that it is revoked: remove it in your %(app)s settings",
            app=app.name,
        )
    return Words(said, app.revoke_help)

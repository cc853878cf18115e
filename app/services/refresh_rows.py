"""What every use and every refresh of a connection reads and writes, as statements that are made once."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, exists, or_, select, update

from app.models import Connection, Health, Revocation, Secret, Slot, Workflow, Workspace
from app.prepared import Prepared
from app.services import pauses

_its = Connection.id == bindparam("connection")
_works = or_(Connection.health == Health.PENDING, Connection.health == Health.ACTIVE)
_WHICH = (
    Connection.id,
    Connection.public_id,
    Connection.agency_id,
    Connection.workspace_id,
    Connection.app_key,
    Connection.health,
    Connection.health_reason,
)
_COLUMNS = (
    *_WHICH,
    Connection.oauth_client,
    Connection.client_id,
    Connection.endpoints,
    Connection.fields,
    Connection.kept,
    Connection.scopes,
    Connection.secret_id,
    Connection.refreshable,
    Connection.granted_at,
    Connection.token_at,
    Connection.expires_at,
    Connection.grant_ends_at,
    Connection.refresh_lease,
    Connection.refresh_failures,
    Connection.refresh_failed_at,
    Connection.refresh_after,
    Connection.used_at,
    Connection.deleted_at,
    Connection.issuer,
    Connection.external_id,
    Connection.account,
    Secret.public_id.label("secret_public_id"),
    Secret.version,
    Secret.blob,
)

# `paused_until`: for this connection; `refreshes_paused_until`: for what nobody asked for.
_PAUSES = (
    pauses.end_of(Connection.oauth_client, pauses.connection_of(Connection.public_id)).label("paused_until"),
    pauses.end_of(pauses.refreshes_of(Connection.oauth_client)).label("refreshes_paused_until"),
)

STANDING = Prepared(select(*_COLUMNS, *_PAUSES).outerjoin(Secret, Secret.id == Connection.secret_id).where(_its))

# What a token that is still good takes: asked for at every use.
IN_USE = Prepared(
    select(
        *_WHICH,
        Connection.fields,
        Connection.kept,
        Connection.refreshable,
        Connection.token_at,
        Connection.expires_at,
        Connection.used_at,
        Connection.deleted_at,
        Secret.public_id.label("secret_public_id"),
        Secret.version,
        Secret.blob,
    )
    .outerjoin(Secret, Secret.id == Connection.secret_id)
    .where(_its)
)

# Enough for who waits: looked at again and again.
WAITED_FOR = Prepared(
    select(Connection.refresh_lease, Connection.health, Secret.version)
    .outerjoin(Secret, Secret.id == Connection.secret_id)
    .where(_its)
)

# Both rows are locked, so that neither is of an earlier moment than the other.
HELD = Prepared(
    select(
        *_WHICH,
        Connection.secret_id,
        Connection.refresh_lease,
        Secret.version,
    )
    .join(Secret, Secret.id == Connection.secret_id)
    .where(_its)
    .with_for_update()
)

TAKE = Prepared(
    update(Connection)
    .where(_its, Connection.refresh_lease.is_(None), Connection.deleted_at.is_(None), _works)
    .values(refresh_lease=bindparam("holder"), refresh_called_at=bindparam("moment"))
)
TAKE_LAST = Prepared(
    update(Connection)
    .where(
        _its,
        Connection.refresh_lease.is_(None),
        Connection.health == Health.REVOKED,
        Connection.revocation == Revocation.PENDING,
    )
    .values(refresh_lease=bindparam("holder"), refresh_called_at=bindparam("moment"))
)


def _to(*names: str) -> dict[str, Any]:
    columns = Connection.__table__.c
    return {name: bindparam(f"to_{name}", type_=columns[name].type) for name in names}


_free = {"refresh_lease": None, "refresh_called_at": None}
_fresh = {**_free, "refresh_failures": 0, "refresh_failed_at": None, "refresh_after": None}
SAVED = Prepared(
    update(Connection)
    .where(_its)
    .values(
        **_fresh,
        **_to("client_id", "expires_at", "grant_ends_at", "health_reason", "kept", "refreshable", "scopes", "token_at"),
    )
)
FREED = Prepared(update(Connection).where(_its, Connection.refresh_lease == bindparam("holder")).values(**_free))
LATER = Prepared(
    update(Connection)
    .where(_its, Connection.refresh_lease == bindparam("holder"))
    .values(**_free, **_to("refresh_failures", "refresh_failed_at", "refresh_after", "health_reason"))
)
USED = Prepared(update(Connection).where(_its).values(used_at=bindparam("moment")))
PROVED = Prepared(
    update(Connection).where(_its, Connection.health == Health.PENDING).values(health=Health.ACTIVE)
)  # fmt: skip

_lives = exists(
    select(Slot.id)
    .join(Workflow, Workflow.id == Slot.workflow_id)
    .join(Workspace, Workspace.id == Workflow.workspace_id)
    .where(Slot.connection_id == Connection.id, Workflow.archived_at.is_(None), Workspace.archived_at.is_(None))
)


def ahead(ids: Sequence[int]) -> Any:
    """How these connections stand, and whether a live workflow needs them: in one statement, for a batch."""
    return (
        select(
            Connection.id,
            Connection.oauth_client,
            Connection.health,
            Connection.deleted_at,
            Connection.refreshable,
            Connection.refresh_failed_at,
            Connection.refresh_after,
            Secret.version,
            *_PAUSES,
            _lives.label("is_needed"),
        )
        .outerjoin(Secret, Secret.id == Connection.secret_id)
        .where(Connection.id.in_(ids))
    )

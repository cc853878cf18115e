"""Right account: a grant for another account than was expected waits until the client says whether to use it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest

from sqlalchemy import ColumnElement, select

from app import clock, runtime
from app.database import transaction
from app.errors import Conflict
from app.extensions import db
from app.i18n import _
from app.models import Bundle, ConnectionRequest, Flow, FlowStatus, Notice
from app.prepared import Row
from app.services import bundles, grants, scopes, settlement
from app.services.intake import Intake


@dataclass(frozen=True)
class Waiting:
    """An account that waits for the client's word; `may_use` if it was connected in this very browser."""

    label: str
    may_use: bool


def waiting(bundle: Row | Bundle, *, session_hash: bytes, at: datetime) -> Mapping[str, Waiting]:
    """What waits in a bundle, by the request's id; one query."""
    found = db.session.execute(
        select(ConnectionRequest.public_id, Flow.account, Flow.session_hash)
        .join(ConnectionRequest, ConnectionRequest.id == Flow.request_id)
        .where(Flow.bundle_id == bundle.id, *_waits(at), ConnectionRequest.notice == Notice.OTHER_ACCOUNT)
        .order_by(Flow.id)
    )
    return {row[0]: Waiting(row[1] or "", compare_digest(row[2], session_hash)) for row in found}


def _waits(at: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        Flow.status == FlowStatus.HELD,
        Flow.outcome == Notice.OTHER_ACCOUNT,
        Flow.grant.is_not(None),
        Flow.expires_at > at,
    )


def use(intake: Intake, request_id: str, *, session_hash: bytes) -> None:
    """“Use this account anyway”: connect the account that waits; Conflict if it was not connected here, or not just now.

    Staff see that it is another than they expected.
    """
    runtime.current().keys.require()
    at = clock.now()
    with transaction():
        bundles.touch(intake.bundle.workspace_id, at=at)  # which locks it
        flow = db.session.scalar(
            select(Flow)
            .join(ConnectionRequest, ConnectionRequest.id == Flow.request_id)
            .where(ConnectionRequest.public_id == request_id, Flow.bundle_id == intake.bundle.id, *_waits(at))
            .where(Flow.session_hash == session_hash)
            .order_by(Flow.id.desc())
            .limit(1)
            .with_for_update(of=Flow)
            .execution_options(populate_existing=True)
        )
        if flow is not None and settlement.accept(flow, scopes.app_of(flow), grants.restore(flow), at=at):
            return
    raise Conflict(_("This sign-in can't be used any more. Connect the account again."))

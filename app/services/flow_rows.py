"""What every start and every callback reads and writes, as statements that are made once."""

from sqlalchemy import and_, bindparam, insert, or_, select, update

from app.models import Bundle, Connection, ConnectionRequest, Flow, FlowStatus, Status
from app.prepared import Prepared

BEGIN = Prepared(insert(Flow))

_is_open = or_(ConnectionRequest.status == Status.PENDING, ConnectionRequest.status == Status.DECLINED)
RETRIED = Prepared(
    update(ConnectionRequest)
    .where(ConnectionRequest.id == bindparam("asked"), ConnectionRequest.generation == bindparam("of"), _is_open)
    .values(notice=None, typed_fields=bindparam("typed"))
)

BY_STATE = Prepared(
    select(
        Flow.id,
        Flow.public_id,
        Flow.agency_id,
        Flow.workspace_id,
        Flow.request_id,
        Flow.bundle_id,
        Flow.generation,
        Flow.app_key,
        Flow.oauth_client,
        Flow.browser_hash,
        Flow.session_hash,
        Flow.endpoints,
        Flow.redirect_uri,
        Flow.fields,
        Flow.scopes,
        Flow.nonce,
        Flow.verifier,
        ConnectionRequest.public_id.label("request"),
        Bundle.public_id.label("bundle"),
        Bundle.recipient,
    )
    .join(ConnectionRequest, ConnectionRequest.id == Flow.request_id)
    .join(Bundle, Bundle.id == Flow.bundle_id)
    .where(Flow.state_hash == bindparam("hashed"))
)

CLAIM = Prepared(
    update(Flow)
    .where(Flow.id == bindparam("flow"), Flow.status == FlowStatus.STARTED, Flow.expires_at > bindparam("at"))
    .values(status=FlowStatus.CLAIMED)
)

STANDING = Prepared(select(Flow.status, Flow.outcome).where(Flow.id == bindparam("flow")))

ASKED = Prepared(
    select(
        ConnectionRequest.id,
        ConnectionRequest.public_id,
        ConnectionRequest.workspace_id,
        ConnectionRequest.bundle_id,
        ConnectionRequest.slot_id,
        ConnectionRequest.app_key,
        ConnectionRequest.kind,
        ConnectionRequest.status,
        ConnectionRequest.generation,
        ConnectionRequest.recipient,
        ConnectionRequest.expected_account,
        Connection.issuer,
        Connection.external_id,
    )
    .outerjoin(Connection, Connection.id == ConnectionRequest.connection_id)
    .where(ConnectionRequest.id == bindparam("asked"))
)

HELD = Prepared(
    select(Flow.public_id).where(
        Flow.request_id == bindparam("asked"),
        Flow.id != bindparam("flow"),
        and_(Flow.status == FlowStatus.HELD, Flow.grant.is_not(None)),
    )
)

DONE = Prepared(
    update(Flow)
    .where(Flow.id == bindparam("flow"))
    .values(status=FlowStatus.DONE, outcome=bindparam("came_to"), finished_at=bindparam("at"), verifier=None)
)

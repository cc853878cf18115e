"""What every start and every callback reads and writes, as statements that are made once."""

from sqlalchemy import and_, bindparam, exists, insert, or_, select, update
from sqlalchemy.orm import aliased

from app.models import Bundle, Connection, ConnectionRequest, Flow, FlowStatus, Status, Workflow
from app.prepared import Prepared

BEGIN = Prepared(insert(Flow))

_is_open = or_(ConnectionRequest.status == Status.PENDING, ConnectionRequest.status == Status.DECLINED)
RETRIED = Prepared(
    update(ConnectionRequest)
    .where(ConnectionRequest.id == bindparam("asked"), ConnectionRequest.generation == bindparam("of"), _is_open)
    .values(notice=None, typed_fields=bindparam("typed"))
)

# Each looked up by itself: joined, PostgreSQL may rather read two tables in the order of their keys up to these rows.
_asked_by = select(ConnectionRequest.public_id).where(ConnectionRequest.id == Flow.request_id).scalar_subquery()
_bundle = select(Bundle.public_id).where(Bundle.id == Flow.bundle_id).scalar_subquery()
BY_STATE = Prepared(
    select(
        Flow.id,
        Flow.public_id,
        Flow.agency_id,
        Flow.workspace_id,
        Flow.request_id,
        Flow.bundle_id,
        Flow.connection_id,
        Flow.surface,
        Flow.recipient,
        Flow.generation,
        Flow.app_key,
        Flow.oauth_client,
        Flow.client_id,
        Flow.browser_hash,
        Flow.session_hash,
        Flow.endpoints,
        Flow.redirect_uri,
        Flow.fields,
        Flow.scopes,
        Flow.nonce,
        Flow.verifier,
        _asked_by.label("request"),
        _bundle.label("bundle"),
    ).where(Flow.state_hash == bindparam("hashed"))
)

PLACES = Prepared(
    select(
        Workflow.public_id.label("workflow"),
        Connection.public_id.label("connection"),
        Connection.account.label("renews"),
        Flow.account,
        Flow.missing,
    )
    .select_from(Flow)
    .outerjoin(ConnectionRequest, ConnectionRequest.id == Flow.request_id)
    .outerjoin(Workflow, Workflow.id == ConnectionRequest.workflow_id)
    .outerjoin(Connection, Connection.id == Flow.connection_id)
    .where(Flow.id == bindparam("flow"))
)

CLAIM = Prepared(
    update(Flow)
    .where(Flow.id == bindparam("flow"), Flow.status == FlowStatus.STARTED, Flow.expires_at > bindparam("at"))
    .values(status=FlowStatus.CLAIMED)
)

STANDING = Prepared(select(Flow.status, Flow.outcome).where(Flow.id == bindparam("flow")))

_account, _namesake, _earlier = aliased(Connection), aliased(Connection), aliased(Flow)
_is_its_account = (
    _account.workspace_id == ConnectionRequest.workspace_id,
    _account.app_key == bindparam("app"),
    _account.issuer == bindparam("by"),
    _account.external_id == bindparam("named"),
)
_has_its_name = (
    _namesake.workspace_id == ConnectionRequest.workspace_id,
    _namesake.app_key == bindparam("app"),
    _namesake.name_key == bindparam("name"),
)
_is_held = (
    _earlier.request_id == ConnectionRequest.id,
    _earlier.status == FlowStatus.HELD,
    _earlier.grant.is_not(None),
)
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
        ConnectionRequest.connection_id,
        select(_account.id).where(*_is_its_account).scalar_subquery().label("known"),
        exists(select(_namesake.id).where(*_has_its_name)).label("is_named"),
        exists(select(_earlier.id).where(*_is_held)).label("is_held"),
    ).where(ConnectionRequest.id == bindparam("asked"))
)

_is_replaced = (
    Flow.request_id == bindparam("asked"),
    Flow.id != bindparam("flow"),
    and_(Flow.status == FlowStatus.HELD, Flow.grant.is_not(None)),
)
HELD = Prepared(select(Flow.public_id).where(*_is_replaced))
REPLACED = Prepared(update(Flow).where(*_is_replaced).values(status=FlowStatus.FAILED))

DONE = Prepared(
    update(Flow)
    .where(Flow.id == bindparam("flow"))
    .values(status=FlowStatus.DONE, outcome=bindparam("came_to"), finished_at=bindparam("at"), verifier=None)
)

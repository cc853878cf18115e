"""What every client's page reads and every opened link writes, as statements that are made once."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import and_, bindparam, case, exists, false, func, or_, select, update
from sqlalchemy.orm import aliased

from app.models import (
    Agency,
    Bundle,
    Connection,
    ConnectionRequest,
    Health,
    IntakeSession,
    Kind,
    Node,
    Slot,
    Status,
    Workflow,
)
from app.prepared import Prepared, Row
from app.services import pauses

BY_LINK = Prepared(
    select(
        Bundle.id,
        Bundle.public_id,
        Bundle.agency_id,
        Bundle.workspace_id,
        Bundle.recipient,
        Bundle.nonce,
        Bundle.epoch,
        Bundle.token_hash,
        Bundle.expires_at,
        Bundle.opened_at,
        Bundle.closed_at,
    ).where(Bundle.token_hash == bindparam("hashed"))
)

_is_alive = (
    Bundle.token_hash == bindparam("hashed"),
    Bundle.closed_at.is_(None),
    Bundle.expires_at > bindparam("at"),
)
ALIVE = Prepared(select(Bundle.expires_at).where(*_is_alive).with_for_update(read=True, key_share=True))
OPENED = Prepared(
    update(Bundle)
    .where(*_is_alive, Bundle.opened_at.is_(None))
    .values(opened_at=bindparam("at"))
    .returning(Bundle.expires_at)
)

_has_ended = or_(Bundle.closed_at.is_not(None), Bundle.expires_at <= bindparam("at"))
_unsettled = or_(*(ConnectionRequest.status == status for status in Status if not status.settled))
_is_settled = func.min(case((_unsettled, 0), else_=1))  # of none it is null
_settled = select(_is_settled).where(ConnectionRequest.bundle_id == Bundle.id).scalar_subquery()
IS_HANDED_OVER = (  # while the bundle was open, by whom it asks
    ConnectionRequest.workspace_id == Bundle.workspace_id,
    ConnectionRequest.handed_over_from == Bundle.recipient,
    ConnectionRequest.handed_over_at >= Bundle.created_at,
    or_(Bundle.closed_at.is_(None), ConnectionRequest.handed_over_at <= Bundle.closed_at),
)
_is_handed_over = case((exists(select(ConnectionRequest.id).where(*IS_HANDED_OVER)), 1))
ENTERED = Prepared(
    select(
        IntakeSession.epoch.label("opened_epoch"),
        Bundle.id,
        Bundle.public_id,
        Bundle.agency_id,
        Bundle.workspace_id,
        Bundle.recipient,
        Bundle.sent_by,
        Bundle.epoch,
        Bundle.expires_at,
        Bundle.closed_at,
        Agency.name.label("agency"),
        Agency.slug,
        Agency.support_email,
        Agency.accent,
        Agency.logo_digest,
        Agency.timezone,
        case((_has_ended, func.coalesce(_settled, _is_handed_over))).label("is_settled"),
    )
    .join(Bundle, Bundle.id == IntakeSession.bundle_id)
    .join(Agency, Agency.id == Bundle.agency_id)
    .where(
        IntakeSession.id_hash == bindparam("id_hash"),
        Bundle.public_id == bindparam("named"),
        IntakeSession.expires_at > bindparam("at"),
    )
)

_earlier = aliased(Connection)
_is_open = or_(ConnectionRequest.status == Status.PENDING, ConnectionRequest.status == Status.DECLINED)
_works = or_(_earlier.health == Health.PENDING, _earlier.health == Health.ACTIVE)
_given = select(_earlier.id).where(
    _earlier.workspace_id == ConnectionRequest.workspace_id,
    _earlier.app_key == ConnectionRequest.app_key,
    _earlier.owner_email == bindparam("recipient"),
    _earlier.owner_left_at.is_(None),
    _works,
)
_requests = (
    select(
        ConnectionRequest.id,
        ConnectionRequest.public_id,
        ConnectionRequest.bundle_id,
        ConnectionRequest.app_key,
        ConnectionRequest.kind,
        ConnectionRequest.status,
        ConnectionRequest.notice,
        ConnectionRequest.generation,
        ConnectionRequest.expected_account,
        ConnectionRequest.sent_scopes,
        ConnectionRequest.extra_scopes,
        ConnectionRequest.typed_fields,
        ConnectionRequest.slot_id,
        Connection.id.label("connection_id"),
        Connection.scopes,
        Connection.oauth_client.label("client"),
        Slot.connection_id.label("slot_connection_id"),
        Node.action_key,
    )
    .outerjoin(Connection, Connection.id == ConnectionRequest.connection_id)
    .outerjoin(Slot, Slot.id == ConnectionRequest.slot_id)
    .outerjoin(Node, Node.slot_id == Slot.id)
)
_is_in_bundle = ConnectionRequest.bundle_id == bindparam("bundle")
_paused_until = pauses.end_of(pauses.request_of(ConnectionRequest.public_id)).label("paused_until")
_one = _requests.add_columns(_paused_until)
ONE = Prepared(_one.where(_is_in_bundle, ConnectionRequest.public_id == bindparam("named")))
_is_theirs = and_(
    Connection.deleted_at.is_(None),
    Connection.owner_email == ConnectionRequest.recipient,
    Connection.owner_left_at.is_(None),
)
_cards = (
    _requests.add_columns(
        ConnectionRequest.note,
        ConnectionRequest.declined_reason,
        ConnectionRequest.granted_scopes,
        ConnectionRequest.handed_over_from,
        ConnectionRequest.handed_over_at,
        ConnectionRequest.hand_over_to,
        ConnectionRequest.hand_over_refused,
        Agency.hands_over,
        Workflow.name.label("workflow"),
        Slot.number,
        Connection.account,
        Connection.health,
        case((_is_open, exists(_given)), else_=false()).label("is_given"),
        Connection.public_id.label("held_id"),
        _is_theirs.label("is_theirs"),
    )
    .join(Workflow, Workflow.id == ConnectionRequest.workflow_id)
    .join(Agency, Agency.id == ConnectionRequest.agency_id)
)
CARDS = Prepared(_cards.where(_is_in_bundle, ConnectionRequest.status != Status.CANCELLED))
_of_slots = select(Connection.id, Connection.scopes, Connection.oauth_client.label("client")).join(
    Slot, Slot.connection_id == Connection.id
)
OF_SLOTS = Prepared(_of_slots.join(ConnectionRequest, ConnectionRequest.slot_id == Slot.id).where(_is_in_bundle))
_handed = (
    select(
        ConnectionRequest.public_id,
        ConnectionRequest.app_key,
        ConnectionRequest.recipient,
        ConnectionRequest.handed_over_at,
    )
    .where(ConnectionRequest.status != Status.CANCELLED)
    .order_by(ConnectionRequest.handed_over_at.desc(), ConnectionRequest.id.desc())
    .limit(100)
)
HANDED_OVER = Prepared(_handed.join(Bundle, and_(*IS_HANDED_OVER)).where(Bundle.id == bindparam("bundle")))
HANDED_OVER_OF_WORKFLOW = Prepared(
    _handed.where(
        ConnectionRequest.workspace_id == bindparam("workspace"),
        ConnectionRequest.handed_over_from == bindparam("recipient"),
        ConnectionRequest.workflow_id == bindparam("workflow"),
    )
)

# Of a workflow, over bundles: all that one recipient was ever asked for it. Of what is settled, only the latest of each
# account: a later request for it stands in its place.
_later = aliased(ConnectionRequest)
_is_in_its_place = or_(
    _later.slot_id == ConnectionRequest.slot_id,
    and_(_later.kind == Kind.REAUTHORIZE, _later.connection_id == ConnectionRequest.connection_id),
)
_is_replaced = exists(
    select(_later.id)
    .where(
        _later.id > ConnectionRequest.id,
        _later.workflow_id == ConnectionRequest.workflow_id,
        _later.recipient == ConnectionRequest.recipient,
        _later.bundle_id.is_not(None),
        _later.status != Status.CANCELLED,
        _is_in_its_place,
    )
    .correlate(ConnectionRequest)
)
IS_SHOWN = (
    ConnectionRequest.recipient == bindparam("recipient"),
    ConnectionRequest.bundle_id.is_not(None),
    ConnectionRequest.status != Status.CANCELLED,
    or_(_is_open, ~_is_replaced),
)
WITHDRAWN = Prepared(
    select(ConnectionRequest.app_key)
    .where(_is_in_bundle, ConnectionRequest.workflow_id == bindparam("workflow"))
    .where(ConnectionRequest.status == Status.CANCELLED, ~_is_replaced)
    .order_by(ConnectionRequest.id)
)
CARDS_OF_WORKFLOW = Prepared(_cards.where(ConnectionRequest.workflow_id == bindparam("workflow"), *IS_SHOWN))
OF_SLOTS_OF_WORKFLOW = Prepared(_of_slots.where(Slot.workflow_id == bindparam("workflow")))

# What a recipient connected before, and that has not passed to others.
_of_recipient = (
    Connection.workspace_id == bindparam("workspace"),
    Connection.owner_email == bindparam("recipient"),
    Connection.owner_left_at.is_(None),
)
GIVEN = Prepared(
    select(
        Connection.id,
        Connection.public_id,
        Connection.app_key,
        Connection.name,
        Connection.account,
        Connection.scopes,
        Connection.oauth_client,
    )
    .where(
        *_of_recipient,
        Connection.app_key.in_(
            select(ConnectionRequest.app_key).where(ConnectionRequest.bundle_id == bindparam("bundle"))
        ),
        or_(Connection.health == Health.PENDING, Connection.health == Health.ACTIVE),
    )
    .order_by(Connection.id.desc())
    .limit(100)
)
# As which accounts those came that were expected.
EXPECTED = Prepared(
    select(ConnectionRequest.connection_id, ConnectionRequest.expected_account)
    .join(Connection, Connection.id == ConnectionRequest.connection_id)
    .where(
        *_of_recipient,
        ConnectionRequest.expected_account != "",
        ConnectionRequest.status == Status.FULFILLED,
        ConnectionRequest.other_account.is_(False),
    )
    .distinct()
    .limit(1000)
)


class Asked(NamedTuple):
    """A request, the actions of its slot's nodes, and the connection that its slot has."""

    row: Row
    actions: list[str]
    held: Row | None


def grouped(rows: Iterable[Row], *, bundle: int, workflow: int | None = None) -> list[Asked]:
    """Each request of a bundle, or of a workflow, once, in the order they were asked; the nodes stand one to a row."""
    found: dict[int, tuple[Row, list[str]]] = {}
    for row in rows:
        _first, actions = found.setdefault(row.id, (row, []))
        if row.action_key is not None:
            actions.append(row.action_key)
    held = _connections([row for row, _actions in found.values()], bundle, workflow)
    return [Asked(row, actions, held.get(row.slot_connection_id)) for _id, (row, actions) in sorted(found.items())]


def _connections(rows: Sequence[Row], bundle: int, workflow: int | None) -> dict[int, Row]:
    """What the requests' slots are connected by, by id; it is looked for where that is not what the request brought."""
    known = {row.connection_id: row for row in rows if row.connection_id is not None}
    if all(row.slot_connection_id in known for row in rows if row.slot_connection_id is not None):
        return known
    return {
        each.id: each for each in (OF_SLOTS_OF_WORKFLOW(workflow=workflow) if workflow else OF_SLOTS(bundle=bundle))
    }

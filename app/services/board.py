"""The panel “Client connection requests” of a workflow: what was asked, by recipient."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import aliased, contains_eager, joinedload

from app.catalog.schema import App
from app.extensions import db
from app.models import Bundle, Channel, ConnectionRequest, Member, Slot, Source, Status, Workflow
from app.services import badges, bundles, deliveries, paging, scopes, sending
from app.services.badges import Badge
from app.services.deliveries import Delivery, DeliveryState
from app.services.paging import Page

PAGE = 25  # recipients

asked_for = ConnectionRequest


@dataclass(frozen=True)
class Card:
    """One request; the flags say which of its buttons there are, `available_at` when it may be resent."""

    asked: ConnectionRequest
    app: App
    badge: Badge
    delivery: Delivery | None = None
    resends_left: int | None = None
    available_at: datetime | None = None
    is_changed: bool = False
    may_cancel: bool = False
    may_move: bool = False
    may_ask_again: bool = False
    may_reconnect: bool = False


@dataclass(frozen=True)
class Group:
    """All that this workflow asks of one recipient; `expires_at` is none while nothing of it is on its way."""

    recipient: str
    channel: Channel
    connected: int
    total: int
    cards: Sequence[Card]
    expires_at: datetime | None = None
    is_expired: bool = False
    is_waiting: bool = False

    @property
    def key(self) -> str:
        """What tells it apart in the page, without the address."""
        return self.cards[0].asked.public_id


@dataclass(frozen=True)
class Board:
    """One page of recipients, the latest first; `is_moving` while anything in it may change by itself."""

    groups: Sequence[Group]
    queued: int
    preview: str
    is_moving: bool
    newer: str | None = None
    older: str | None = None


def view(workflow: Workflow, *, at: datetime, after: str | None = None, before: str | None = None) -> Board:
    """The panel at a page; `after` and `before` are ids of requests, unknown ones count for none."""
    page = _recipients(workflow, after=after, before=before)
    recipients = [first.recipient for first in page.items]
    found = _requests(workflow, recipients)
    addresses = list(dict.fromkeys(row.asked.recipient for row in found))
    sent = [row.asked.bundle_id for row in found if row.asked.bundle_id and row.asked.status is Status.PENDING]
    facts = _Facts(
        at,
        bundles.resend_available_at(workflow.workspace_id, addresses),
        deliveries.of_bundles(sent),
        _members(workflow, addresses),
    )
    groups = [_group(to, [row for row in found if row.asked.recipient == to], facts) for to in recipients]
    waiting = sending.waiting(workflow)
    return Board(groups, waiting.requests, waiting.preview, _is_moving(workflow, at=at), page.newer, page.older)


@dataclass(frozen=True)
class _Facts:
    at: datetime
    available: dict[str, datetime]
    deliveries: dict[int, Delivery]
    members: set[str]


def _shown(workflow: Workflow, asked: type[ConnectionRequest] = asked_for) -> ColumnElement[bool]:
    """Every request but those cancelled ones that there is nothing to ask again of."""
    open_again = and_(_is_latest(asked), _slot_waits(asked))
    return and_(asked.workflow_id == workflow.id, or_(asked.status != Status.CANCELLED, open_again))


def _slot_waits(asked: type[ConnectionRequest]) -> ColumnElement[bool]:
    by_client = or_(Slot.source.is_(None), Slot.source == Source.CLIENT)
    waits = select(Slot.id).where(Slot.id == asked.slot_id, Slot.connection_id.is_(None), by_client)
    return waits.correlate(asked).exists()


def _is_latest(asked: type[ConnectionRequest]) -> ColumnElement[bool]:
    """Whether no other request came after it for the same slot."""
    later = aliased(ConnectionRequest)
    came = select(later.id).where(later.slot_id == asked.slot_id, later.id > asked.id).correlate(asked)
    return and_(asked.slot_id.is_not(None), ~came.exists())


def _recipients(workflow: Workflow, *, after: str | None, before: str | None) -> Page[ConnectionRequest]:
    """The first request to each recipient, which stands for them; the latest asked first.

    Each is found by looking back for one before it, so that a page costs what it shows, not what was ever asked.
    """
    earlier = aliased(ConnectionRequest)
    first = select(earlier.id).where(_shown(workflow, earlier), earlier.recipient == asked_for.recipient)
    first_id = first.order_by(earlier.id).limit(1).correlate(asked_for).scalar_subquery()
    firsts = select(asked_for).where(_shown(workflow), asked_for.id == first_id)
    return paging.page(firsts, asked_for.id, after=after, before=before, size=PAGE)


@dataclass(frozen=True)
class _Found:
    asked: ConnectionRequest
    is_latest: bool


def _requests(workflow: Workflow, recipients: Sequence[str]) -> list[_Found]:
    statement = (
        select(asked_for, _is_latest(asked_for))
        .outerjoin(asked_for.slot)
        .where(_shown(workflow), asked_for.recipient.in_(recipients))
        .options(joinedload(asked_for.bundle), joinedload(asked_for.connection), contains_eager(asked_for.slot))
    )
    found = [_Found(row[0], bool(row[1])) for row in db.session.execute(statement)]
    return sorted(found, key=lambda row: row.asked.id)  # not by the database, which would then read all by their ids


def _members(workflow: Workflow, recipients: Sequence[str]) -> set[str]:
    return set(
        db.session.scalars(
            select(Member.email).where(
                Member.workspace_id == workflow.workspace_id, Member.email.in_(recipients), Member.removed_at.is_(None)
            )
        )
    )


def _is_moving(workflow: Workflow, *, at: datetime) -> bool:
    """Whether anything may change without anybody here."""
    found = (
        select(asked_for.id)
        .join(Bundle, Bundle.id == asked_for.bundle_id)
        .where(asked_for.workflow_id == workflow.id, asked_for.status.in_([Status.PENDING, Status.DECLINED]))
        .where(or_(asked_for.status == Status.PENDING, and_(Bundle.closed_at.is_(None), Bundle.expires_at > at)))
    )
    return db.session.scalar(found.limit(1)) is not None


def _group(recipient: str, found: Sequence[_Found], facts: _Facts) -> Group:
    cards = [_card(row, facts) for row in found]
    counted = [row.asked for row in found if row.asked.status is not Status.CANCELLED]
    connected = [each for each in counted if each.status is Status.FULFILLED and _works(each)]
    open_ = [each.bundle for each in counted if each.bundle and each.status in (Status.PENDING, Status.DECLINED)]
    bundle = max(open_, key=lambda each: each.sent_at, default=None)
    is_member = recipient in facts.members
    return Group(
        recipient,
        bundle.channel if bundle else Channel.PORTAL if is_member else Channel.LINK,
        len(connected),
        len(counted),
        cards,
        bundle.expires_at if bundle else None,
        bundle is not None and bundle.is_expired(facts.at),
        any(each.status is Status.QUEUED for each in counted),
    )


def _works(asked: ConnectionRequest) -> bool:
    return asked.connection is None or asked.connection.works


def _card(found: _Found, facts: _Facts) -> Card:
    asked = found.asked
    is_open = asked.status in (Status.PENDING, Status.DECLINED)
    may_resend = asked.status is Status.PENDING or (asked.status is Status.DECLINED and found.is_latest)
    delivery = facts.deliveries.get(asked.bundle_id or 0) if asked.status is Status.PENDING else None
    return Card(
        asked,
        scopes.app_of(asked),
        badges.of_request(asked, at=facts.at),
        delivery if delivery and delivery.state in (DeliveryState.DELAYED, DeliveryState.UNDELIVERED) else None,
        max(0, sending.MOST_RESENDS - asked.resends) if may_resend else None,
        facts.available.get(asked.recipient),
        is_changed=asked.status is Status.PENDING and scopes.changed_since_sent(asked),
        may_cancel=is_open or asked.status is Status.QUEUED,
        may_move=asked.status.live,
        may_ask_again=asked.status is Status.CANCELLED or (asked.status is Status.REVOKED and _is_empty(found)),
        may_reconnect=asked.status is Status.FULFILLED and found.is_latest and not _works(asked) and bool(asked.slot),
    )


def _is_empty(found: _Found) -> bool:
    """Whether the slot waits for somebody to ask for it again."""
    slot = found.asked.slot
    return slot is not None and found.is_latest and not (slot.connection and slot.connection.works)

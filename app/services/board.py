"""The panel “Client connection requests” of a workflow: what was asked, by recipient."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import aliased, contains_eager, joinedload

from app.catalog.schema import App
from app.extensions import db
from app.models import Bundle, Channel, ConnectionRequest, Health, Kind, Member, Slot, Source, Status, Workflow
from app.services import badges, bundles, deliveries, mending_requests, paging, scopes, sending
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
    may_edit: bool = False
    may_move: bool = False
    may_ask_again: bool = False
    may_reconnect: bool = False
    may_mend: bool = False

    @property
    def is_mending(self) -> bool:
        """Whether it asks for access anew to an account that was connected before."""
        return self.asked.kind is Kind.REAUTHORIZE


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
    """The panel at a page; `after` and `before` are ids of requests, unknown ones count for none.

    What is asked elsewhere to mend a connection that is used here stands with its recipient, or first where they have nothing else.
    """
    page = _recipients(workflow, after=after, before=before)
    recipients = [first.recipient for first in page.items]
    elsewhere = _asked_elsewhere(workflow)
    if page.newer is None:
        recipients = list(dict.fromkeys([*_besides(elsewhere, recipients), *recipients]))
    found = [*_requests(workflow, recipients), *(row for row in elsewhere if row.asked.recipient in recipients)]
    found.sort(key=lambda row: row.asked.id)  # not by the database, which would then read all by their ids
    addresses = list(dict.fromkeys(row.asked.recipient for row in found))
    sent = [row.asked.bundle_id for row in found if row.asked.bundle_id and row.asked.status is Status.PENDING]
    facts = _Facts(
        at,
        bundles.resend_available_at(workflow.workspace_id, addresses),
        deliveries.of_bundles(sent),
        _members(workflow, addresses),
        _asked_to_mend(found),
    )
    groups = [_group(to, [row for row in found if row.asked.recipient == to], facts) for to in recipients]
    waiting = sending.waiting(workflow)
    is_moving = any(_may_change(row.asked, at=at) for row in elsewhere) or _is_moving(workflow, at=at)
    return Board(groups, waiting.requests, waiting.preview, is_moving, page.newer, page.older)


@dataclass(frozen=True)
class _Facts:
    at: datetime
    available: dict[str, datetime]
    deliveries: dict[int, Delivery]
    members: set[str]
    to_mend: set[int]  # connections of which somebody is asked already


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


def _is_latest_mending() -> ColumnElement[bool]:
    """Whether no other request came after it to mend the same connection."""
    later = aliased(ConnectionRequest)
    same = (later.connection_id == asked_for.connection_id, later.kind == Kind.REAUTHORIZE, later.id > asked_for.id)
    return and_(asked_for.kind == Kind.REAUTHORIZE, ~select(later.id).where(*same).correlate(asked_for).exists())


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
    return _found(_shown(workflow), asked_for.recipient.in_(recipients))


def _asked_elsewhere(workflow: Workflow) -> list[_Found]:
    """What is open of what other workflows ask to mend: one for each connection that is used here, or a few."""
    return _found(mending_requests.from_elsewhere(workflow), asked_for.status.in_(mending_requests.STANDING))


def _found(*which: ColumnElement[bool]) -> list[_Found]:
    statement = (
        select(asked_for, or_(_is_latest(asked_for), _is_latest_mending()))
        .outerjoin(asked_for.slot)
        .where(*which)
        .options(joinedload(asked_for.bundle), joinedload(asked_for.connection), contains_eager(asked_for.slot))
    )
    return [_Found(row[0], bool(row[1])) for row in db.session.execute(statement)]


def _besides(elsewhere: Sequence[_Found], recipients: Sequence[str]) -> list[str]:
    return [row.asked.recipient for row in elsewhere if row.asked.recipient not in recipients]


def _asked_to_mend(found: Sequence[_Found]) -> set[int]:
    broken = {row.asked.connection_id for row in found if row.asked.connection_id and not _works(row.asked)}
    return {key for key, asked in mending_requests.standing(broken).items() if asked.status.live}


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


def _may_change(asked: ConnectionRequest, *, at: datetime) -> bool:
    is_open = asked.bundle is not None and asked.bundle.closed_at is None and not asked.bundle.is_expired(at)
    return asked.status is Status.PENDING or (asked.status is Status.DECLINED and is_open)


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
    is_broken = asked.status is Status.FULFILLED and found.is_latest and not _works(asked)
    may_mend = is_broken and _is_mended_by_client(asked)
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
        may_edit=asked.status is Status.QUEUED,
        may_move=asked.status.live and _may_move(asked),
        may_ask_again=asked.status is Status.CANCELLED or (asked.status is Status.REVOKED and _is_empty(found)),
        may_reconnect=is_broken and not may_mend and bool(asked.slot),
        may_mend=may_mend and asked.connection_id not in facts.to_mend,
    )


def _is_mended_by_client(asked: ConnectionRequest) -> bool:
    held = asked.connection
    return held is not None and held.health is Health.ERROR and held.is_clients


def _may_move(asked: ConnectionRequest) -> bool:
    """Whether somebody else can do what it asks; a connection is its owner's to mend while they are there."""
    if asked.kind is not Kind.REAUTHORIZE:
        return True
    return asked.connection is not None and asked.connection.owner_left_at is not None


def _is_empty(found: _Found) -> bool:
    """Whether the slot waits for somebody to ask for it again."""
    slot = found.asked.slot
    return slot is not None and found.is_latest and not (slot.connection and slot.connection.works)

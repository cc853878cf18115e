"""One request as its row in the panel “Client connection requests”: what it says, and which buttons it has."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.catalog.schema import App
from app.models import ConnectionRequest, Health, Kind, Status, Workflow
from app.services import badges, board_rows, bundles, deliveries, mending_requests, scopes, sending
from app.services.badges import Badge
from app.services.board_rows import Found
from app.services.deliveries import Delivery, DeliveryState


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
class Facts:
    """What the rows of a page need to know besides: the same few queries however many they are."""

    at: datetime
    available: dict[str, datetime]
    deliveries: dict[int, Delivery]
    members: set[str]
    to_mend: set[int]  # connections of which somebody is asked already
    needed: dict[int, tuple[str, ...]]  # of connections that somebody was asked to mend


def facts(workflow: Workflow, found: Sequence[Found], *, at: datetime) -> Facts:
    """What there is to know of these rows."""
    recipients = list(dict.fromkeys(row.asked.recipient for row in found))
    pending = [row.asked for row in found if row.asked.status is Status.PENDING]
    return Facts(
        at,
        bundles.resend_available_at(workflow.workspace_id, recipients),
        deliveries.of_bundles([each.bundle_id for each in pending if each.bundle_id]),
        board_rows.members(workflow, recipients),
        _asked_to_mend(found),
        scopes.needed_to_mend(pending),
    )


def _asked_to_mend(found: Sequence[Found]) -> set[int]:
    broken = {row.asked.connection_id for row in found if row.asked.connection_id and not works(row.asked)}
    return {key for key, asked in mending_requests.standing(broken).items() if asked.status.live}


def works(asked: ConnectionRequest) -> bool:
    """Whether nothing is wrong with what it brought."""
    return asked.connection is None or asked.connection.works


def is_met(asked: ConnectionRequest) -> bool:
    """Whether what it asks for is there and works."""
    return (asked.status is Status.FULFILLED and works(asked)) or badges.is_back(asked)


def card(found: Found, facts: Facts) -> Card:
    """A request as its row shows it."""
    asked = found.asked
    is_open = asked.status in (Status.PENDING, Status.DECLINED)
    may_resend = asked.status is Status.PENDING or (asked.status is Status.DECLINED and found.is_latest)
    is_broken = asked.status is Status.FULFILLED and found.is_latest and not works(asked)
    may_mend = is_broken and _is_mended_by_client(asked)
    delivery = facts.deliveries.get(asked.bundle_id or 0) if asked.status is Status.PENDING else None
    return Card(
        asked,
        scopes.app_of(asked),
        badges.of_request(asked, at=facts.at),
        delivery if delivery and delivery.state in (DeliveryState.DELAYED, DeliveryState.UNDELIVERED) else None,
        max(0, sending.MOST_RESENDS - asked.resends) if may_resend else None,
        facts.available.get(asked.recipient),
        is_changed=asked.status is Status.PENDING and scopes.changed_since_sent(asked, facts.needed),
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


def _is_empty(found: Found) -> bool:
    """Whether the slot waits for somebody to ask for it again."""
    slot = found.asked.slot
    return slot is not None and found.is_latest and not (slot.connection and slot.connection.works)

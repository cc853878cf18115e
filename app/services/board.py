"""The panel “Client connection requests” of a workflow: what was asked, by recipient."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.models import Channel, ConnectionRequest, Kind, Status, Workflow
from app.services import board_cards, board_rows, sending
from app.services.board_cards import Card, Facts
from app.services.board_rows import Found


@dataclass(frozen=True)
class Group:
    """All that this workflow asks of one recipient; `expires_at` is none while nothing of it is on its way.

    Of `total` accounts `connected` work: a request that was made anew for an account is counted in place of the first.
    """

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
    page = board_rows.recipients(workflow, after=after, before=before)
    recipients = [first.recipient for first in page.items]
    elsewhere = board_rows.asked_elsewhere(workflow)
    if page.newer is None:
        recipients = list(dict.fromkeys([*_besides(elsewhere, recipients), *recipients]))
    found = [
        *board_rows.requests(workflow, recipients),
        *(row for row in elsewhere if row.asked.recipient in recipients),
    ]
    found.sort(key=lambda row: row.asked.id)  # not by the database, which would then read all by their ids
    facts = board_cards.facts(workflow, found, at=at)
    groups = [_group(to, [row for row in found if row.asked.recipient == to], facts) for to in recipients]
    waiting = sending.waiting(workflow)
    is_moving = any(board_rows.may_change(row.asked, at=at) for row in elsewhere) or board_rows.is_moving(
        workflow, at=at
    )
    return Board(groups, waiting.requests, waiting.preview, is_moving, page.newer, page.older)


def _besides(elsewhere: Sequence[Found], recipients: Sequence[str]) -> list[str]:
    return [row.asked.recipient for row in elsewhere if row.asked.recipient not in recipients]


def _group(recipient: str, found: Sequence[Found], facts: Facts) -> Group:
    cards = [board_cards.card(row, facts) for row in found]
    counted = _counted([row.asked for row in found if row.asked.status is not Status.CANCELLED])
    connected = [each for each in counted if board_cards.is_met(each)]
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


def _counted(asked: Sequence[ConnectionRequest]) -> list[ConnectionRequest]:
    """Each account once, as the portal counts (`intake_rows.IS_SHOWN`): of what is settled only what was not asked anew."""
    latest = {each.slot_id: each.id for each in asked if each.slot_id}
    mending = {each.connection_id: each.id for each in asked if each.kind is Kind.REAUTHORIZE and each.connection_id}
    return [
        each
        for each in asked
        if not each.status.settled
        or max(latest.get(each.slot_id or 0, 0), mending.get(each.connection_id or 0, 0), each.id) == each.id
    ]

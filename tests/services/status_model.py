"""What requests, links and mails should come to, told from the specification alone: no table, no service."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.models import Channel, Status

LIVE = (Status.QUEUED, Status.PENDING)
OPEN = (Status.PENDING, Status.DECLINED)
FINAL = (Status.CANCELLED, Status.REVOKED)
RESENDS, WAIT, FLOW_LIFE = 3, timedelta(minutes=5), timedelta(minutes=15)
Whose = tuple[int, str]


@dataclass(eq=False)
class Request:
    """A request; slots, workflows and workspaces go by number."""

    id: str
    slot: int
    workflow: int
    workspace: int
    recipient: str
    status: Status = Status.QUEUED
    resends: int = 0
    generation: int = 0
    connection: int | None = None
    named: str | None = None  # whom the recipient names, while staff have not agreed
    was_handed_over: bool = False

    @property
    def whose(self) -> Whose:
        return self.workspace, self.recipient


def is_at_once(it: Request, to: str) -> bool:
    """Whether two have their addresses at the same company."""
    return it.recipient.partition("@")[2] == to.partition("@")[2]


@dataclass(eq=False)
class Flow:
    """An authorization that was begun; it may come back once, within a quarter of an hour."""

    request: Request
    generation: int
    state: str
    ends_at: datetime
    is_spent: bool = False


@dataclass(eq=False)
class Model:
    """All requests, the present link of each recipient (when it lapses), when they were mailed last, and how often what was done."""

    requests: list[Request] = field(default_factory=list)
    links: dict[Whose, datetime] = field(default_factory=dict)
    mailed: dict[Whose, datetime] = field(default_factory=dict)
    mails: int = 0
    members: dict[Whose, str] = field(default_factory=dict)
    holds: dict[int, int] = field(default_factory=dict)
    working: set[int] = field(default_factory=set)
    accounts: dict[int, str] = field(default_factory=dict)
    acts: Counter[str] = field(default_factory=Counter)
    versions: Counter[int] = field(default_factory=Counter)

    @property
    def filled(self) -> dict[int, int]:
        """The slots with a working connection. One that was revoked and is approved again works again wherever it is held."""
        return {slot: held for slot, held in self.holds.items() if held in self.working}

    def pick(self, number: int, *statuses: Status) -> Request:
        """One of the requests; three times of four one of a status that the act is for, if there is any."""
        fit = [each for each in self.requests if each.status in statuses] if number % 4 else []
        some = fit or self.requests
        return some[number % len(some)]

    def has_live(self, slot: int) -> bool:
        return any(each.slot == slot and each.status in LIVE for each in self.requests)

    def of(self, whose: Whose, *statuses: Status) -> list[Request]:
        return [each for each in self.requests if each.whose == whose and each.status in statuses]

    def queued(self, workflow: int) -> list[Request]:
        return [each for each in self.requests if each.workflow == workflow and each.status is Status.QUEUED]

    # ── What is allowed ─────────────────────────────────────────────────────

    def may_queue(self, slot: int) -> bool:
        return not self.has_live(slot) and slot not in self.filled

    def may_publish(self, slots: Iterable[int]) -> bool:
        return all(slot in self.filled or self.has_live(slot) for slot in slots)

    def may_resend(self, it: Request, at: datetime) -> bool:
        if it.status not in OPEN or it.resends >= RESENDS or at - self.mailed[it.whose] < WAIT:
            return False
        return it.status is Status.PENDING or not self.has_live(it.slot)

    def may_cancel(self, it: Request) -> bool:
        return it.status in (*LIVE, Status.DECLINED)

    def may_move(self, it: Request, recipient: str) -> bool:
        return it.status in LIVE and it.recipient != recipient

    def may_hand_over(self, it: Request, to: str, at: datetime) -> bool:
        if it.status not in OPEN or it.was_handed_over or to == it.recipient or it.whose not in self.alive(at):
            return False
        return not is_at_once(it, to) or self.may_be_pending(it)

    def may_approve(self, it: Request) -> bool:
        return it.named is not None and self.may_be_pending(it)

    def may_be_pending(self, it: Request) -> bool:
        return it.status is Status.PENDING or not self.has_live(it.slot)

    def may_ask_again(self, it: Request) -> bool:
        return it.status in FINAL and self.may_queue(it.slot)

    def may_keep(self, flow: Flow, account: str) -> bool:
        """Whether an approval is still asked of the same person, and open; or of the account that they connected meanwhile."""
        it = flow.request
        if flow.generation != it.generation:
            return False
        is_same_again = it.status is Status.FULFILLED and self.accounts.get(it.connection or 0) == account
        return it.status in OPEN or is_same_again

    # ── What comes of it ────────────────────────────────────────────────────

    def did(self, act: str, times: int = 1) -> None:
        self.acts[act] += times

    def add(self, request: Request) -> None:
        self.requests.append(request)
        self.did("request.queued")

    def dispatch(self, queued: list[Request], at: datetime) -> None:
        """Each recipient's requests join their bundle; one mail each."""
        for whose in {each.whose for each in queued}:
            self.mint(whose, at)
        for each in queued:
            each.status = Status.PENDING
        self.did("request.sent", len(queued))

    def mint(self, whose: Whose, at: datetime, leaves: datetime | None = None) -> None:
        """A fresh link with its mail; portal or link, as it stands at this moment."""
        channel = Channel.PORTAL if whose in self.members else Channel.LINK
        self.links[whose] = at + channel.lifetime
        self.mailed[whose] = max(leaves or at, self.mailed.get(whose, at))
        self.mails += 1

    def resend(self, it: Request, at: datetime) -> None:
        self.mint(it.whose, at)
        it.status, it.named = Status.PENDING, None
        for each in self.of(it.whose, Status.PENDING):
            each.resends = min(RESENDS, each.resends + 1)
        self.did("request.resent")

    def cancel(self, it: Request) -> None:
        it.status, it.generation, it.named = Status.CANCELLED, it.generation + 1, None
        self.close_if_settled(it.whose)
        self.did("request.cancelled")

    def move(self, it: Request, recipient: str, at: datetime) -> None:
        before, it.recipient = it.whose, recipient
        if it.status is Status.PENDING:
            it.generation, it.named = it.generation + 1, None
            self.close_if_settled(before)
            self.mint(it.whose, at)
        self.did("request.recipient_changed")

    def name(self, it: Request, to: str, at: datetime) -> None:
        """The client names a colleague: within their domain they have it at once."""
        if is_at_once(it, to):
            self.hand_over(it, to, at)
        elif it.named != to:
            it.named = to
            self.did("request.hand_over_asked")

    def hand_over(self, it: Request, to: str, at: datetime) -> None:
        """With a mail of its own, or with the one that is still to leave; five minutes after their last at the earliest."""
        before, it.recipient, it.status = it.whose, to, Status.PENDING
        it.generation, it.named, it.was_handed_over = it.generation + 1, None, True
        self.close_if_settled(before)
        may_be_mailed = self.mailed[it.whose] + WAIT if it.whose in self.mailed else at
        if may_be_mailed <= at or it.whose not in self.alive(at):
            self.mint(it.whose, at, leaves=max(at, may_be_mailed))
        self.did("request.handed_over")

    def end_wait(self, it: Request, act: str) -> None:
        it.named = None
        self.did(act)

    def decline(self, it: Request) -> None:
        it.status = Status.DECLINED
        self.did("request.declined")

    def approve(self, connection: int, account: str) -> None:
        """A connection was stored: it works, wherever it is held."""
        self.working.add(connection)
        self.accounts[connection] = account

    def fulfil(self, it: Request, connection: int) -> None:
        it.status, it.connection, it.named = Status.FULFILLED, connection, None
        self.holds[it.slot] = connection
        self.close_if_settled(it.whose)
        self.did("request.fulfilled")

    def revoke(self, connection: int) -> None:
        for each in self.requests:
            if each.status is Status.FULFILLED and each.connection == connection:
                each.status = Status.REVOKED
                self.did("request.revoked")
        self.working.discard(connection)

    def close_if_settled(self, whose: Whose) -> None:
        """With nothing left to do, a link dies at once."""
        if not self.of(whose, *OPEN):
            self.links.pop(whose, None)

    def alive(self, at: datetime) -> dict[Whose, datetime]:
        """The links that work, and until when."""
        return {whose: end for whose, end in self.links.items() if end > at}

"""How many mails may leave: for each recipient in a day, and for each agency in an hour.

Sign-in codes, which strangers can ask for, count towards both and take no more than half of either; nothing but that half
holds them back. So whoever asks for codes holds up no other mail for good, other mail keeps nobody from signing in, and what a
known browser asks for, which has its own allowance (see `known_browsers`), is not counted at all.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from app.services import counters, limits
from app.services.claims import Postponed

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NO_LIMIT = 2**31 - 1


class Capped(Protocol):
    """A mail by what its caps go by."""

    @property
    def sender_id(self) -> int:
        """The agency whose mail it is."""

    @property
    def is_code(self) -> bool:
        """Whether it is a sign-in that anybody may have asked for."""

    @property
    def recipient(self) -> str:
        """Whom it is for."""

    @property
    def mails_per_hour(self) -> int:
        """How many may leave for all recipients."""

    @property
    def mails_per_recipient_day(self) -> int:
        """How many may leave for this one."""


@dataclass(frozen=True)
class Cap:
    """At most `limit` mails in each `window`; `error` is what it is called when they are spent."""

    key: str
    window: timedelta
    limit: int
    error: str

    def spent(self, counted: Mapping[str, int]) -> bool:
        """Whether so many counted leave none for another."""
        return counted.get(self.key, 0) >= self.limit

    def for_codes(self) -> tuple["Cap", ...]:
        """What this cap is for a code: a half of its own, counted here too without being held back by the rest."""
        half = Cap(f"codes, {self.key}", self.window, max(1, self.limit // 2), self.error)
        return (half, Cap(self.key, self.window, NO_LIMIT, self.error)) if self.limit > 1 else (half,)

    def postponed(self, at: datetime) -> Postponed:
        """Until the next window begins."""
        left = counters.seconds_left(at=at, window=self.window)
        return Postponed(self.error, at + timedelta(seconds=left))


def caps_of(mail: Capped) -> tuple[Cap, ...]:
    """The caps of one mail."""
    recipient = limits.digest(f"{mail.sender_id}/{mail.recipient}")
    caps = (
        Cap(f"mail to {recipient}", DAY, mail.mails_per_recipient_day, "cap_recipient"),
        Cap(f"mail of agency {mail.sender_id}", HOUR, mail.mails_per_hour, "cap_agency"),
    )
    return tuple(each for cap in caps for each in cap.for_codes()) if mail.is_code else caps


def counted(mails: Sequence[Capped], *, at: datetime) -> Mapping[str, int]:
    """How many were counted under the caps of these, all at once."""
    return counters.counts({(cap.key, cap.window) for mail in mails for cap in caps_of(mail)}, at=at)


def check(mail: Capped, counted: Mapping[str, int], *, at: datetime) -> None:
    """Raise Postponed where so many counted leave none for this one."""
    for cap in caps_of(mail):
        if cap.spent(counted):
            raise cap.postponed(at)


def count(mails: Sequence[Capped], *, at: datetime) -> None:
    """Count mails under every cap; raises Postponed, for the whole transaction to go, where one is spent."""
    caps = [cap for mail in mails for cap in caps_of(mail)]
    times = Counter(cap.key for cap in caps)
    hits = {cap.key: counters.Hits(cap.key, cap.window, cap.limit, times[cap.key]) for cap in caps}
    spent = counters.hit_all(hits.values(), at=at)
    for cap in caps:
        if cap.key in spent:
            raise cap.postponed(at)

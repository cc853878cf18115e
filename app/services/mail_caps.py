"""How many mails may leave: for each recipient in a day, and for each agency in an hour."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from app.services import counters, limits
from app.services.claims import Postponed

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


class Capped(Protocol):
    """A mail by what its caps go by."""

    @property
    def agency_id(self) -> int:
        """Whose mail it is."""

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

    def postponed(self, at: datetime) -> Postponed:
        """Until the next window begins."""
        left = counters.seconds_left(at=at, window=self.window)
        return Postponed(self.error, at + timedelta(seconds=left))


def caps_of(mail: Capped) -> tuple[Cap, Cap]:
    """The caps of one mail."""
    recipient = limits.digest(f"{mail.agency_id}/{mail.recipient}")
    return (
        Cap(f"mail to {recipient}", DAY, mail.mails_per_recipient_day, "cap_recipient"),
        Cap(f"mail of agency {mail.agency_id}", HOUR, mail.mails_per_hour, "cap_agency"),
    )


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

"""What the sandbox remembers: authorizations asked for, grants, and the tokens that stand for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

CODE_LIFE = timedelta(seconds=60)
ASK_LIFE = timedelta(minutes=30)


class Status(StrEnum):
    """How a grant stands."""

    LIVE = "live"
    REVOKED = "revoked"  # given back by the client
    WITHDRAWN = "withdrawn"  # taken back by the person, at the sandbox's own page
    REPLAYED = "replayed"  # its code was used a second time (RFC 6749 4.1.2)


class Refusal(Exception):
    """A call is refused with an error code of OAuth; `says` is for the developer who reads the log."""

    def __init__(self, error: str, says: str = "", *, status: int = 400) -> None:
        super().__init__(error)
        self.error = error
        self.says = says
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A checked authorization request that waits for a person's answer."""

    id: str
    app: str
    client_id: str
    redirect_uri: str
    state: str
    scopes: tuple[str, ...]
    challenge: str
    nonce: str
    hint: str
    choose: bool  # the person is to choose an account even if signed in
    fields: Mapping[str, str]
    at: datetime

    def is_over(self, at: datetime) -> bool:
        """Whether nobody answered in time."""
        return self.at + ASK_LIFE <= at


@dataclass(slots=True, kw_only=True)
class Grant:
    """What one account gave to one client of one app."""

    id: str
    app: str
    client_id: str
    email: str
    scopes: tuple[str, ...]
    values: dict[str, str]  # fields of the authorize address, and what is kept from answers
    nonce: str
    at: datetime
    used_at: datetime
    status: Status = Status.LIVE
    tail: str = ""  # the last characters of its newest token, to tell tokens apart by

    def is_live(self, at: datetime, *, lifetime: int | None = None, unused: int | None = None) -> bool:
        """Whether it still holds; both lifetimes are in days."""
        if self.status is not Status.LIVE:
            return False
        ends = [self.at + timedelta(days=lifetime)] if lifetime else []
        ends += [self.used_at + timedelta(days=unused)] if unused else []
        return all(at < end for end in ends)


@dataclass(slots=True, kw_only=True)
class Code:
    """An authorization code: good once, for a minute."""

    grant: str
    redirect_uri: str
    challenge: str
    at: datetime
    used: bool = False


@dataclass(slots=True, kw_only=True)
class Token:
    """An access or refresh token; `ends_at` None: never by itself."""

    grant: str
    refresh: bool
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A token answer's content before it is written in an app's way."""

    grant: Grant
    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    lifetime: timedelta | None = None
    refresh_lifetime: timedelta | None = None


@dataclass(slots=True, kw_only=True)
class Browser:
    """Who is signed in in one browser: all the accounts used there, the present one last."""

    accounts: list[str] = field(default_factory=list)

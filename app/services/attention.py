"""What needs somebody of the agency: how many things of each kind, and the first few of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from app import clock
from app.extensions import db
from app.models import Agency, Bundle, Connection, ConnectionRequest
from app.services import (
    broken_connections,
    forecasts,
    hand_over_asks,
    stuck_requests,
    undelivered_letters,
    undelivered_mail,
)
from app.services.broken_connections import Broken
from app.services.forecasts import Ending
from app.services.hand_over_asks import HandOver
from app.services.stuck_requests import Stuck
from app.services.undelivered_letters import Invitation, Notice
from app.services.undelivered_mail import Undelivered

FEW = 5  # of each kind on the home page


@dataclass(frozen=True)
class Counts:
    """How many things of each kind need somebody."""

    broken: int
    stuck: int
    undelivered: int
    ending: int = 0
    hand_overs: int = 0

    @property
    def total(self) -> int:
        """How many things there are in all."""
        return self.broken + self.stuck + self.undelivered + self.ending + self.hand_overs


@dataclass(frozen=True)
class Attention:
    """The first few of each kind."""

    broken: Sequence[Broken]
    stuck: Sequence[Stuck]
    undelivered: Sequence[Undelivered]
    ending: Sequence[Ending] = ()
    hand_overs: Sequence[HandOver] = ()
    invitations: Sequence[Invitation] = ()
    notices: Sequence[Notice] = ()

    @property
    def mails(self) -> int:
        """How many e-mails these are."""
        return len(self.undelivered) + len(self.invitations) + len(self.notices)


def counts(agency: Agency) -> Counts:
    """How many things need attention, in one statement that reads no row of them."""
    broken = broken_connections.waiting(agency).with_only_columns(func.count(Connection.id)).scalar_subquery()
    at = clock.now()
    ways = stuck_requests.ways(agency, at=at)
    ending = forecasts.ending(agency, at=at).with_only_columns(func.count(Connection.id)).scalar_subquery()
    stuck = [way.with_only_columns(func.count(ConnectionRequest.id)).scalar_subquery() for way in ways]
    undelivered = undelivered_mail.waiting(agency).with_only_columns(func.count(Bundle.id)).scalar_subquery()
    letters = undelivered_letters.count(agency)
    named = hand_over_asks.waiting(agency).with_only_columns(func.count(ConnectionRequest.id)).scalar_subquery()
    row = db.session.execute(select(broken, undelivered, letters, ending, named, *stuck)).one()
    return Counts(row[0], sum(row[5:]), row[1] + row[2], row[3], row[4])


def first_few(agency: Agency, known: Counts) -> Attention:
    """What needs attention, as far as a page has room; nothing is asked where the counts say that there is nothing."""
    return Attention(
        broken_connections.page(agency, size=FEW).items if known.broken else [],
        stuck_requests.page(agency, size=FEW).items if known.stuck else [],
        undelivered_mail.page(agency, size=FEW).items if known.undelivered else [],
        forecasts.page(agency, at=clock.now(), size=FEW).items if known.ending else [],
        hand_over_asks.page(agency, size=FEW).items if known.hand_overs else [],
        undelivered_letters.invitation_page(agency, size=FEW).items if known.undelivered else [],
        undelivered_letters.notice_page(agency, size=FEW).items if known.undelivered else [],
    )

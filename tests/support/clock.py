"""A clock that tests move: it stands still until told, for the whole process, its threads included."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine


class Clock:
    """The moment it is, and how to change it."""

    def __init__(self, traveller: time_machine.Traveller) -> None:
        self._traveller = traveller

    @property
    def now(self) -> datetime:
        """The moment it is, aware, in UTC."""
        return datetime.now(UTC)

    def forward(self, **by: float) -> datetime:
        """Move on by `timedelta`'s keywords; returns the new moment."""
        self._traveller.shift(timedelta(**by))
        return self.now

    def to(self, moment: datetime) -> None:
        """Move to an aware moment."""
        self._traveller.move_to(moment)


@pytest.fixture
def clock() -> Iterator[Clock]:
    """Stand still at the present whole second: a browser's own clock, which nobody moves, then finds cookies fresh."""
    with time_machine.travel(datetime.now(UTC).replace(microsecond=0), tick=False) as traveller:
        yield Clock(traveller)

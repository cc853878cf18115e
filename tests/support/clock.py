"""A clock that tests move: it stands still until told, for the whole process, its threads included."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

import app.clock


class Clock:
    """The moment it is, and how to change it."""

    def __init__(self, traveller: time_machine.Traveller) -> None:
        self._traveller = traveller
        self.set_by = 0.0

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

    def leap(self, **by: float) -> datetime:
        """Set the clock of this host, while no time goes by; returns what it shows."""
        self.set_by += timedelta(**by).total_seconds()
        return self.forward(**by)

    def steady(self) -> float:
        """What the host's steady clock counts, which nobody can set."""
        return time.time() - self.set_by


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """Stand still at the present whole second: a browser's own clock, which nobody moves, then finds cookies fresh."""
    with time_machine.travel(datetime.now(UTC).replace(microsecond=0), tick=False) as traveller:
        clock = Clock(traveller)
        monkeypatch.setattr(app.clock, "_kept", app.clock._Kept())
        monkeypatch.setattr(app.clock, "steady", clock.steady)
        app.clock.now()  # as a process has, from its start
        yield clock

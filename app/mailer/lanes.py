"""Several mails at once, each over a connection of its own, so that what is written down of them is written down together."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from app.mailer.smtp import Connection
from app.mailer.wire import LULL, answered

Content = bytes | Exception  # why there is none


@dataclass
class Lane:
    """One mail's way over its connection; `agreed`: the server took sender and recipient."""

    number: int
    connection: Connection
    course: Iterator[bool] = field(default_factory=lambda: iter(()))
    agreed: bool = False
    content: Content = b""
    until: float = 0.0

    def take(self) -> bytes:
        """Return what is to be sent; raises what hinders it."""
        if isinstance(self.content, Exception):
            raise self.content
        return self.content


class Lanes:
    """Hands over mails, one for each connection, as fast as the server answers each.

    `begin` is told the numbers of those that the server has agreed to take, and makes what is to be sent; `waiting` is
    called, any number of times, where nothing comes for a while.
    """

    def __init__(
        self,
        connections: Sequence[Connection],
        *,
        begin: Callable[[list[int]], Sequence[Content]],
        waiting: Callable[[], None],
    ) -> None:
        self._connections, self._begin, self._waiting = connections, begin, waiting
        self._open: list[Lane] = []  # an answer is to come
        self._agreed: list[Lane] = []

    def deliver(self, mails: Sequence[tuple[str, str]]) -> Iterator[tuple[int, Exception | None]]:
        """Hand over each (sender, recipient); says of each by its number, as soon as it is known, how it ended."""
        try:
            for number, (connection, mail) in enumerate(zip(self._connections, mails, strict=False)):
                lane = Lane(number, connection)
                lane.course = connection.course(*mail, lane.take, self._waiting)
                yield from self._go_on(lane)
            while self._open or self._agreed:
                for lane in self._next():
                    yield from self._go_on(lane)
        finally:
            for lane in self._open:
                lane.connection.hang_up()  # nobody heard what the server said last

    def _go_on(self, lane: Lane) -> Iterator[tuple[int, Exception | None]]:
        """Take a lane up to where it has to wait next."""
        for known in (self._open, self._agreed):
            if lane in known:
                known.remove(lane)
        try:
            with self._without_the_others():
                agreed = next(lane.course)
        except StopIteration:
            yield lane.number, None
        except Exception as error:  # noqa: BLE001 - it is told
            yield lane.number, error
        else:
            (self._agreed if agreed else self._open).append(lane)
            lane.agreed = lane.agreed or agreed
            lane.until = time.monotonic() + lane.connection.left()

    def _next(self) -> list[Lane]:
        """The lanes that can go on: those that wait for others no longer, those that are answered, or those out of time."""
        coming = [lane for lane in self._open if not lane.agreed]
        if self._agreed and not coming:
            return self._begun()
        if ready := self._answered(LULL):
            return ready
        if self._agreed:
            return self._begun()
        with self._without_the_others():
            self._waiting()
        soonest = min(lane.until for lane in self._open)
        return self._answered(soonest - time.monotonic()) or self._overdue()

    def _begun(self) -> list[Lane]:
        lanes = list(self._agreed)
        with self._without_the_others():
            contents = self._begin([lane.number for lane in lanes])
        for lane, content in zip(lanes, contents, strict=True):
            lane.content = content
        # point: lanes.begun
        return lanes

    @contextmanager
    def _without_the_others(self) -> Iterator[None]:
        """The time that this takes is not the other lanes': nobody listened to them meanwhile."""
        began = time.monotonic()
        try:
            yield
        finally:
            if (took := time.monotonic() - began) > LULL:
                for lane in (*self._open, *self._agreed):
                    lane.until += took
                    lane.connection.prolong(took)

    def _answered(self, within: float) -> list[Lane]:
        lanes = {lane.connection.host: lane for lane in self._open}
        return [lanes[host] for host in answered([host for host in lanes if host], within=within)]

    def _overdue(self) -> list[Lane]:
        now = time.monotonic()
        late = [lane for lane in self._open if lane.until <= now]
        for lane in late:
            lane.connection.give_up()
        return late

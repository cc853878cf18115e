"""Refreshing ahead of time: what live workflows need is fresh before anybody asks for it, many at once."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog

from app import clock, egress, runtime
from app.database import end_reading, new_public_id, transaction
from app.extensions import db
from app.models import Health, OutboxState
from app.oauth.faults import Fault, OAuthError
from app.oauth.token import Token
from app.prepared import Row
from app.services import audit, freshness, refresh_rows, refreshing
from app.services.claims import Claimed, Postponed, Superseded
from app.services.refreshing import Done, Ending, Work
from app.tenancy import across_tenants, acting_for
from app.worker.owed import Owed

WIDTH = egress.BEHIND  # calls at once
ROUNDS, FEW = 5, 4  # rounds of them in a batch; the part of them for whose leases it is worth a commit
TOGETHER = 0.01  # seconds that answers may differ by to be stored together
UNNEEDED = timedelta(hours=6)  # so often it is looked whether a workflow needs a connection that none did
LEASED = timedelta(seconds=30)
SILENT, GIVEN_UP = 3, timedelta(minutes=1)  # after so many calls without an answer the others of a client wait so long
Outcome = tuple[Claimed, Exception | None]
Did = TypeVar("Did")


log = structlog.get_logger(__name__)


class Called(dict[Future[Token | OAuthError], tuple[Claimed, Work]]):
    """The calls under way."""


def is_ready() -> bool:
    """Whether there are the keys to open and seal with."""
    return not runtime.current().keys.sealed


def look(batch: Sequence[Claimed]) -> None:
    """Look up at once how the connections of a batch stand."""
    ids = [item.payload["connection"] for item in batch]
    with across_tenants("the worker does everybody's work"):
        rows = db.session.execute(refresh_rows.ahead(ids)).all()
    end_reading()
    found = {row.id: row for row in rows}
    for item in batch:
        item.seen["standing"] = found.get(item.payload["connection"])


@contextmanager
def opened(owed: Owed) -> Iterator[Callable[[Claimed], None]]:
    """A run of refreshes; whatever ends it, what providers were asked for is stored."""
    with ThreadPoolExecutor(WIDTH, thread_name_prefix="refresh") as pool:
        run = Run(pool, owed)
        try:
            yield run
        finally:
            run.end()


class Run:
    """Refreshes, many at once: what the database is asked is asked for several together, and the network by a thread each."""

    def __init__(self, pool: ThreadPoolExecutor, owed: Owed) -> None:
        self._pool, self._owed = pool, owed
        self._silent: Counter[str] = Counter()
        self._called = Called()
        self._leases: dict[str, Claimed] = {}  # that may be ours, and no call was made for yet

    def __call__(self, item: Claimed) -> None:
        for _item, error in self.several([item], lambda: False):
            if error:
                raise error

    def width(self, left: Sequence[Claimed], /) -> int:
        """All of them: it takes the next as soon as there is room."""
        return len(left)

    def several(self, items: Sequence[Claimed], stopping: Callable[[], bool], /) -> Iterator[Outcome]:
        """Refresh these until it is to stop; tells of each that was begun how it ended."""
        waiting = deque(items)
        while self._called or (waiting and not stopping()):
            room = WIDTH - len(self._called)
            if waiting and room >= WIDTH // FEW and not stopping():
                yield from self._begin([waiting.popleft() for _ in range(min(len(waiting), room))])
            if self._called:
                yield from self._settle(_answered(self._called))

    def end(self) -> None:
        """Store what comes of the calls under way, and give back the leases that no call was made for."""
        with across_tenants("providers were asked for everybody at once"):
            for future, (_item, work) in self._called.items():
                _insist(partial(refreshing.settle, work, future.result()))
            _insist(self._free)
        self._called.clear()

    def _begin(self, items: Sequence[Claimed]) -> Sequence[Outcome]:
        """Take the leases of several in one transaction, and send all their calls; tells of those that are not to be made."""
        fit, told, at = [], list[Outcome](), clock.now()
        for item in items:
            try:
                self._check(item, at=at)
            except (Postponed, Superseded) as other:
                told.append((item, other))
            else:
                fit.append((item, new_public_id()))
        self._leases |= {lease: item for item, lease in fit}
        for (item, lease), work in zip(fit, self._all([partial(_begun, *each) for each in fit]), strict=True):
            if isinstance(work, Work):
                self._called[self._pool.submit(_call, work)] = item, work
                del self._leases[lease]
            else:
                told.append((item, work if isinstance(work, Exception) else Postponed("leased", at + LEASED)))
        if self._leases:
            self._free()
        return told

    def _free(self) -> None:
        for lease, item in list(self._leases.items()):
            with acting_for(item.agency_id):
                refreshing.free(item.payload["connection"], lease)
            del self._leases[lease]

    def _check(self, item: Claimed, *, at: datetime) -> None:
        standing: Row = item.seen["standing"]
        if standing is None or standing.deleted_at is not None or not standing.refreshable:
            raise Superseded
        if standing.version != item.payload["version"] or standing.health not in (Health.PENDING, Health.ACTIVE):
            raise Superseded
        if not standing.is_needed:
            raise Postponed("unneeded", at + UNNEEDED)
        if freshness.is_put_off(standing, at=at):
            raise Postponed("put_off", max(standing.refresh_after or at, at + GIVEN_UP))
        if self._silent[standing.oauth_client] >= SILENT:
            raise Postponed(Fault.UNAVAILABLE, at + GIVEN_UP)

    def _settle(self, answered: Sequence[tuple[Claimed, Work, Token | OAuthError]]) -> Iterator[Outcome]:
        """Store what came, of several in one transaction."""
        for item, _work, answer in answered:
            client = item.seen["standing"].oauth_client
            is_silent = isinstance(answer, OAuthError) and answer.code is Fault.UNAVAILABLE
            self._silent[client] = self._silent[client] + 1 if is_silent else 0
        settled = self._all([partial(refreshing.settle, work, answer) for _item, work, answer in answered])
        for (item, *_), done in zip(answered, settled, strict=True):
            yield item, done if isinstance(done, Exception) else _outcome(done)

    def _all(self, acts: Sequence[Callable[[], Did]]) -> Sequence[Did | Exception]:
        """Do these in one transaction, with what is owed; each by itself where one of them can't be done."""

        def at_once() -> list[Did]:
            with transaction(), audit.together():
                return [act() for act in acts]

        with across_tenants("providers are asked for everybody at once"):
            return self._owed.all_together(at_once, acts) if acts else []


def _begun(item: Claimed, lease: str) -> Work | None:
    wanted = item.payload["connection"], item.payload["version"]
    with acting_for(item.agency_id), transaction():
        return refreshing.begin(wanted[0], version=wanted[1], lease=lease, at=clock.now())


def _call(work: Work) -> Token | OAuthError:
    with egress.behind():
        return refreshing.call(work)


def _answered(called: Called) -> list[tuple[Claimed, Work, Token | OAuthError]]:
    """Wait for the next answer, and take those that come with it."""
    done, _ = wait(called, return_when=FIRST_COMPLETED)
    if len(done) < len(called):
        done, _ = wait(called, timeout=TOGETHER)
    return sorted(((*called.pop(each), each.result()) for each in done), key=lambda one: one[1].standing.id)


def _insist(act: Callable[[], object]) -> None:
    """Do it whatever went wrong before, and let it stop nothing after it: a lease that stays behind lapses, which is told."""
    db.session.rollback()
    try:
        act()
    except Exception:
        log.exception("refresh not ended")


def _outcome(done: Done) -> Exception | None:
    if done.ending is Ending.STALE:
        return Superseded()
    return Postponed(done.cause, done.until) if done.until else None


def settled(_item: Claimed, _state: OutboxState, /, *, at: datetime) -> None:
    """All that is to be told of a refresh is told with it."""

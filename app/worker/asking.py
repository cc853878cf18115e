"""Work that waits for a provider, a few pieces at once: one that hangs holds up no other's."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import timedelta

from flask import Flask, current_app

from app import clock
from app.extensions import db
from app.services.claims import Claimed, Failed, Postponed
from app.tenancy import across_tenants, acting_for

WIDTH, EACH = 12, 3  # at once, and of them with one provider
SILENT, GIVEN_UP = 3, timedelta(minutes=1)  # after so many failures in a row the others of a provider wait so long
UNAVAILABLE = "provider"
Outcome = tuple[Claimed, Exception | None]


@contextmanager
def opened(do: Callable[[Claimed], None]) -> Iterator[Callable[[Claimed], None]]:
    """A run of work of which `do` does one piece; what is to be looked up of each is `provider`, in `seen`."""
    with ThreadPoolExecutor(WIDTH, thread_name_prefix="asking") as pool:
        yield Run(pool, do)


class Run:
    """Pieces of work in threads; those of a provider that does not do them are left for later."""

    def __init__(self, pool: ThreadPoolExecutor, do: Callable[[Claimed], None]) -> None:
        self._pool, self._do = pool, do
        self._app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - the way Flask names
        self._failed: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()
        self._under_way: dict[Future[Exception | None], Claimed] = {}

    def __call__(self, item: Claimed) -> None:
        self._do(item)

    def width(self, left: Sequence[Claimed], /) -> int:
        """All of them: it takes the next as soon as there is room."""
        return len(left)

    def several(self, items: Sequence[Claimed], stopping: Callable[[], bool], /) -> Iterator[Outcome]:
        """Do these until it is to stop; tells of each that was begun how it ended, and of those that are left for later."""
        waiting = deque(items)
        while self._under_way or (waiting and not stopping()):
            if not stopping():
                yield from self._begin(waiting)
            if self._under_way:
                yield from self._ended()

    def _begin(self, waiting: deque[Claimed]) -> Sequence[Outcome]:
        """Begin those that there is room for, in their order; those of a provider that is given up are told."""
        told = list[Outcome]()
        for _ in range(len(waiting)):
            item = waiting.popleft()
            provider = _provider_of(item)
            if self._failed[provider] >= SILENT:
                told.append((item, Postponed(UNAVAILABLE, clock.now() + GIVEN_UP)))
            elif self._has_room(item):
                self._under_way[self._pool.submit(self._one, item)] = item
                self._asked[provider] += 1
            else:
                waiting.append(item)
        return told

    def _has_room(self, item: Claimed) -> bool:
        """Whether it may begin now: two pieces of work for the same are done one after the other."""
        is_alone = all(each.payload != item.payload for each in self._under_way.values())
        return is_alone and len(self._under_way) < WIDTH and self._asked[_provider_of(item)] < EACH

    def _ended(self) -> Iterator[Outcome]:
        done, _ = wait(self._under_way, return_when=FIRST_COMPLETED)
        for future in done:
            item, error = self._under_way.pop(future), future.result()
            provider = _provider_of(item)
            self._asked[provider] -= 1
            self._failed[provider] = self._failed[provider] + 1 if isinstance(error, Failed) else 0
            yield item, error

    def _one(self, item: Claimed) -> Exception | None:
        with self._app.app_context(), across_tenants("the worker does everybody's work"), acting_for(item.agency_id):
            try:
                self._do(item)
            except Exception as error:  # noqa: BLE001 - it is told
                return error
            finally:
                db.session.rollback()
        return None


def _provider_of(item: Claimed) -> str:
    return str(item.seen.get("provider"))

"""Handing mail over: what is claimed goes out over a few connections, and is begun only once a server agreed to take it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import islice, takewhile

import structlog

from app import clock, runtime
from app.database import end_reading, transaction
from app.mailer import bundle_sent, transports
from app.mailer import letters as writing
from app.mailer.lanes import Lanes
from app.mailer.message import BadHeader, bare_address
from app.mailer.smtp import Connection
from app.mailer.transports import Carrier
from app.services import bundle_mail, due_letters, letters, outbox
from app.services.claims import Claimed, Failed
from app.tenancy import across_tenants, acting_for
from app.vault import Sealed
from app.worker.owed import NotAlike, Owed

SERVER_DOWN = ("unreachable", "tls", "auth")
KINDS = (bundle_mail.KIND, *letters.KINDS)
LANES, MANY = 4, 8  # connections to the server at most, and how many mails have to be due for more than one
log = structlog.get_logger(__name__)


def is_ready() -> bool:
    """Whether there is a way out, and the keys to seal and sign with; until then mail waits."""
    return transports.current() is not None and not runtime.current().keys.sealed


class Post:
    """A sort of mail: what is asked of each, and the last step before its bytes leave."""

    def look_up(self, batch: Sequence[Claimed], *, at: datetime) -> None:
        """Look up at once what `reader_of` says of each."""
        raise NotImplementedError

    def reader_of(self, item: Claimed, *, at: datetime) -> str:
        """The address that a mail goes to; raises Superseded, Postponed or Failed if it can't go."""
        raise NotImplementedError

    def begin(self, item: Claimed) -> bytes:
        """Say that its bytes are about to leave, and return them."""
        raise NotImplementedError

    def begin_all(self, items: Sequence[Claimed]) -> Sequence[bytes]:
        """Do so with several of one agency at once; raises where one of them needs more thought, as all do that are not alike."""
        raise NotAlike(len(items))

    def look(self, batch: Sequence[Claimed]) -> None:
        """Look up at once what is asked of each mail before a server is troubled with it."""
        self.look_up(batch, at=clock.now())
        end_reading()  # nothing stays open in the database while the network is waited for

    @contextmanager
    def opened(self, owed: Owed) -> Iterator[Callable[[Claimed], None]]:
        """A run of mails, over one connection or beside it over a few more."""
        transport = transports.current()
        if transport is None:
            raise RuntimeError("There is no way out for mail.")
        with transport.open() as carrier:
            yield Run(self, carrier, owed)


class Run:
    """Mails one after the other, or a few at once where many are due. Once the server can't be had, the rest fails untried."""

    def __init__(self, post: Post, carrier: Carrier, owed: Owed) -> None:
        self._post, self._carrier, self._owed = post, carrier, owed
        self._down: Failed | None = None
        self._up = False
        self._beside = carrier.beside if isinstance(carrier, Connection) else None
        self._lanes = LANES if self._beside else 1
        self._many = False

    def __call__(self, item: Claimed) -> None:
        if self._down:
            raise self._down
        with self._known():
            self._carrier.deliver(
                *self._addresses(item),
                lambda: self._owed.together(partial(self._post.begin, item)),
                waiting=self._owed.pay,
            )
        if not self._up:
            self._up = True
            _hurry()

    def width(self, left: Sequence[Claimed]) -> int:
        """How many of these to take at once: more than one only where many are due, once the server has taken one."""
        self._many = self._many or len(left) >= MANY
        if self._down or not (self._up and self._many):
            return 1
        alike = takewhile(lambda item: item.agency_id == left[0].agency_id, islice(left, self._lanes))
        return len(list(alike))

    def several(
        self, items: Sequence[Claimed], _stopping: Callable[[], bool], /
    ) -> Iterator[tuple[Claimed, Exception | None]]:
        """Do these at once; says of each how it ended: of what went well as soon as it is known."""
        wrong: list[tuple[Claimed, Exception]] = []
        fit: list[tuple[Claimed, tuple[str, str]]] = []
        for item in items:
            try:
                with self._known():
                    fit.append((item, self._addresses(item)))
            except Exception as unfit:  # noqa: BLE001 - it is told
                wrong.append((item, unfit))
        for item, error in self._over_lanes(fit):
            if error:
                wrong.append((item, error))
            else:
                yield item, None
        yield from sorted(wrong, key=lambda each: isinstance(each[1], Sealed))  # which ends the run

    def _over_lanes(
        self, mails: Sequence[tuple[Claimed, tuple[str, str]]]
    ) -> Iterator[tuple[Claimed, Exception | None]]:
        items, again = [item for item, _ in mails], []
        connections = self._connections()
        lanes = Lanes(
            connections,
            begin=lambda numbers: self._begin([items[number] for number in numbers]),
            waiting=self._owed.pay,
        )
        for number, error in lanes.deliver([addresses for _, addresses in mails]):
            if number and isinstance(error, Failed) and not connections[number].serves:
                self._lanes = min(self._lanes, number)  # the server grants us no more
                again.append(items[number])
            else:
                yield items[number], self._error_of(partial(_raise, error))
        for item in again:
            yield item, self._error_of(partial(self._alone, item))

    def _begin(self, items: Sequence[Claimed]) -> Sequence[bytes | Exception]:
        with acting_for(items[0].agency_id):
            return self._owed.all_together(
                partial(self._post.begin_all, items), [partial(self._post.begin, item) for item in items]
            )

    def _connections(self) -> list[Connection]:
        return self._beside(self._lanes) if self._beside else []

    def _alone(self, item: Claimed) -> None:
        with acting_for(item.agency_id):
            self(item)

    def _error_of(self, act: Callable[[], None]) -> Exception | None:
        try:
            with self._known():
                act()
        except Exception as error:  # noqa: BLE001 - it is told
            return error
        return None

    def _addresses(self, item: Claimed) -> tuple[str, str]:
        """From where a mail goes, and where to."""
        recipient = bare_address(self._post.reader_of(item, at=clock.now()))
        # point: mail.found
        return bare_address(transports.sender(runtime.current().config)), recipient

    @contextmanager
    def _known(self) -> Iterator[None]:
        """Call what went wrong by its name; and remember where the server can't be had."""
        try:
            yield
        except BadHeader as error:
            raise Failed("address", permanent=True) from error
        except Failed as failure:
            if failure.down:
                self._down = failure
            raise


def _raise(error: Exception | None) -> None:
    if error:
        raise error


def _hurry() -> None:
    """Let what waited for the server go too. The mail at hand is out: whatever goes wrong here, it must not be sent again."""
    try:
        with across_tenants("the mail server is there for everybody"):
            outbox.hurry(KINDS, SERVER_DOWN, at=clock.now())
    except Exception:
        log.exception("waiting mail was not hurried")


def begin(item: Claimed) -> bytes:
    """The last step before the bytes leave: the link's clock starts, they are sealed, and all is committed."""
    at = clock.now()
    with transaction():
        bundle = bundle_mail.begin(item, at=at)
        # point: mail.begun
        if item.started:
            return bundle_mail.transmit_again(item, bundle, at=at)
        message = bundle_sent.compose(bundle, at=at)
        content = message.as_bytes()
        # point: mail.rendered
        bundle_mail.transmit(item, bundle, content, message.msgId, at=at)
        # point: mail.sealed
        return content


def begin_all(items: Sequence[Claimed]) -> list[bytes]:
    """What `begin` does, for several of one agency at once; raises where one of them needs more thought."""
    if any(item.started for item in items):
        raise NotAlike
    at = clock.now()
    with transaction():
        bundles = bundle_mail.begin_all(items, at=at)
        letters = [bundle_sent.compose(bundle, at=at) for bundle in bundles]
        messages = [(letter.as_bytes(), letter.msgId) for letter in letters]
        bundle_mail.transmit_all(items, bundles, messages, at=at)
    return [content for content, _ in messages]


def begin_letter(item: Claimed) -> bytes:
    """What `begin` does, for a letter: no clock starts with it."""
    at = clock.now()
    with transaction():
        due = due_letters.begin(item, at=at)
        # point: letter.begun
        if item.started:
            return bundle_mail.transmit_again(item, due, at=at)
        message = writing.compose(due, at=at)
        content = message.as_bytes()
        bundle_mail.transmit(item, due, content, message.msgId, at=at)
        # point: letter.sealed
        return content


class Bundles(Post):
    """What asks for apps."""

    def look_up(self, batch: Sequence[Claimed], *, at: datetime) -> None:
        bundle_mail.look(batch, at=at)

    def reader_of(self, item: Claimed, *, at: datetime) -> str:
        return bundle_mail.find(item, at=at).recipient

    def begin(self, item: Claimed) -> bytes:
        return begin(item)

    def begin_all(self, items: Sequence[Claimed]) -> Sequence[bytes]:
        return begin_all(items)


class Letters(Post):
    """What `services.letters` has sent."""

    def look_up(self, batch: Sequence[Claimed], *, at: datetime) -> None:
        due_letters.look(batch, at=at)

    def reader_of(self, item: Claimed, *, at: datetime) -> str:
        return due_letters.find(item, at=at).recipient

    def begin(self, item: Claimed) -> bytes:
        return begin_letter(item)


BUNDLES, LETTERS = Bundles(), Letters()

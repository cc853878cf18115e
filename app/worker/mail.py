"""Handing mail over: what is claimed goes out over one connection, and is begun only once a server agreed to take it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import structlog

from app import clock, runtime
from app.database import end_reading, transaction
from app.mailer import bundle_sent, transports
from app.mailer.message import BadHeader, bare_address
from app.mailer.transports import Carrier
from app.services import bundle_mail, outbox
from app.services.claims import Claimed, Failed
from app.tenancy import across_tenants
from app.worker.owed import Owed

SERVER_DOWN = ("unreachable", "tls", "auth")
log = structlog.get_logger(__name__)


def is_ready() -> bool:
    """Whether there is a way out, and the keys to seal and sign with; until then mail waits."""
    return transports.current() is not None and not runtime.current().keys.sealed


def look(batch: Sequence[Claimed]) -> None:
    """Look up at once what is asked of each mail before a server is troubled with it."""
    bundle_mail.look(batch, at=clock.now())
    end_reading()  # nothing stays open in the database while the network is waited for


@contextmanager
def opened(owed: Owed) -> Iterator[Callable[[Claimed], None]]:
    """A run of mails over one connection."""
    transport = transports.current()
    if transport is None:
        raise RuntimeError("There is no way out for mail.")
    with transport.open() as carrier:
        yield Run(carrier, owed)


class Run:
    """Mails one after the other. Once the server can't be had, the rest of the run fails with it, untried."""

    def __init__(self, carrier: Carrier, owed: Owed) -> None:
        self._carrier, self._owed = carrier, owed
        self._down: Failed | None = None
        self._up = False

    def __call__(self, item: Claimed) -> None:
        if self._down:
            raise self._down
        try:
            self._hand_over(item)
        except BadHeader as error:
            raise Failed("address", permanent=True) from error
        except Failed as failure:
            self._down = failure if failure.down else None
            raise
        if not self._up:
            self._up = True
            _hurry(item.kind)

    def _hand_over(self, item: Claimed) -> None:
        recipient = bare_address(bundle_mail.find(item, at=clock.now()).recipient)
        # point: mail.found
        sender = bare_address(transports.sender(runtime.current().config))
        self._carrier.deliver(
            sender, recipient, lambda: self._owed.together(partial(begin, item)), waiting=self._owed.pay
        )


def _hurry(kind: str) -> None:
    """Let what waited for the server go too. The mail at hand is out: whatever goes wrong here, it must not be sent again."""
    try:
        with across_tenants("the mail server is there for everybody"):
            outbox.hurry([kind], SERVER_DOWN, at=clock.now())
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

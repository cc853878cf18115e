"""Handing mail over: what is claimed goes out over one connection, and is begun only once a server agreed to take it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from app import clock, runtime
from app.database import across_tenants, transaction
from app.extensions import db
from app.mailer import bundle_sent, transports
from app.mailer.message import BadHeader, bare_address
from app.mailer.transports import Carrier
from app.services import bundle_mail, outbox
from app.services.claims import Claimed, Failed

SERVER_DOWN = ("unreachable", "tls", "auth")


def is_ready() -> bool:
    """Whether there is a way out; without one mail waits."""
    return transports.current() is not None


@contextmanager
def opened() -> Iterator[Callable[[Claimed], None]]:
    """A run of mails over one connection."""
    transport = transports.current()
    if transport is None:
        raise RuntimeError("There is no way out for mail.")
    with transport.open() as carrier:
        yield Run(carrier)


class Run:
    """Mails one after the other. Once the server can't be had, the rest of the run fails with it, untried."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
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
            with across_tenants("the mail server is there for everybody"):
                outbox.hurry([item.kind], SERVER_DOWN, at=clock.now())

    def _hand_over(self, item: Claimed) -> None:
        recipient = bare_address(bundle_mail.find(item, at=clock.now()).recipient)
        db.session.rollback()  # nothing stays open in the database while the network is waited for
        sender = bare_address(transports.sender(runtime.current().config))
        self._carrier.deliver(sender, recipient, partial(begin, item))


def begin(item: Claimed) -> bytes:
    """The last step before the bytes leave: the link's clock starts, they are sealed, and all is committed."""
    at = clock.now()
    with transaction():
        bundle = bundle_mail.begin(item, at=at)
        if item.started:
            return bundle_mail.transmit_again(item, bundle, at=at)
        message = bundle_sent.compose(bundle, at=at)
        content = message.as_bytes()
        bundle_mail.transmit(item, bundle, content, message.msgId, at=at)
        return content

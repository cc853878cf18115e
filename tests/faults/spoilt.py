"""The application with a defence left out, in a process that a test starts: what counts losses must find them then."""

from typing import Any

from sqlalchemy import update

from app import clock
from app.database import transaction
from app.extensions import db
from app.models import OutboxItem, OutboxState
from app.services import accounts, bundle_mail, bundles, callbacks, claims, connections, sending


def the_transmitting_commit() -> None:
    """A mail leaves without a word about it in the database before."""
    bundle_mail.transmit = lambda *_args, **_options: None


def the_lease() -> None:
    """A row is off the queue as soon as a worker takes it, as with a plain list of things to do."""
    claim = claims.claim

    def claim_for_good(*args: Any, **options: Any) -> list[claims.Claimed]:
        items = claim(*args, **options)
        ids = [item.id for item in items]
        with transaction() as session:
            session.execute(update(OutboxItem).where(OutboxItem.id.in_(ids)).values(state=OutboxState.DONE))
        return items

    claims.claim = claim_for_good
    claims._settle = lambda *_args, **_options: None


def the_outbox_in_the_transaction() -> None:
    """Requests become pending first, and the mail is put in the outbox after the commit."""
    mail, send, late = bundles.mail, sending.send, []
    bundles.mail = lambda bundle, **options: late.append((bundle, options))

    def send_then_mail(*args: Any, **options: Any) -> sending.Sent:
        sent = send(*args, **options)
        for bundle, given in late:
            with transaction():
                mail(bundle, **given)
        return sent

    sending.send = send_then_mail


def the_one_transaction_of_a_connection() -> None:
    """The connection is stored first, and the request fulfilled in another transaction."""
    store = accounts.store

    def store_at_once(*args: Any, **options: Any) -> connections.Connection:
        connection = store(*args, **options)
        db.session.commit()
        return connection

    accounts.store = store_at_once


def the_claim_before_the_exchange() -> None:
    """A flow is claimed only once its code was exchanged."""
    claim, redeem = callbacks._claim, callbacks._redeem
    callbacks._claim = lambda *_args, **_options: True

    def redeem_then_claim(flow: Any, *args: Any, **options: Any) -> Any:
        grant = redeem(flow, *args, **options)
        claim(flow, at=clock.now())
        return grant

    callbacks._redeem = redeem_then_claim

"""The one mail of a bundle's epoch: whether it may go, what happens as it goes, and what it tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import joinedload

from app import runtime
from app.database import transaction
from app.extensions import db
from app.models import Agency, Bundle, ConnectionRequest, OutboxItem, OutboxState, Status
from app.services import audit, claims, counters, limits
from app.services.claims import Claimed, Failed, Postponed, Superseded
from app.vault import Place, open_, seal

KIND = "bundle.sent"
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@dataclass(frozen=True)
class Cap:
    """At most `limit` mails in each `window`; `error` is what it is called when they are spent."""

    key: str
    window: timedelta
    limit: int
    error: str

    def spent(self, at: datetime) -> bool:
        """Whether the window at hand is full, without counting."""
        return counters.count(self.key, at=at, window=self.window) >= self.limit

    def postponed(self, at: datetime) -> Postponed:
        """Until the next window begins."""
        left = counters.seconds_left(at=at, window=self.window)
        return Postponed(self.error, at + timedelta(seconds=left))


def find(item: Claimed, *, at: datetime) -> Bundle:
    """The bundle of a claimed mail, looked at before a server is troubled; Superseded, Postponed or Failed if it can't go."""
    bundle = _current(item, at=at)
    if not item.started:
        for cap in _caps(bundle):
            if cap.spent(at):
                raise cap.postponed(at)
    return bundle


def begin(item: Claimed, *, at: datetime) -> Bundle:
    """Start the link's clock and count the mail, once: as it first leaves. Joins the caller's transaction; raises as `find`."""
    bundle = _current(item, at=at)
    if item.started:
        return bundle
    with transaction() as session:
        session.execute(
            update(Bundle)
            .where(Bundle.id == bundle.id, Bundle.epoch == item.payload["epoch"])
            .where(Bundle.closed_at.is_(None), Bundle.clock_started_at.is_(None))
            .values(clock_started_at=at, expires_at=at + bundle.channel.lifetime),
            execution_options={"synchronize_session": False},
        )
        bundle = _current(item, at=at)  # as it is now that nobody else can change it
        if not outstanding(bundle):
            raise Superseded
        for cap in _caps(bundle):
            if not counters.hit(cap.key, at=at, window=cap.window, limit=cap.limit):
                raise cap.postponed(at)
    return bundle


def _current(item: Claimed, *, at: datetime) -> Bundle:
    bundle = db.session.get(
        Bundle, item.payload["bundle"], populate_existing=True, options=[joinedload(Bundle.workspace)]
    )
    if bundle is None or bundle.epoch != item.payload["epoch"] or bundle.closed_at:
        raise Superseded
    if item.started and bundle.is_expired(at):
        raise Failed("expired", permanent=True)
    return bundle


def agency_of(bundle: Bundle) -> Agency:
    """Whose mail it is."""
    return db.session.get_one(Agency, bundle.agency_id)


def outstanding(bundle: Bundle) -> Sequence[ConnectionRequest]:
    """What the mail asks for, in the order that it was asked."""
    pending = (
        select(ConnectionRequest)
        .where(ConnectionRequest.bundle_id == bundle.id, ConnectionRequest.status == Status.PENDING)
        .order_by(ConnectionRequest.created_at, ConnectionRequest.id)
        .options(joinedload(ConnectionRequest.workflow))
    )
    return db.session.scalars(pending).all()


def _caps(bundle: Bundle) -> tuple[Cap, Cap]:
    agency = agency_of(bundle)
    recipient = limits.digest(f"{agency.id}/{bundle.recipient}")
    return (
        Cap(f"mail to {recipient}", DAY, agency.mails_per_recipient_day, "cap_recipient"),
        Cap(f"mail of agency {agency.id}", HOUR, agency.mails_per_hour, "cap_agency"),
    )


def transmit(item: Claimed, bundle: Bundle, message: bytes, message_id: str, *, at: datetime) -> None:
    """Say that these very bytes are about to leave, and seal them: another try sends the same. LeaseLost."""
    sealed = seal(runtime.current().keyring, message, _place(item, bundle))
    claims.start(item, at=at, message=sealed, message_id=message_id)


def transmit_again(item: Claimed, bundle: Bundle, *, at: datetime) -> bytes:
    """Say that what an earlier attempt may have sent is about to leave once more; returns its bytes. LeaseLost."""
    claims.start(item, at=at)
    sealed = db.session.scalar(select(OutboxItem.message).where(OutboxItem.id == item.id))
    return open_(runtime.current().keyring, sealed or b"", _place(item, bundle))


def _place(item: Claimed, bundle: Bundle) -> Place:
    return Place("mail", bundle.agency_id, bundle.workspace_id, item.key)


def settled(item: Claimed, state: OutboxState, *, at: datetime) -> None:
    """Put into the audit trail how it ended, in the transaction that says so."""
    acts = {OutboxState.DONE: "mail.sent", OutboxState.DEAD: "mail.undelivered", OutboxState.HELD: "mail.held"}
    bundle = db.session.get(Bundle, item.payload["bundle"])
    if bundle is not None and state in acts:
        data = {"recipient": bundle.recipient, "epoch": item.payload["epoch"]}
        audit.record(acts[state], bundle, by=audit.SYSTEM, at=at, **data)

"""The one mail of a bundle's epoch: whether it may go, what happens as it goes, and what it tells."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from app import runtime
from app.database import transaction
from app.extensions import db
from app.models import OutboxItem, OutboxState
from app.services import audit, claims, counters, limits, outgoing, sealed
from app.services.claims import Claimed, Failed, Postponed, Superseded
from app.services.outgoing import Asked, Outgoing
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

    def spent(self, counted: Mapping[str, int]) -> bool:
        """Whether so many counted leave none for another."""
        return counted.get(self.key, 0) >= self.limit

    def postponed(self, at: datetime) -> Postponed:
        """Until the next window begins."""
        left = counters.seconds_left(at=at, window=self.window)
        return Postponed(self.error, at + timedelta(seconds=left))


def look(items: Collection[Claimed], *, at: datetime) -> None:
    """Look up at once what `find` says of each of these claimed mails."""
    wanted = {item.id: item.payload["bundle"] for item in items if isinstance(item.payload.get("bundle"), int)}
    bundles = outgoing.of(wanted.values())
    caps = [cap for bundle in bundles.values() for cap in _caps(bundle)]
    counted = counters.counts({(cap.key, cap.window) for cap in caps}, at=at)
    for item in items:
        if item.id in wanted:
            item.seen.update(bundle=bundles.get(wanted[item.id]), counted=counted)


def find(item: Claimed, *, at: datetime) -> Outgoing:
    """The bundle of a claimed mail as `look` saw it, before a server is troubled; Superseded, Postponed or Failed if it can't go."""
    bundle = _checked(item, item.seen["bundle"], at=at)
    if not item.started:
        for cap in _caps(bundle):
            if cap.spent(item.seen["counted"]):
                raise cap.postponed(at)
    return bundle


def begin(item: Claimed, *, at: datetime) -> Outgoing:
    """Start the link's clock and count the mail, once: as it first leaves. Joins the caller's transaction; raises as `find`."""
    if item.started:
        return _current(item, at=at)
    with transaction():
        outgoing.start_clocks({item.payload["bundle"]: item.payload["epoch"]}, at=at)
        # point: clock.started
        bundle = _current(item, at=at)  # as it is now that nobody else can change it
        _count([bundle], at=at)
    return bundle


def begin_all(items: Sequence[Claimed], *, at: datetime) -> list[Outgoing]:
    """What `begin` does, for mails of one agency of which none has left: for all of them, or raises what hinders one."""
    with transaction():
        outgoing.start_clocks({item.payload["bundle"]: item.payload["epoch"] for item in items}, at=at)
        now = outgoing.read_all([item.payload["bundle"] for item in items])
        bundles = [_checked(item, now.get(item.payload["bundle"]), at=at) for item in items]
        _count(bundles, at=at)
    return bundles


def _count(bundles: Sequence[Outgoing], *, at: datetime) -> None:
    """Count their mails under every cap; raises Postponed, for the whole transaction to go, where one is spent."""
    caps = [cap for bundle in bundles for cap in _caps(bundle)]
    times = Counter(cap.key for cap in caps)
    hits = {cap.key: counters.Hits(cap.key, cap.window, cap.limit, times[cap.key]) for cap in caps}
    spent = counters.hit_all(hits.values(), at=at)
    for cap in caps:
        if cap.key in spent:
            raise cap.postponed(at)


def asked(bundle: Outgoing) -> tuple[Asked, ...]:
    """What the mail asks for, in the order that it was asked; Superseded if that is nothing any more."""
    if not bundle.asked:
        raise Superseded
    return bundle.asked


def _current(item: Claimed, *, at: datetime) -> Outgoing:
    return _checked(item, outgoing.read(item.payload["bundle"]), at=at)


def _checked(item: Claimed, bundle: Outgoing | None, *, at: datetime) -> Outgoing:
    if bundle is None or bundle.epoch != item.payload["epoch"] or bundle.closed_at:
        raise Superseded
    if item.started and bundle.is_expired(at):
        raise Failed("expired", permanent=True)
    return bundle


def _caps(bundle: Outgoing) -> tuple[Cap, Cap]:
    recipient = limits.digest(f"{bundle.agency_id}/{bundle.recipient}")
    return (
        Cap(f"mail to {recipient}", DAY, bundle.mails_per_recipient_day, "cap_recipient"),
        Cap(f"mail of agency {bundle.agency_id}", HOUR, bundle.mails_per_hour, "cap_agency"),
    )


def transmit(item: Claimed, bundle: Outgoing, message: bytes, message_id: str, *, at: datetime) -> None:
    """Say that these very bytes are about to leave, and seal them: another try sends the same. LeaseLost."""
    blob = seal(runtime.current().keyring, message, _place(item, bundle))
    claims.start(item, at=at, message=blob, message_id=message_id)


def transmit_all(
    items: Sequence[Claimed], bundles: Sequence[Outgoing], messages: Sequence[tuple[bytes, str]], *, at: datetime
) -> None:
    """What `transmit` says, of mails of one agency, each message with its id. LeaseLost if one of them is not ours any more."""
    keyring = runtime.current().keyring
    kept: list[dict[str, bytes | str]] = [
        {"message": seal(keyring, message, _place(item, bundle)), "message_id": message_id}
        for item, bundle, (message, message_id) in zip(items, bundles, messages, strict=True)
    ]
    claims.start_all(items, at=at, kept=kept)


def transmit_again(item: Claimed, bundle: Outgoing, *, at: datetime) -> bytes:
    """Say that what an earlier attempt may have sent is about to leave once more; returns its bytes. LeaseLost."""
    claims.start(item, at=at)
    blob = db.session.scalar(select(OutboxItem.message).where(OutboxItem.id == item.id))
    return open_(runtime.current().keyring, blob or b"", _place(item, bundle))


def _place(item: Claimed, bundle: Outgoing) -> Place:
    return Place(sealed.MAIL, bundle.agency_id, bundle.workspace_id, item.key)


def settled(item: Claimed, state: OutboxState, *, at: datetime) -> None:
    """Put into the audit trail how it ended, in the transaction that says so."""
    acts = {OutboxState.DONE: "mail.sent", OutboxState.DEAD: "mail.undelivered", OutboxState.HELD: "mail.held"}
    bundle = (item.seen.get("bundle") or outgoing.read(item.payload["bundle"])) if state in acts else None
    if bundle is not None:
        about, epoch = audit.Subject("bundle", bundle.public_id, bundle.workspace_id), item.payload["epoch"]
        audit.record(acts[state], about, by=audit.SYSTEM, at=at, recipient=bundle.recipient, epoch=epoch)

"""The one mail of a bundle's epoch: whether it may go, what happens as it goes, and what it tells."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy import select

from app import runtime
from app.database import transaction
from app.extensions import db
from app.models import OutboxItem, OutboxState
from app.services import audit, claims, mail_caps, outgoing, sealed
from app.services.claims import Claimed, Failed, Superseded
from app.services.outgoing import Asked, Outgoing
from app.vault import Place, open_, seal

KIND = "bundle.sent"


class Whose(Protocol):
    """What a sealed mail is bound to beside its row's key."""

    @property
    def agency_id(self) -> int:
        """The agency whose row it is."""

    @property
    def workspace_id(self) -> int | None:
        """The workspace of its bundle; none where it has no bundle."""


def look(items: Collection[Claimed], *, at: datetime) -> None:
    """Look up at once what `find` says of each of these claimed mails."""
    wanted = {item.id: item.payload["bundle"] for item in items if isinstance(item.payload.get("bundle"), int)}
    bundles = outgoing.of(wanted.values())
    counted = mail_caps.counted(list(bundles.values()), at=at)
    for item in items:
        if item.id in wanted:
            item.seen.update(bundle=bundles.get(wanted[item.id]), counted=counted)


def find(item: Claimed, *, at: datetime) -> Outgoing:
    """The bundle of a claimed mail as `look` saw it, before a server is troubled; Superseded, Postponed or Failed if it can't go."""
    bundle = _checked(item, item.seen["bundle"], at=at)
    if not item.started:
        mail_caps.check(bundle, item.seen["counted"], at=at)
    return bundle


def begin(item: Claimed, *, at: datetime) -> Outgoing:
    """Start the link's clock and count the mail, once: as it first leaves. Joins the caller's transaction; raises as `find`."""
    if item.started:
        return _current(item, at=at)
    with transaction():
        outgoing.start_clocks({item.payload["bundle"]: item.payload["epoch"]}, at=at)
        # point: clock.started
        bundle = _current(item, at=at)  # as it is now that nobody else can change it
        mail_caps.count([bundle], at=at)
    return bundle


def begin_all(items: Sequence[Claimed], *, at: datetime) -> list[Outgoing]:
    """What `begin` does, for mails of one agency of which none has left: for all of them, or raises what hinders one."""
    with transaction():
        outgoing.start_clocks({item.payload["bundle"]: item.payload["epoch"] for item in items}, at=at)
        now = outgoing.read_all([item.payload["bundle"] for item in items])
        bundles = [_checked(item, now.get(item.payload["bundle"]), at=at) for item in items]
        mail_caps.count(bundles, at=at)
    return bundles


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


def transmit(item: Claimed, bundle: Whose, message: bytes, message_id: str, *, at: datetime) -> None:
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


def transmit_again(item: Claimed, bundle: Whose, *, at: datetime) -> bytes:
    """Say that what an earlier attempt may have sent is about to leave once more; returns its bytes. LeaseLost."""
    claims.start(item, at=at)
    blob = db.session.scalar(select(OutboxItem.message).where(OutboxItem.id == item.id))
    return open_(runtime.current().keyring, blob or b"", _place(item, bundle))


def _place(item: Claimed, bundle: Whose) -> Place:
    return Place(sealed.MAIL, bundle.agency_id, bundle.workspace_id, item.key)


def settled(item: Claimed, state: OutboxState, *, at: datetime) -> None:
    """Put into the audit trail how it ended, in the transaction that says so."""
    acts = {OutboxState.DONE: "mail.sent", OutboxState.DEAD: "mail.undelivered", OutboxState.HELD: "mail.held"}
    bundle = (item.seen.get("bundle") or outgoing.read(item.payload["bundle"])) if state in acts else None
    if bundle is not None:
        about, epoch = audit.Subject("bundle", bundle.public_id, bundle.workspace_id), item.payload["epoch"]
        audit.record(acts[state], about, by=audit.SYSTEM, at=at, recipient=bundle.recipient, epoch=epoch)

"""Bundles: all that one recipient is asked for in one workspace, and the one link that leads there."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import and_, bindparam, exists, func, or_, select, update

from app import clock
from app.database import transaction
from app.extensions import db
from app.models import Bundle, Channel, ConnectionRequest, Member, Recipient, Staff, Status, Workspace
from app.prepared import Prepared
from app.services import link_tokens, outbox

RESEND_WAIT = timedelta(minutes=5)

_THIS = Workspace.id == bindparam("workspace")
_LOCK = Prepared(select(Workspace.id).where(_THIS).with_for_update(key_share=True))
_TOUCH = Prepared(update(Workspace).where(_THIS).values(active_at=bindparam("at")))
_UNSETTLED = or_(ConnectionRequest.status == Status.PENDING, ConnectionRequest.status == Status.DECLINED)
_LEFT = select(ConnectionRequest.id).where(ConnectionRequest.bundle_id == Bundle.id, _UNSETTLED)
_OPEN = (Bundle.id == bindparam("bundle"), Bundle.closed_at.is_(None), ~exists(_LEFT))
_CLOSE = Prepared(update(Bundle).where(*_OPEN).values(closed_at=bindparam("at")))


def lock(workspace_id: int) -> None:
    """Make what is sent, settled or moved in one workspace happen one after the other, until the transaction ends."""
    _LOCK(workspace=workspace_id)


def turn(workspace_id: int) -> None:
    """Wait for one's turn in a workspace; what was read before it came is read anew."""
    lock(workspace_id)
    db.session.flush()
    db.session.expire_all()


def touch(workspace_id: int, *, at: datetime) -> None:
    """Note that something is done in a workspace. It locks as `lock` does, so that it is the first thing, or comes after it."""
    _TOUCH(workspace=workspace_id, at=at)


def channel_for(workspace_id: int, recipient: str) -> Channel:
    """The portal for a member of the workspace, a link for anybody else."""
    member = select(Member.id).where(
        Member.workspace_id == workspace_id, Member.email == recipient, Member.removed_at.is_(None)
    )
    return Channel.PORTAL if db.session.scalar(member) else Channel.LINK


def open_for(workspace_id: int, recipient: str, *, at: datetime) -> Bundle | None:
    """The recipient's open bundle; one whose link has lapsed with nothing pending is closed here, and is none."""
    found = db.session.scalar(
        select(Bundle)
        .where(Bundle.workspace_id == workspace_id, Bundle.recipient == recipient, Bundle.closed_at.is_(None))
        .execution_options(populate_existing=True)
    )
    if found and found.is_expired(at) and not _count(found, Status.PENDING):
        found.closed_at = at
        db.session.flush()
        return None
    return found


def mint(workspace: Workspace, recipient: str, *, by: Staff | str, at: datetime) -> Bundle:
    """Give the recipient's open bundle a fresh link, or open one: the old link dies, channel and clock are set anew.

    `by` is who asks: one of the staff, or the name that an earlier mail was signed with.
    """
    with transaction() as session:
        lock(workspace.id)
        channel = channel_for(workspace.id, recipient)
        bundle = open_for(workspace.id, recipient, at=at)
        epoch = bundle.epoch + 1 if bundle else 1
        whose = {"agency_id": workspace.agency_id, "workspace_id": workspace.id, "recipient": recipient}
        # point: link.drawn
        nonce, token = link_tokens.draw(epoch=epoch, **whose)  # type: ignore[arg-type]
        link = {
            "channel": channel,
            "nonce": nonce,
            "epoch": epoch,
            "token_hash": link_tokens.digest(token),
            "sent_by": by if isinstance(by, str) else by.name,
            "sent_at": at,
            "clock_started_at": None,
            "expires_at": at + channel.lifetime,
            "opened_at": None,
        }
        if bundle is None:
            bundle = Bundle(**whose, **link, created_at=at)
            session.add(bundle)
            session.flush()
        else:
            moved = session.execute(
                update(Bundle)
                .where(Bundle.id == bundle.id, Bundle.epoch == epoch - 1, Bundle.closed_at.is_(None))
                .values(**link)
                .execution_options(synchronize_session=False)
            )
            if moved.rowcount != 1:  # type: ignore[attr-defined]
                raise RuntimeError("The bundle was minted by somebody else within the lock.")
            session.refresh(bundle)
        return bundle


def mail(bundle: Bundle, *, at: datetime, due_at: datetime | None = None) -> None:
    """Put the one mail of this epoch in the outbox, due now or later, and start the wait until the next resend."""
    touch(bundle.workspace_id, at=at)
    outbox.put(
        "bundle.sent",
        f"{bundle.public_id}:{bundle.epoch}",
        agency_id=bundle.agency_id,
        at=at,
        due_at=due_at,
        bundle=bundle.id,
        epoch=bundle.epoch,
    )
    # point: mail.queued
    leaves = due_at or at
    known = db.session.scalar(
        select(Recipient).where(Recipient.workspace_id == bundle.workspace_id, Recipient.email == bundle.recipient)
    )
    if known:
        known.mailed_at = max(known.mailed_at, leaves)  # one that waited longer for the lock read its clock earlier
    else:
        db.session.add(
            Recipient(
                agency_id=bundle.agency_id, workspace_id=bundle.workspace_id, email=bundle.recipient, mailed_at=leaves
            )
        )
    db.session.flush()


def after_wait(mailed_at: datetime) -> datetime:
    """When somebody who was mailed at a moment may be mailed again: five minutes later, though the clock be set ahead."""
    return mailed_at + RESEND_WAIT + clock.lead(mailed_at)


def resend_available_at(workspace_id: int, recipients: list[str]) -> dict[str, datetime]:
    """When each recipient may be mailed again, by address."""
    rows = db.session.execute(
        select(Recipient.email, Recipient.mailed_at).where(
            Recipient.workspace_id == workspace_id, Recipient.email.in_(recipients)
        )
    )
    return {email: after_wait(mailed_at) for email, mailed_at in rows}


def all_resend_available_at(whom: Collection[tuple[int, str]]) -> dict[tuple[int, str], datetime]:
    """When each of these may be mailed again, by workspace and address; one query."""
    if not whom:
        return {}
    named = or_(*(and_(Recipient.workspace_id == place, Recipient.email == email) for place, email in set(whom)))
    rows = db.session.execute(select(Recipient.workspace_id, Recipient.email, Recipient.mailed_at).where(named))
    return {(place, email): after_wait(mailed_at) for place, email, mailed_at in rows}


def close_if_settled(bundle: Bundle | None, *, at: datetime) -> bool:
    """Close the bundle, and so kill its link, when none of its requests is pending or declined."""
    if bundle is None or bundle.closed_at or _count(bundle, Status.PENDING, Status.DECLINED):
        return False
    closed = db.session.execute(
        update(Bundle).where(Bundle.id == bundle.id, Bundle.closed_at.is_(None)).values(closed_at=at)
    )
    return closed.rowcount == 1  # type: ignore[attr-defined,no-any-return]


def close_settled(bundle_id: int, *, at: datetime) -> None:
    """What `close_if_settled` does, in one statement."""
    _CLOSE(bundle=bundle_id, at=at)


def _count(bundle: Bundle, *statuses: Status) -> int:
    return (
        db.session.scalar(
            select(func.count())
            .select_from(ConnectionRequest)
            .where(ConnectionRequest.bundle_id == bundle.id, ConnectionRequest.status.in_(statuses))
        )
        or 0
    )

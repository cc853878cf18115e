"""Invitations to the portal, within limits that go by workspace and address: adding somebody anew gives no more of them."""

from datetime import datetime, timedelta

from sqlalchemy import select

from app import clock
from app.errors import Refused
from app.extensions import db
from app.i18n import _
from app.models import Member
from app.services import counters, letters, limits

DAY, BETWEEN = timedelta(days=1), timedelta(minutes=5)
A_DAY = 4  # the first among them
LATELY = 10  # of those who were members under one address, so many are looked at


def send_first(member: Member, *, at: datetime) -> None:
    """Invite somebody who was added: five minutes after the last invitation to that address at the earliest.

    Once there were enough in a day none is sent: the ones that they have lead to the same place. Joins the caller's transaction.
    """
    if not _is_one_more(member, at=at):
        return
    same = select(Member).where(Member.workspace_id == member.workspace_id, Member.email == member.email)
    before = letters.invitations(db.session.scalars(same.order_by(Member.id.desc()).limit(LATELY)).all())
    last = max((each.at for each in before.values()), default=None)
    letters.invite(member, at=at, due_at=max(at, _after(last)) if last else None)


def send_again(member: Member, *, at: datetime) -> None:
    """Invite a member once more; Refused five minutes after the last time, or after three of them in a day."""
    last = letters.invitations([member]).get(member.id)
    if last is not None and _after(last.at) > at:
        raise Refused(_("They were invited less than five minutes ago. Wait a little before you do so again."))
    if not _is_one_more(member, at=at):
        raise Refused(_("They were invited three times today. Try again tomorrow."))
    letters.invite(member, at=at)


def _after(last: datetime) -> datetime:
    """When somebody who was invited at a moment may be again: five minutes later, though the clock be set ahead."""
    return last + BETWEEN + clock.lead(last)


def _is_one_more(member: Member, *, at: datetime) -> bool:
    key = f"invitations to {limits.digest(f'{member.workspace_id}/{member.email}')}"
    return counters.hit(key, at=at, window=DAY, limit=A_DAY)

"""Mails beside the one that asks for apps: put in the outbox with ids alone, read and written as they leave."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_, select

from app import clock
from app.extensions import db
from app.models import Connection, Member, OutboxItem, Role, Staff
from app.services import deliveries, outbox
from app.services.deliveries import Delivery
from app.tenancy import acting_for

CODE, INVITED, BROKEN = "portal.code", "member.invited", "connection.broken"
OWNER_CHANGED = "connection.owner_changed"
KINDS = (CODE, INVITED, BROKEN, OWNER_CHANGED)
MOST_TOLD = 50  # people of one agency or one workspace


def put(kind: str, key: str, *, agency_id: int, at: datetime, due_at: datetime | None = None, **ids: Any) -> bool:
    """Have a letter written and sent, at once or when it is due; false if this cause has had one. Joins the caller's transaction.

    No id is called `bundle`: that names the place where a bundle's mail is sealed.
    """
    if kind not in KINDS or "bundle" in ids:
        raise ValueError(f"This is no letter: {kind}.")
    return outbox.put(kind, key, agency_id=agency_id, at=at, due_at=due_at, **ids)


def invite(member: Member, *, at: datetime, due_at: datetime | None = None) -> int | None:
    """Have an invitation sent to a member, at once or when it is due; once however often it is asked for at a moment; returns its number."""
    last = invitations([member]).get(member.id)
    number = last.number + 1 if last else 1
    key = f"{member.public_id}:{number}"
    is_new = put(INVITED, key, agency_id=member.agency_id, at=at, due_at=due_at, member=member.id)
    return number if is_new else None


@dataclass(frozen=True)
class Invited:
    """A member's latest invitation: the how manieth, when it was put, and what became of it."""

    number: int
    at: datetime
    delivery: Delivery | None


def invitations(members: Collection[Member]) -> dict[int, Invited]:
    """The latest invitation of each of these members, by the member's id, in one query."""
    mine: ColumnElement[bool] = false()
    for each in members:
        first, last = f"{each.public_id}:", f"{each.public_id};"  # all keys between: ; comes after :
        mine = or_(mine, and_(OutboxItem.key > first, OutboxItem.key < last))
    rows = (
        db.session.execute(select(OutboxItem.key, *deliveries.COLUMNS).where(OutboxItem.kind == INVITED, mine)).all()
        if members
        else []
    )
    latest = {row.key.partition(":")[0]: row for row in sorted(rows, key=lambda row: _number(row.key))}
    at = clock.now()
    found = ((each.id, latest.get(each.public_id)) for each in members)
    return {
        member_id: Invited(_number(row.key), row.created_at, deliveries.told(row, at))
        for member_id, row in found
        if row is not None
    }


def _number(key: str) -> int:
    return int(key.rpartition(":")[2])


def tell_broken(connection: Connection, *, at: datetime) -> None:
    """Have those who can mend a connection told that it broke, each once. Joins the caller's transaction, in which `broken_at` is set.

    They are its owner; the members who took it over; or, where it is the agency's own, the agency's owners.
    """
    with acting_for(connection.agency_id):
        for key, ids in of_break(connection, db.session.execute, since=connection.broken_at or at):
            put(BROKEN, key, agency_id=connection.agency_id, at=at, **ids)


def of_break(connection: Any, execute: Callable[[Any], Any], *, since: datetime) -> list[tuple[str, dict[str, Any]]]:
    """The letters that tell of a break of a connection, or of what is known of it, by key, with their ids; `execute` reads who is told."""
    about: dict[str, Any] = {"connection": connection.id, "since": int(since.timestamp())}
    key = f"{connection.public_id}:{about['since']}"
    if connection.owner_email is not None and connection.owner_left_at is None:
        return [(key, about)]
    return [(f"{key}:{public_id}", about | {who: row_id}) for who, public_id, row_id in _menders(connection, execute)]


def tell_owner_changed(connection: Connection, *, version: int, at: datetime) -> None:
    """Have whoever had a connection told that it is another's. Joins the caller's transaction, in which the trail says whose it was.

    `version` is that of the secret with which it passed.
    """
    key = f"{connection.public_id}:{version}"
    put(OWNER_CHANGED, key, agency_id=connection.agency_id, at=at, connection=connection.id, version=version)


def _menders(connection: Any, execute: Callable[[Any], Any]) -> Iterable[tuple[str, str, int]]:
    if connection.owner_email is None:
        staff = select(Staff.public_id, Staff.id).where(
            Staff.agency_id == connection.agency_id, Staff.role == Role.OWNER, Staff.disabled_at.is_(None)
        )
        return [("staff", *row) for row in execute(staff.order_by(Staff.id).limit(MOST_TOLD))]
    members = select(Member.public_id, Member.id).where(
        Member.workspace_id == connection.workspace_id, Member.removed_at.is_(None)
    )
    return [("member", *row) for row in execute(members.order_by(Member.id).limit(MOST_TOLD))]

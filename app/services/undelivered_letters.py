"""Letters that could not be delivered, for staff: invitations of members, and word of connections that broke.

A letter counts as long as it would still be sent. Nobody but its reader is to know of a code.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, exists, func, select
from sqlalchemy.orm import aliased

from app import clock
from app.database import transaction
from app.errors import Conflict
from app.extensions import db
from app.i18n import _
from app.models import Agency, Connection, Health, Member, OutboxItem, Staff, Workspace
from app.services import audit, deliveries, letters, outbox, paging
from app.services.deliveries import Delivery
from app.services.paging import Page

FAILED: ColumnElement[Any] = bindparam(
    "failed", deliveries.FAILED, expanding=True, literal_execute=True
)  # as its index has it
_stuck = aliased(OutboxItem)
_subject = func.substr(_stuck.key, 1, deliveries.PUBLIC_ID)
_columns = tuple(getattr(_stuck, column.key) for column in deliveries.COLUMNS)


@dataclass(frozen=True)
class Invitation:
    """One to a member that did not arrive."""

    member: Member
    workspace: Workspace
    delivery: Delivery


@dataclass(frozen=True)
class Notice:
    """Word that a connection broke, and to whom of those who can mend it that did not arrive."""

    connection: Connection
    place: Workspace | None
    recipients: Sequence[str]
    delivery: Delivery


def invitations(agency: Agency) -> Select[Member]:
    """The present members whose latest invitation failed."""
    later = aliased(OutboxItem)
    first, last = func.substr(_stuck.key, 1, deliveries.PUBLIC_ID + 1), _subject + ";"  # ; comes after :
    replaced = exists(
        select(later.id).where(later.kind == letters.INVITED, later.key > first, later.key < last, later.id > _stuck.id)
    )
    failed = select(_subject).where(*_failed(agency, letters.INVITED), ~replaced)
    return (
        select(Member)
        .join(Workspace, Workspace.id == Member.workspace_id)
        .where(Member.agency_id == agency.id, Member.removed_at.is_(None), Workspace.archived_at.is_(None))
        .where(Member.public_id.in_(failed))
    )


def notices(agency: Agency) -> Select[Connection]:
    """The connections of which somebody was not told that they broke, and are broken since."""
    failed = exists(
        select(_stuck.id).where(
            *_failed(agency, letters.BROKEN),
            _subject == Connection.public_id,
            _stuck.created_at >= Connection.broken_at,
        )
    )
    told_of = select(_subject).where(*_failed(agency, letters.BROKEN))
    return select(Connection).where(
        Connection.agency_id == agency.id,
        Connection.health == Health.ERROR,
        Connection.deleted_at.is_(None),
        Connection.public_id.in_(told_of),
        failed,
    )


def _failed(agency: Agency, kind: str) -> tuple[ColumnElement[bool], ...]:
    return _stuck.agency_id == agency.id, _stuck.kind == kind, _stuck.state.in_(FAILED)


def count(agency: Agency) -> ColumnElement[int]:
    """How many of both there are, for a statement."""
    told = notices(agency).with_only_columns(func.count(Connection.id)).scalar_subquery()
    return invitations(agency).with_only_columns(func.count(Member.id)).scalar_subquery() + told


def invitation_page(
    agency: Agency, *, after: str | None = None, before: str | None = None, size: int | None = None
) -> Page[Invitation]:
    """The invitations that failed, those of who was added last first; three statements."""
    page = paging.page(invitations(agency), Member.created_at, after=after, before=before, size=size)
    places = _places(each.workspace_id for each in page.items)
    sent = letters.invitations(page.items)
    found = [
        Invitation(each, places[each.workspace_id], how.delivery)
        for each in page.items
        if (how := sent.get(each.id)) and how.delivery
    ]
    return Page(found, page.newer, page.older)


def notice_page(
    agency: Agency, *, after: str | None = None, before: str | None = None, size: int | None = None
) -> Page[Notice]:
    """The connections of which somebody was not told, those that broke last first; the same few statements however many."""
    page = paging.page(notices(agency), Connection.broken_at, after=after, before=before, size=size)
    places = _places(each.workspace_id for each in page.items)
    sent, at = _sent(agency, page.items), clock.now()
    to = _recipients([row for rows in sent.values() for row in rows])
    found = []
    for each in page.items:
        rows = sent.get(each.public_id, [])
        delivery = deliveries.told(rows[-1], at) if rows else None
        if delivery is not None:
            names = [name for name in (to.get(row.key, each.owner_email) for row in rows) if name]
            found.append(Notice(each, places.get(each.workspace_id or 0), names, delivery))
    return Page(found, page.newer, page.older)


def _places(ids: Iterable[int | None]) -> dict[int, Workspace]:
    wanted = {each for each in ids if each}
    return {each.id: each for each in db.session.scalars(select(Workspace).where(Workspace.id.in_(wanted)))}


def _sent(agency: Agency, connections: Sequence[Connection]) -> dict[str, list[Any]]:
    """The letters that failed of each of these since it broke, by its public id, the latest last."""
    rows = db.session.execute(
        select(_subject.label("subject"), _stuck.key, _stuck.payload, *_columns)
        .join(Connection, and_(Connection.public_id == _subject, _stuck.created_at >= Connection.broken_at))
        .where(*_failed(agency, letters.BROKEN), _subject.in_([each.public_id for each in connections]))
        .order_by(_stuck.id)
    )
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.subject].append(row)
    return found


def _recipients(rows: Sequence[Any]) -> dict[str, str]:
    """To whom each of these letters goes that is not the owner's, by its key."""
    found: dict[str, str] = {}
    for who, model in (("member", Member), ("staff", Staff)):
        ids = {row.payload[who] for row in rows if who in row.payload}
        people = db.session.execute(select(model.id, model.email).where(model.id.in_(ids))) if ids else ()
        emails = {row.id: row.email for row in people}
        found |= {row.key: emails[row.payload[who]] for row in rows if row.payload.get(who) in emails}
    return found


def try_invitation_again(member: Member, *, by: Staff) -> None:
    """Send a member's latest invitation now; Conflict when it is on its way or gone."""
    last = letters.invitations([member]).get(member.id)
    _again(letters.INVITED, [f"{member.public_id}:{last.number}"] if last else [], member, by=by)


def try_notice_again(connection: Connection, *, agency: Agency, by: Staff) -> None:
    """Tell those who were not told that a connection broke; Conflict when it is on its way, gone or not true any more."""
    still = connection.health is Health.ERROR
    keys = [row.key for row in _sent(agency, [connection]).get(connection.public_id, [])] if still else []
    _again(letters.BROKEN, keys, connection, by=by)


def _again(kind: str, keys: Sequence[str], about: Member | Connection, *, by: Staff) -> None:
    at = clock.now()
    with transaction():
        if not [key for key in keys if outbox.retry_now(kind, key, at=at)]:
            raise Conflict(_("This e-mail is on its way already."))
        audit.record("mail.retried", about, by=by, at=at, letter=kind)

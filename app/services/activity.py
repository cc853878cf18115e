"""Activity: what was done with connections, in words for whoever they belong to; read from the audit trail."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Select, select, union_all

from app import clock
from app.extensions import db
from app.i18n import _, list_of, ngettext
from app.models import AuditEvent, Connection, FlowSurface, Revocation
from app.services import activity_facts, causes, ownership, paging, portal_connections, scopes
from app.services.activity_facts import Facts
from app.services.ownership import Span
from app.services.paging import Page
from app.services.portal_visitors import Visitor

FEW = 6  # beneath the connections
CHUNK = 50  # connections whose events are looked for at a time


@dataclass(frozen=True)
class Event:
    """Something that was done with a connection: its app and name, what, and by whom or why."""

    at: datetime
    app: str
    name: str
    act: str
    how: str


def page(
    visitor: Visitor, *, after: str | None = None, before: str | None = None, size: int | None = None
) -> Page[Event]:
    """What was done with the visitor's connections, latest first; it costs what it shows, however much was done.

    `after` and `before` are public ids of events, unknown ones count for none.
    """
    size, at = size or paging.PAGE, clock.now()
    known = {row.public_id: row for row in db.session.execute(_subjects(*portal_connections.told_of(visitor, at=at)))}
    parts = _parts(visitor, known)
    over = _given_up(visitor, [each.subject for each in parts if each.subject not in known])
    known |= over
    parts = [each for each in parts if each.subject in known]
    cursor = _cursor(after or before, known)
    backwards = cursor is not None and not after
    beyond = () if cursor is None else (AuditEvent.id > cursor,) if backwards else (AuditEvent.id < cursor,)
    rows = _found(parts, beyond, most=size + 1, backwards=backwards)
    more, rows = len(rows) > size, rows[:size]
    if backwards:
        rows.reverse()
    if not rows:
        return Page([])
    facts = activity_facts.of(rows, known)
    names = {each.subject: each.span.name for each in parts if each.subject in over}
    events = [_event(_Told(row, known[row.subject], visitor, facts), names) for row in rows]
    has_newer = more if backwards else cursor is not None
    has_older = True if backwards else more
    return Page(events, rows[0].public_id if has_newer else None, rows[-1].public_id if has_older else None)


def _subjects(*which: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    return select(*activity_facts.SUBJECT).where(*which)


@dataclass(frozen=True)
class _Part:
    """What the visitor may read of one connection's trail."""

    subject: str
    span: Span


def _parts(visitor: Visitor, known: Collection[str]) -> list[_Part]:
    """What is theirs, since it is: the whole for a member; and what was, until it became another's."""
    spans = ownership.spans(visitor.workspace_id, visitor.email)
    parts = [
        _Part(each, span)
        for each in known
        for span in ([Span(None, None)] if visitor.is_member else spans.get(each) or [Span(None, None)])
    ]
    over = [_Part(each, span) for each in spans if each not in known for span in spans[each] if span.last]
    return parts + over


def _given_up(visitor: Visitor, public_ids: Collection[str]) -> dict[str, activity_facts.Subject]:
    if not public_ids:
        return {}
    named = Connection.public_id.in_(public_ids)
    found = _subjects(named, Connection.workspace_id == visitor.workspace_id, Connection.deleted_at.is_(None))
    return {row.public_id: row for row in db.session.execute(found)}


def _cursor(public_id: str | None, known: Mapping[str, object]) -> int | None:
    """Where a page goes on; an event of something else counts for none."""
    if not public_id or not public_id.isalnum():
        return None
    row = db.session.execute(
        select(AuditEvent.id, AuditEvent.subject).where(AuditEvent.public_id == public_id)
    ).one_or_none()
    return row.id if row is not None and row.subject in known else None


def _found(
    parts: Sequence[_Part], beyond: tuple[ColumnElement[bool], ...], *, most: int, backwards: bool
) -> list[AuditEvent]:
    """The first so many events of these parts, each looked for by its own index entry."""
    order = AuditEvent.id.asc() if backwards else AuditEvent.id.desc()
    ids: list[int] = []
    for some in _chunks(parts):
        ways = [
            select(AuditEvent.id)
            .where(AuditEvent.subject == each.subject, AuditEvent.type.in_(tuple(ACTS)), *_within(each.span), *beyond)
            .order_by(order)
            .limit(most)
            .subquery()
            for each in some
        ]
        ids += db.session.scalars(union_all(*(select(way.c.id) for way in ways)))
    ids = sorted(ids, reverse=not backwards)[:most]
    # By themselves: joined, PostgreSQL may rather read the whole trail in the order of its ids up to these.
    return list(db.session.scalars(select(AuditEvent).where(AuditEvent.id.in_(ids)).order_by(order))) if ids else []


def _within(span: Span) -> Iterator[ColumnElement[bool]]:
    if span.first is not None:
        yield AuditEvent.id >= span.first
    if span.last is not None:
        yield AuditEvent.id <= span.last


def _chunks(parts: Sequence[_Part]) -> Iterator[Sequence[_Part]]:
    left = iter(parts)
    while some := list(islice(left, CHUNK)):
        yield some


# ── In words ─────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Told:
    """What the trail says of an event, and what is known around it."""

    row: AuditEvent
    connection: activity_facts.Subject
    visitor: Visitor
    facts: Facts

    @property
    def app(self) -> str:
        """The app's name."""
        return scopes.app_of(self.connection).name

    @property
    def by(self) -> str:
        """Who did it, as far as a client is told: no address of staff."""
        kind, name = self.row.actor_kind, self.row.actor
        if kind == "client":
            return _("by you") if name == self.visitor.email else _("by %(who)s", who=self.who(name))
        if kind == "staff":
            return _("by %(who)s", who=self.visitor.agency.name)
        return "" if kind in ("system", "anonymous") else _("by the API key “%(name)s”", name=name)

    def who(self, address: str) -> str:
        """A person, as far as the visitor is told: only members are told addresses of others."""
        return address if self.visitor.is_member or address == self.visitor.email else _("somebody else")

    def text(self, name: str) -> str:
        """What the trail has under a name, if that is text."""
        value = self.row.data.get(name)
        return value if isinstance(value, str) else ""


def _event(told: _Told, names: Mapping[str, str]) -> Event:
    """`names` are those that connections had when they became another's."""
    act, how = ACTS[told.row.type](told)
    return Event(told.row.at, told.app, names.get(told.row.subject) or told.connection.name, act, how)


def _connected(told: _Told) -> str:
    is_portal = told.text("surface") == FlowSurface.PORTAL
    return ", ".join(filter(None, (told.by, _("from the portal") if is_portal else "")))


def _used(told: _Told) -> tuple[str, str]:
    name = told.facts.workflows.get(told.text("workflow"))
    workflow = _("by the workflow %(name)s", name=name) if name else ""
    return _("used"), ", ".join(filter(None, (workflow, told.by)))


def _refreshed(told: _Told) -> tuple[str, str]:
    return _("refreshed"), told.by or _("automatically, ahead of expiry")


def _failed(told: _Told) -> tuple[str, str]:
    why, paused = causes.words(told.text("cause") or None, told.app), told.facts.paused.get(told.row.id)
    if not paused:
        return _("failed"), why
    names = list_of(paused)
    return _("failed"), f"{why} {ngettext('%(names)s is paused.', '%(names)s are paused.', len(paused), names=names)}"


def _not_refreshed(told: _Told) -> tuple[str, str]:
    return _("could not be refreshed"), causes.words(told.text("cause") or None, told.app)


def _renamed(told: _Told) -> tuple[str, str]:
    before = told.text("before")
    return _("renamed"), ", ".join(filter(None, (told.by, _("before: %(name)s", name=before) if before else "")))


def _asked_to_mend(told: _Told) -> tuple[str, str]:
    recipient = told.text("recipient")
    of = _("of %(who)s", who=told.who(recipient)) if recipient and recipient != told.visitor.email else ""
    return _("asked to be reconnected"), ", ".join(filter(None, (told.by, of)))


def _revoked(told: _Told) -> tuple[str, str]:
    outcomes = {
        Revocation.PENDING.value: _("%(app)s has yet to confirm it.", app=told.app),
        Revocation.CONFIRMED.value: _("Revoked at %(app)s, and deleted here.", app=told.app),
        Revocation.UNSUPPORTED.value: _("Deleted here; %(app)s offers no revocation.", app=told.app),
        Revocation.UNCONFIRMED.value: _(
            "Deleted here; %(app)s did not confirm that it is revoked there.", app=told.app
        ),
        Revocation.KEPT_FOR_SIBLING.value: _(
            "Deleted here; %(app)s was not asked to revoke it, since that would end another connection of the same account.",
            app=told.app,
        ),
    }
    said = outcomes.get(told.facts.outcomes.get(told.row.id, ""), "")
    return _("revoked"), ". ".join(filter(None, (told.by, said)))


def _passed_on(told: _Told) -> tuple[str, str]:
    owner = told.text("owner")
    why = _("you were removed") if owner == told.visitor.email else _("%(who)s was removed", who=told.who(owner))
    return _("passed to the members of %(workspace)s", workspace=told.visitor.workspace), why


def _became_anothers(told: _Told) -> tuple[str, str]:
    if told.text("after") == told.visitor.email:
        return _("became yours"), _("as you connected the same account")
    return _("passed to %(who)s", who=told.who(told.text("after"))), _("who connected the same account")


ACTS: dict[str, Callable[[_Told], tuple[str, str]]] = {
    "connection.created": lambda told: (_("connected"), _connected(told)),
    "connection.updated": lambda told: (_("connected again"), _connected(told)),
    "connection.used": _used,
    "connection.refreshed": _refreshed,
    "connection.refresh_failed": _not_refreshed,
    "connection.broken": _failed,
    "connection.reauthorize_asked": _asked_to_mend,
    "connection.mended": lambda told: (_("works again"), told.by),
    "connection.revoked": _revoked,
    "connection.owner_left": _passed_on,
    ownership.CHANGED: _became_anothers,
    "connection.owner_returned": lambda told: (_("passed back to %(who)s", who=told.who(told.text("owner"))), ""),
    "connection.renamed": _renamed,
    "connection.deleted": lambda told: (_("deleted"), told.by),
}

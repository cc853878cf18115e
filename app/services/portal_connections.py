"""The connections that a visitor of the portal looks after: their own, and those whose owner was removed."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_, select

from app.catalog.schema import App
from app.errors import NotFound
from app.extensions import db
from app.i18n import _
from app.models import Connection, Health, Revocation, Slot, Workflow
from app.services import connections, paging, portal_places, revocations, scopes
from app.services.badges import Badge
from app.services.paging import Page
from app.services.portal_visitors import Visitor
from app.services.scopes import Permission


@dataclass(frozen=True)
class Held:
    """A connection with what the portal says of it: its state, the sentence that goes with it, and more where there is any."""

    connection: Connection
    app: App
    badge: Badge
    words: str
    more: str = ""
    help_url: str = ""
    workflows: Sequence[Workflow] = ()

    @property
    def is_revoked(self) -> bool:
        """Whether it is no longer used."""
        return self.connection.health is Health.REVOKED

    @property
    def is_moving(self) -> bool:
        """Whether it may still change by itself: its provider has yet to confirm that it is revoked."""
        return self.is_revoked and self.connection.revocation is Revocation.PENDING

    @property
    def may_refresh(self) -> bool:
        """Whether its credential can be tested."""
        return self.connection.works

    @property
    def needs_owner(self) -> bool:
        """Whether only its owner can bring it back."""
        return not self.connection.works and self.may_reconnect

    @property
    def may_reconnect(self) -> bool:
        """Whether its owner can approve it anew."""
        return self.app.oauth2 is not None and self.connection.oauth_client is not None

    @property
    def permissions(self) -> list[Permission]:
        """What was granted."""
        return scopes.granted(self.app, self.connection.scopes)

    @property
    def pauses(self) -> list[str]:
        """The names of live workflows that stand still without it."""
        return [each.name for each in self.workflows if each.version]


def page(visitor: Visitor, *, after: str | None = None, before: str | None = None) -> Page[Held]:
    """The visitor's connections, latest first, on each page those that broke on top; two queries however many."""
    found = paging.page(
        select(Connection).where(*of(visitor)),
        Connection.created_at,
        after=after,
        before=before,
    )
    using = workflows_using(found.items)
    held = [held_of(each, using[each.id]) for each in found.items]
    return Page(sorted(held, key=lambda each: each.connection.health is not Health.ERROR), found.newer, found.older)


def get(visitor: Visitor, public_id: str) -> Held:
    """The connection of that id if the visitor may act on it; NotFound."""
    found = db.session.scalar(select(Connection).where(Connection.public_id == public_id, *of(visitor)))
    if found is None:
        raise NotFound
    return held_of(found, workflows_using([found])[found.id])


def of(visitor: Visitor) -> tuple[ColumnElement[bool], ...]:
    """What `connections.is_owned` says, for a statement."""
    return Connection.workspace_id == visitor.workspace_id, Connection.deleted_at.is_(None), _owned(visitor)


def told_of(visitor: Visitor, *, at: datetime) -> tuple[ColumnElement[bool], ...]:
    """The same, and what was deleted lately: it stays in the activity for a while."""
    lately = portal_places.told_of(Connection, portal_places.told_since(at))
    return Connection.workspace_id == visitor.workspace_id, lately, _owned(visitor)


def _owned(visitor: Visitor) -> ColumnElement[bool]:
    own = and_(Connection.owner_email == visitor.email, Connection.owner_left_at.is_(None))
    left = and_(Connection.owner_email.is_not(None), Connection.owner_left_at.is_not(None))
    return or_(own, left) if visitor.is_member else own


def workflows_using(found: Iterable[Connection]) -> dict[int, list[Workflow]]:
    """The workflows that use each of these, by its id; one query."""
    rows = db.session.execute(
        select(Slot.connection_id, Workflow)
        .join(Workflow, Workflow.id == Slot.workflow_id)
        .where(Slot.connection_id.in_([each.id for each in found]), Workflow.archived_at.is_(None))
        .order_by(Workflow.name, Workflow.id)
    )
    using: dict[int, list[Workflow]] = defaultdict(list)
    for connection_id, workflow in rows:
        if connection_id is not None and workflow not in using[connection_id]:
            using[connection_id].append(workflow)
    return using


def held_of(connection: Connection, workflows: Sequence[Workflow]) -> Held:
    """A connection with its words."""
    badge, words = standing(connection)
    more, help_url = _more(connection)
    return Held(connection, scopes.app_of(connection), badge, words, more, help_url, workflows)


def standing(connection: Connection) -> tuple[Badge, str]:
    """How a connection stands, in a word and in a sentence."""
    said = {
        Health.ACTIVE: (Badge("connected", _("Active")), _("Connected and working.")),
        Health.PENDING: (Badge("pending", _("Pending")), _("Waiting for the first sync.")),
        Health.ERROR: (Badge("error", _("Error")), _("Reconnection needed.")),
        Health.REVOKED: (
            Badge("revoked", _("Revoked")),
            _("Revoked. Workflows that depend on it are paused until you reconnect."),
        ),
    }
    return said[connection.health]


def _more(connection: Connection) -> tuple[str, str]:
    """What else there is to know, and where to go on at the app itself."""
    if connection.health is Health.ERROR:
        return connections.why_broken(connection), ""
    said = revocations.words(connection)
    return (said.text, said.link) if said else ("", "")

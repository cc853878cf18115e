"""What letters tell, to whom and in whose name: read when each is about to leave."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select

from app.extensions import db
from app.models import Agency, Connection, Health, Member, PortalCode, Slot, Staff, Workflow, Workspace
from app.services import letters, ownership, portal_codes, portal_places
from app.services.audit import Subject
from app.services.claims import Claimed
from app.tenancy import across_tenants


@dataclass(frozen=True)
class Code:
    """A sign-in to the portal: what to type, what the button's address ends in, and the key of the page that it leads to."""

    digits: str = field(repr=False)
    button: str = field(repr=False)
    until: datetime
    to: str | None = None


@dataclass(frozen=True)
class Invitation:
    """To the portal of a workspace, as a member of it."""

    name: str
    workspace: str


@dataclass(frozen=True)
class Break:
    """A connection that needs to be connected again, and what waits for it; `for_staff`: it is the agency's own."""

    connection: Connection
    workspace: str | None
    paused: tuple[str, ...]
    for_staff: bool


@dataclass(frozen=True)
class Passing:
    """A connection that is another's now; `may_enter` the portal still, whoever had it."""

    connection: Connection
    workspace: str | None
    may_enter: bool


@dataclass(frozen=True)
class Due:
    """One letter: for whom, and of the agency that sends it all that its looks need.

    `agency_id` is the outbox's, `workspace_id` none: what the sealed letter is bound to.
    """

    kind: str
    agency_id: int
    recipient: str
    sender: Any
    told: Code | Invitation | Break | Passing
    about: Subject | None = None
    workspace_id: None = None
    is_capped: bool = True

    @property
    def sender_id(self) -> int:
        """The agency whose mail it is."""
        return int(self.sender.id)

    @property
    def is_code(self) -> bool:
        """Whether it is a sign-in that anybody may have asked for."""
        return isinstance(self.told, Code)

    @property
    def mails_per_hour(self) -> int:
        """How many may leave for all recipients."""
        return int(self.sender.mails_per_hour)

    @property
    def mails_per_recipient_day(self) -> int:
        """How many may leave for this one."""
        return int(self.sender.mails_per_recipient_day)


SENDER = (
    Agency.id, Agency.name, Agency.slug, Agency.locale, Agency.timezone, Agency.sender_name, Agency.sender_address,
    Agency.support_email, Agency.accent, Agency.logo_digest, Agency.mails_per_hour, Agency.mails_per_recipient_day,
)  # fmt: skip


def read(item: Claimed, *, at: datetime) -> Due | None:
    """The letter; none if it is not wanted any more."""
    if item.kind == letters.CODE:
        return _code(item, at)
    others = {letters.INVITED: _invitation, letters.BROKEN: _break, letters.OWNER_CHANGED: _passing}
    return others[item.kind](item)


def _sender(agency_id: int) -> Any:
    return db.session.execute(select(*SENDER).where(Agency.id == agency_id)).one()


def _code(item: Claimed, at: datetime) -> Due | None:
    """A code for an address that may enter: at the agency where it was asked for, or in the name of the first that it has a place at."""
    row = db.session.scalar(select(PortalCode).where(PortalCode.public_id == item.payload["code"]))
    if row is None or row.used_at is not None or row.expires_at <= at:
        return None
    with across_tenants("one address may be a client of several agencies"):
        place = db.session.scalar(
            select(Workspace.agency_id)
            .where(Workspace.id.in_(portal_places.of_address(row.email)), portal_places.within(row.agency_id))
            .order_by(Workspace.id)
            .limit(1)
        )
    if place is None:
        return None
    told = Code(portal_codes.code_of(row), portal_codes.button_of(row), row.expires_at, item.payload.get("to"))
    return Due(item.kind, item.agency_id, row.email, _sender(place), told, is_capped="known" not in item.payload)


def _invitation(item: Claimed) -> Due | None:
    found = db.session.execute(
        select(Member, Workspace.name)
        .join(Workspace, Workspace.id == Member.workspace_id)
        .where(Member.id == item.payload["member"], Member.removed_at.is_(None), Workspace.archived_at.is_(None))
    ).one_or_none()
    if found is None:
        return None
    member, workspace = found
    about = Subject("member", member.public_id, member.workspace_id)
    told = Invitation(member.name, workspace)
    return Due(item.kind, item.agency_id, member.email, _sender(member.agency_id), told, about)


def _break(item: Claimed) -> Due | None:
    """That a connection broke, as long as it has been broken since."""
    connection = db.session.get(Connection, item.payload["connection"])
    if connection is None or connection.health is not Health.ERROR or connection.deleted_at or not connection.broken_at:
        return None
    recipient = _mender(connection, item)
    if recipient is None or int(connection.broken_at.timestamp()) != item.payload["since"]:
        return None
    about = Subject("connection", connection.public_id, connection.workspace_id)
    workspace = db.session.scalar(select(Workspace.name).where(Workspace.id == connection.workspace_id))
    told = Break(connection, workspace, _paused(connection), for_staff="staff" in item.payload)
    return Due(item.kind, item.agency_id, recipient, _sender(connection.agency_id), told, about)


def _passing(item: Claimed) -> Due | None:
    """That a connection is another's, unless whoever had it has it again."""
    connection = db.session.get(Connection, item.payload["connection"])
    if connection is None or connection.deleted_at:
        return None
    recipient = ownership.former(connection, version=item.payload["version"])
    if recipient is None or recipient == connection.owner_email:
        return None
    about = Subject("connection", connection.public_id, connection.workspace_id)
    workspace = db.session.scalar(select(Workspace.name).where(Workspace.id == connection.workspace_id))
    may_enter = bool(portal_places.few(recipient, connection.agency_id))
    return Due(
        item.kind,
        item.agency_id,
        recipient,
        _sender(connection.agency_id),
        Passing(connection, workspace, may_enter),
        about,
    )


def _mender(connection: Connection, item: Claimed) -> str | None:
    """The address of who is told, if they are still the one."""
    if "staff" in item.payload:
        person = select(Staff.email).where(Staff.id == item.payload["staff"], Staff.disabled_at.is_(None))
        return db.session.scalar(person)
    if "member" in item.payload:
        member = select(Member.email).where(Member.id == item.payload["member"], Member.removed_at.is_(None))
        return db.session.scalar(member)
    return None if connection.owner_left_at else connection.owner_email


def _paused(connection: Connection) -> tuple[str, ...]:
    """The published workflows that wait for it, by name."""
    names = (
        select(Workflow.name)
        .join(Slot, Slot.workflow_id == Workflow.id)
        .where(Slot.connection_id == connection.id, Workflow.version > 0, Workflow.archived_at.is_(None))
        .distinct()
        .order_by(Workflow.name)
    )
    return tuple(db.session.scalars(names))

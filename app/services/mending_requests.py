"""Requests of the kind `reauthorize`: a client's connection is mended by its owner, whom staff ask to approve it anew."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload

from app import clock
from app.database import transaction
from app.errors import Conflict, NotFound, Refused
from app.extensions import db
from app.i18n import _
from app.models import Connection, ConnectionRequest, Kind, Member, Slot, Staff, Status, Workflow, Workspace
from app.services import addresses, audit, bundles, connection_requests, members, recipients, scopes
from app.services.audit import Subject
from app.services.scopes import Permission

STANDING = (Status.QUEUED, Status.PENDING, Status.DECLINED)


def queue(
    connection: Connection,
    *,
    workflow: Workflow | None = None,
    recipient: str = "",
    note: str = "",
    was_broken: bool = False,
    by: Staff,
) -> ConnectionRequest:
    """Put a request in the queue that the connection's owner approve it anew; nothing is sent yet.

    It belongs to the workflow that it was asked from, else to the latest that uses the connection. `recipient` counts
    only once the owner was removed: then it names a present member. `was_broken`: refused if it has been mended since.
    """
    app, at = scopes.app_of(connection), clock.now()
    connection_requests.check_eligible(by.agency, app)
    note = addresses.clean_text(note, field="note", most=connection_requests.NOTE_LENGTH)
    _check_is_clients(connection)
    connection_id, workspace_id = connection.id, connection.workspace_id or 0
    try:
        with transaction() as session:
            bundles.turn(workspace_id)
            held = session.get(Connection, connection_id, populate_existing=True)
            if held is None or held.deleted_at is not None:
                raise NotFound
            if was_broken and held.works:
                raise Conflict(_("This connection works again: nobody needs to be asked."))
            _check_not_asked(held)
            asked = ConnectionRequest(
                agency_id=held.agency_id,
                workspace_id=workspace_id,
                workflow_id=_workflow_of(held, workflow).id,
                connection_id=held.id,
                app_key=held.app_key,
                kind=Kind.REAUTHORIZE,
                recipient=_recipient(held, recipient),
                note=note,
                created_by_id=by.id,
                created_at=at,
            )
            session.add(asked)
            session.flush()
            # point: mending.queued
            bundles.touch(workspace_id, at=at)
            told = {"app": app.key, "recipient": asked.recipient, "connection": held.public_id}
            audit.record("request.queued", asked, by=by, at=at, **told, kind=Kind.REAUTHORIZE)
    except IntegrityError:
        raise Conflict(_("It is asked already that this account be reconnected.")) from None
    return asked


def may_ask(connection: Connection, workflows: Iterable[Workflow], asked: ConnectionRequest | None) -> bool:
    """Whether an owner can be asked to approve it anew: a client, of something that is used in work, and not asked yet.

    `workflows` are those that use it, `asked` what stands of such requests.
    """
    is_used = any(not each.archived_at and not each.workspace.archived_at for each in workflows)
    return connection.is_clients and is_used and not (asked is not None and asked.status.live)


def _check_is_clients(connection: Connection) -> None:
    if not connection.is_clients:
        raise Refused(_("The agency owns this connection: reconnect it yourself."))


def _check_not_asked(connection: Connection) -> None:
    live = standing([connection.id]).get(connection.id)
    if live is not None and live.status.live:
        raise Conflict(_("%(recipient)s is asked already to reconnect this account.", recipient=live.recipient))


def _recipient(connection: Connection, wanted: str) -> str:
    """Who is to approve: the owner alone can; once they were removed, any member who is there."""
    if connection.owner_left_at is None:
        return connection.owner_email or ""
    address = addresses.normalise(wanted, field="recipient")
    check_may_mend(connection, address)
    return address


def check_may_mend(connection: Connection | None, address: str) -> None:
    """Raise Refused, at the recipient, for an address that can't mend a connection."""
    if connection is None or connection.owner_left_at is None:
        owner = connection.owner_email if connection else None
        text = _("Only %(owner)s can reconnect this account: it is theirs.", owner=owner or _("its owner"))
        raise Refused(text, field="recipient")
    if not members.is_member(connection.workspace_id, address):
        text = _("%(owner)s was removed, so a member has to reconnect it. Choose one.", owner=connection.owner_email)
        raise Refused(text, field="recipient")


def misdirected(asked: Iterable[ConnectionRequest]) -> list[ConnectionRequest]:
    """Those of one workspace's requests that ask somebody to mend what is not theirs, or no longer; one query however many."""
    found = [(each, each.connection) for each in asked if each.kind is Kind.REAUTHORIZE]
    left = {each.recipient for each, held in found if held and held.owner_left_at is not None}
    present = members.among(found[0][0].workspace_id, left) if left else set()
    return [
        each
        for each, held in found
        if held is None or each.recipient not in (present if held.owner_left_at else {held.owner_email})
    ]


def why_misdirected(asked: ConnectionRequest) -> str:
    """Why its recipient is not asked, and who could be."""
    held, app = asked.connection, scopes.app_of(asked).name
    if held is None or held.owner_left_at is None:
        owner = held.owner_email if held else None
        return _("%(app)s is not theirs to reconnect. Ask %(owner)s.", app=app, owner=owner or _("its owner"))
    return _("%(app)s is no longer theirs to reconnect. Ask a member of the workspace instead.", app=app)


def who_may(connection: Connection) -> Sequence[Member]:
    """The members among whom staff choose who is to mend a connection; none while its owner is there, who alone can."""
    if connection.owner_left_at is None or connection.workspace_id is None:
        return []
    return recipients.members(db.session.get_one(Workspace, connection.workspace_id))


def shown_at(asked: ConnectionRequest) -> Sequence[Workflow]:
    """Every workflow at which a request shows: its own, and those that use the connection that it mends."""
    if asked.kind is not Kind.REAUTHORIZE:
        return [asked.workflow]
    using = select(Slot.workflow_id).where(Slot.connection_id == asked.connection_id)
    return db.session.scalars(
        select(Workflow)
        .where(or_(Workflow.id == asked.workflow_id, Workflow.id.in_(using)))
        .options(joinedload(Workflow.workspace))
    ).all()


def workflow_for(connection: Connection) -> Workflow | None:
    """The workflow at which its owner would be asked: the latest in work that uses it, a published one rather than a draft."""
    return db.session.scalar(
        select(Workflow)
        .join(Slot, Slot.workflow_id == Workflow.id)
        .where(Slot.connection_id == connection.id, Workflow.archived_at.is_(None))
        .order_by((Workflow.version > 0).desc(), Workflow.id.desc())
        .options(joinedload(Workflow.workspace))
        .limit(1)
    )


def _workflow_of(connection: Connection, wanted: Workflow | None) -> Workflow:
    found = wanted or workflow_for(connection)
    if found is None:
        raise Conflict(_("No workflow uses this connection, so nobody needs to reconnect it."))
    if found.workspace_id != connection.workspace_id:
        raise NotFound
    if found.archived_at or found.workspace.archived_at:
        raise Conflict(_("This workflow is archived."))
    return found


def note_sent(asked: Collection[ConnectionRequest], *, by: Staff, at: datetime) -> None:
    """Put into the connections' own trails that these ask for them to be mended, and whom. Joins the caller's transaction."""
    mending = {each.connection_id: each for each in asked if each.kind is Kind.REAUTHORIZE and each.connection_id}
    if not mending:
        return
    found = select(Connection.id, Connection.public_id, Connection.workspace_id).where(Connection.id.in_(mending))
    for row in db.session.execute(found.order_by(Connection.id)):
        about = Subject("connection", row.public_id, row.workspace_id)
        each = mending[row.id]
        told = {"request": each.public_id, "recipient": each.recipient}
        audit.record("connection.reauthorize_asked", about, by=by, at=at, **told)


def wanted(connection: Connection) -> list[Permission]:
    """What a request would ask for: what the connection holds, and what all slots need of it; the new marked."""
    app, needed = scopes.app_of(connection), scopes.needed_of(connection)
    new = scopes.missing(app, needed, connection)
    every = scopes.together(app, needed, connection.scopes)
    return [Permission(scope, app.scope_label(scope), is_new=scope in new) for scope in every]


def standing(connection_ids: Collection[int]) -> dict[int, ConnectionRequest]:
    """What is asked to mend each of these, by the connection's id: its live request, else the latest declined; one query."""
    if not connection_ids:
        return {}
    rows = db.session.scalars(
        select(ConnectionRequest)
        .where(
            ConnectionRequest.connection_id.in_(connection_ids),
            ConnectionRequest.kind == Kind.REAUTHORIZE,
            ConnectionRequest.status.in_(STANDING),
        )
        .options(joinedload(ConnectionRequest.bundle))
    )
    found: dict[int, ConnectionRequest] = {}
    for asked in sorted(rows, key=lambda row: row.id):
        known = found.get(asked.connection_id or 0)
        if asked.connection_id and not (known and known.status.live):
            found[asked.connection_id] = asked
    return found


def from_elsewhere(workflow: Workflow) -> ColumnElement[bool]:
    """Whether a request was asked from another workflow, and mends a connection that this one uses too."""
    used = select(Slot.connection_id).where(Slot.workflow_id == workflow.id, Slot.connection_id.is_not(None))
    return and_(
        ConnectionRequest.kind == Kind.REAUTHORIZE,
        ConnectionRequest.workflow_id != workflow.id,
        ConnectionRequest.connection_id.in_(used),
    )

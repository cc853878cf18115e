"""Connections: stored when a client approves, one for each external account of a workspace."""

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app import clock
from app.database import lock, transaction
from app.errors import NotFound, Refused
from app.extensions import db
from app.i18n import _
from app.models import Agency, Connection, Staff
from app.services import addresses, audit, causes, members, scopes
from app.services.audit import Actor


def get(agency: Agency, public_id: str) -> Connection:
    """The agency's connection of that id; NotFound."""
    found = db.session.scalar(
        select(Connection).where(
            Connection.agency_id == agency.id, Connection.public_id == public_id, Connection.deleted_at.is_(None)
        )
    )
    if found is None:
        raise NotFound
    return found


def rename(connection: Connection, name: str, *, by: Staff | Actor) -> None:
    """Give a connection another name; Refused, at the field, if another of its app has it in the workspace or the account."""
    at = clock.now()
    if name.strip() == connection.name:
        return
    name = addresses.clean_name(name)
    app, place = scopes.app_of(connection).name, connection.workspace_id
    try:
        with transaction() as session:
            lock(connection, "name", "deleted_at")
            if connection.deleted_at is not None:
                raise NotFound
            if name == connection.name:
                return
            before, connection.name = connection.name, name
            session.flush()
            # point: connection.renamed
            audit.record("connection.renamed", connection, by=by, at=at, before=before, after=name)
    except IntegrityError:
        where = _("this workspace") if place else _("the agency's account")
        text = _("Another %(app)s connection of %(where)s has this name already.", app=app, where=where)
        raise Refused(text, field="name") from None


def owned(connection_id: int, email: str) -> Connection | None:
    """The connection if it is the address's to renew, locked: their own, or of an owner who was removed. Within a transaction."""
    found = db.session.scalar(
        select(Connection)
        .where(Connection.id == connection_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return found if found is not None and is_owned(found, email) else None


def is_owned(connection: Connection, email: str) -> bool:
    """Whether an address may act on a connection: it gave it, or is a member now that whoever gave it was removed."""
    if connection.owner_email is None or connection.deleted_at is not None:
        return False
    if connection.owner_left_at is None:
        return connection.owner_email == email
    return members.is_member(connection.workspace_id, email)


def why_broken(connection: Connection) -> str:
    """The cause in plain words."""
    return causes.words(connection.health_reason, scopes.app_of(connection).name)

"""Credentials in use, as tests of them want it: who uses them, what was noted of it, and what has become of them since."""

from sqlalchemy import select

from app.extensions import db
from app.models import AuditEvent
from app.services import credentials
from app.services.audit import Actor

BY = Actor("system", "make")


def use(connection):
    return credentials.use(connection, by=BY).token.reveal()


def acts(connection):
    db.session.rollback()
    events = select(AuditEvent).where(AuditEvent.subject == connection.public_id).order_by(AuditEvent.id)
    return [event.type.partition(".")[2] for event in db.session.scalars(events)]

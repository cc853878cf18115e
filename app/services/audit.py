"""The audit trail: written in the transaction of the act, so that an act that can't be recorded does not happen."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.database import OwnedByAgency
from app.extensions import db
from app.models import AuditEvent, Staff


@dataclass(frozen=True)
class Actor:
    """Who did it: kind is staff, client, system or anonymous; name is an address or a title."""

    kind: str
    name: str

    @classmethod
    def client(cls, email: str) -> "Actor":
        """A client, by the address they were asked at."""
        return cls("client", email)


SYSTEM = Actor("system", "gatehouse")


def actor_of(by: Staff | Actor) -> Actor:
    """The actor that a member of staff is."""
    return by if isinstance(by, Actor) else Actor("staff", by.email)


def record(act: str, subject: Any, *, by: Staff | Actor, at: datetime, **data: Any) -> None:
    """Write that `act` (`noun.verb`) was done to the subject, a row of an agency or the agency itself. Data holds names, ids and numbers, never a secret or a link."""
    actor = actor_of(by)
    session = db.session()
    kind = type(subject).__name__
    session.add(
        AuditEvent(
            agency_id=subject.agency_id if isinstance(subject, OwnedByAgency) else subject.id,
            workspace_id=getattr(subject, "workspace_id", None),
            at=at,
            type=act,
            actor_kind=actor.kind,
            actor=actor.name,
            address=session.info.get("address"),
            subject_kind="".join(f"_{c.lower()}" if c.isupper() else c for c in kind).lstrip("_"),
            subject=subject.public_id,
            data=data,
        )
    )

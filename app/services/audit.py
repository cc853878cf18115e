"""The audit trail: written in the transaction of the act, so that an act that can't be recorded does not happen."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert

from app.database import CHANGED_OUTSIDE, in_transaction
from app.extensions import db
from app.models import AuditEvent, Staff
from app.prepared import Prepared
from app.tenancy import OwnedByAgency


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
    if not in_transaction():
        raise RuntimeError(CHANGED_OUTSIDE)
    info = db.session().info
    of, agency_id = (subject, info["tenant"].agency_id) if isinstance(subject, Subject) else _subject(subject)
    row = {
        "agency_id": agency_id,
        "workspace_id": of.workspace_id,
        "at": at,
        "type": act,
        "actor_kind": actor.kind,
        "actor": actor.name,
        "address": info.get("address"),
        "subject_kind": of.kind,
        "subject": of.public_id,
        "data": data,
    }
    if "audit" in info:
        info["audit"].append(row)
    else:
        _RECORD(**row)


@contextmanager
def together() -> Iterator[None]:
    """Write what is recorded meanwhile in one statement at the end, in the order of the acts. Within their transaction.

    An inner one joins the outer.
    """
    info = db.session().info
    if "audit" in info:
        yield
        return
    rows = info["audit"] = []
    try:
        yield
    finally:
        del info["audit"]
    if rows:
        _RECORD.many(rows)


@dataclass(frozen=True)
class Subject:
    """What something was done to, where its row is not at hand."""

    kind: str
    public_id: str
    workspace_id: int | None


_RECORD = Prepared(insert(AuditEvent))


def _subject(row: Any) -> tuple[Subject, int]:
    kind = "".join(f"_{c.lower()}" if c.isupper() else c for c in type(row).__name__).lstrip("_")
    agency_id = row.agency_id if isinstance(row, OwnedByAgency) else row.id
    return Subject(kind, row.public_id, getattr(row, "workspace_id", None)), agency_id

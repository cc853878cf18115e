"""The hash chain of each agency's audit trail: linked by the worker in batches, so that acts do not wait for one lock.

A row's digest is the SHA-256 of the digest before it and of the row as canonical JSON, so that no row can be changed, left
out or put elsewhere without every later digest telling.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from sqlalchemy import func, select, update

from app.database import transaction
from app.extensions import db
from app.models import Agency, AuditEvent

BATCH = 500
ROOT = "0" * 64
FIELDS = ("public_id", "agency_id", "workspace_id", "type", "actor_kind", "actor", "address", "subject_kind", "subject")


@dataclass(frozen=True)
class Break:
    """Where a chain does not hold, and why: `altered`, or `missing` when a number is left out."""

    agency: str
    sequence: int
    reason: str
    event: str | None = None

    def __str__(self) -> str:
        what = f"the event {self.event} was altered" if self.event else "an event is missing"
        return f"The audit trail of {self.agency} breaks at number {self.sequence}: {what}."


@dataclass(frozen=True)
class Verified:
    """What was found of one agency: how many rows are linked and hold, how many wait for the worker, and the first break."""

    agency: str
    linked: int
    waiting: int
    broken: Break | None


def digest(before: str, event: AuditEvent, sequence: int) -> str:
    """The digest of a row at its place in the chain."""
    row = {name: getattr(event, name) for name in FIELDS}
    row |= {"at": event.at.astimezone(UTC).isoformat(timespec="microseconds"), "data": event.data, "sequence": sequence}
    text = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(bytes.fromhex(before) + text.encode()).hexdigest()


def link() -> int:
    """Link what is not linked yet, at most 500 rows of an agency a transaction; says how many. Any number may do it at once."""
    total = 0
    for agency_id in db.session.scalars(
        select(AuditEvent.agency_id).where(AuditEvent.sequence.is_(None)).distinct()
    ).all():
        linked = BATCH
        while linked == BATCH:
            linked = _link_batch(agency_id)
            total += linked
    return total


def _link_batch(agency_id: int) -> int:
    with transaction() as session:
        # Whoever holds this lock links; it does not hinder rows that refer to the agency.
        lock = select(Agency.id).where(Agency.id == agency_id).with_for_update(skip_locked=True, key_share=True)
        if session.scalar(lock) is None:
            return 0
        last = session.execute(
            select(AuditEvent.sequence, AuditEvent.digest)
            .where(AuditEvent.agency_id == agency_id, AuditEvent.sequence.is_not(None))
            .order_by(AuditEvent.sequence.desc())
            .limit(1)
        ).one_or_none()
        linked, before = (last.sequence or 0, last.digest or ROOT) if last else (0, ROOT)
        unlinked = select(AuditEvent).where(AuditEvent.agency_id == agency_id, AuditEvent.sequence.is_(None))
        links: list[dict[str, Any]] = []
        for event in session.scalars(unlinked.order_by(AuditEvent.id).limit(BATCH)):
            sequence = linked + len(links) + 1
            before = digest(before, event, sequence)
            links.append({"id": event.id, "sequence": sequence, "digest": before})
        if links:
            session.execute(update(AuditEvent), links)
        return len(links)


def verify() -> list[Verified]:
    """Walk every agency's chain from its beginning."""
    return [_verify(agency) for agency in db.session.scalars(select(Agency).order_by(Agency.id)).all()]


def _verify(agency: Agency) -> Verified:
    waiting = select(func.count()).where(AuditEvent.agency_id == agency.id, AuditEvent.sequence.is_(None))
    broken, before, expected = None, ROOT, 1
    for event in _linked(agency.id):
        if event.sequence != expected:
            broken = Break(agency.slug, expected, "missing")
        elif event.digest != (before := digest(before, event, expected)):
            broken = Break(agency.slug, expected, "altered", event.public_id)
        if broken:
            break
        expected += 1
    return Verified(agency.slug, expected - 1, db.session.scalar(waiting) or 0, broken)


def _linked(agency_id: int) -> Iterator[AuditEvent]:
    after = 0
    while True:
        page = db.session.scalars(
            select(AuditEvent)
            .where(AuditEvent.agency_id == agency_id, AuditEvent.sequence > after)
            .order_by(AuditEvent.sequence)
            .limit(BATCH)
        ).all()
        yield from page
        if len(page) < BATCH:
            return
        after = page[-1].sequence or 0
        db.session.expunge_all()

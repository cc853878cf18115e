"""Letters as they leave: whether each is still wanted and may go now, looked at in the last moment."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime

from app.database import transaction
from app.models import OutboxState
from app.services import audit, letter_facts, letters, mail_caps
from app.services.claims import Claimed, Postponed, Superseded
from app.services.letter_facts import Code, Due
from app.tenancy import acting_for


def look(items: Collection[Claimed], *, at: datetime) -> None:
    """Look up what `find` says of each of these claimed letters."""
    for item in items:
        with acting_for(item.agency_id):
            item.seen["due"] = letter_facts.read(item, at=at)
    due = [item.seen["due"] for item in items if item.seen["due"] and item.seen["due"].is_capped]
    counted = mail_caps.counted(due, at=at) if due else {}
    for item in items:
        item.seen["counted"] = counted


def find(item: Claimed, *, at: datetime) -> Due:
    """A claimed letter as `look` saw it, before a server is troubled; Superseded or Postponed if it can't go."""
    due: Due | None = item.seen["due"]
    if due is None:
        raise Superseded
    if due.is_capped and not item.started:
        with _no_later_than(due):
            mail_caps.check(due, item.seen["counted"], at=at)
    return due


def begin(item: Claimed, *, at: datetime) -> Due:
    """The letter as it is now, counted once: as it first leaves. Joins the caller's transaction; raises as `find`."""
    with transaction():
        due = letter_facts.read(item, at=at)
        if due is None:
            raise Superseded
        if due.is_capped and not item.started:
            with _no_later_than(due):
                mail_caps.count([due], at=at)
    return due


@contextmanager
def _no_later_than(due: Due) -> Iterator[None]:
    """Give up a code that would be over when it might leave."""
    try:
        yield
    except Postponed as later:
        if isinstance(due.told, Code) and later.until >= due.told.until:
            raise Superseded from None
        raise


def settled(item: Claimed, state: OutboxState, *, at: datetime) -> None:
    """Put into the audit trail how it ended, in the transaction that says so; of a code nobody but its reader is to know."""
    acts = {OutboxState.DONE: "mail.sent", OutboxState.DEAD: "mail.undelivered", OutboxState.HELD: "mail.held"}
    is_told = state in acts and item.kind != letters.CODE
    due = (item.seen.get("due") or letter_facts.read(item, at=at)) if is_told else None
    if due is not None and due.about is not None:
        audit.record(acts[state], due.about, by=audit.SYSTEM, at=at, recipient=due.recipient, letter=item.kind)

"""What is said of a request, a slot and a workflow in one word, with the shape that goes with it."""

from dataclasses import dataclass
from datetime import datetime

from app.i18n import _
from app.models import Connection, ConnectionRequest, Health, Slot, Source, Status
from app.services.workflows import Progress, State


@dataclass(frozen=True)
class Badge:
    """A state as a shape (`kind`, one of components/status.html) and a word."""

    kind: str
    text: str


def of_request(asked: ConnectionRequest, *, at: datetime) -> Badge:
    """Where a request stands, as its row says it."""
    if asked.status is Status.FULFILLED or is_back(asked):
        return of_connection(asked.connection)
    if asked.is_expired(at):
        return Badge("expired", _("Link expired"))
    texts = {
        Status.QUEUED: _("Queued (not yet sent)"),
        Status.PENDING: _("Pending"),
        Status.DECLINED: _("Declined"),
        Status.REVOKED: _("Revoked"),
    }
    return Badge(asked.status.value, texts.get(asked.status, _("Cancelled")))


def is_back(asked: ConnectionRequest) -> bool:
    """Whether what it brought was revoked, and its owner connected it again: the request stays as it is, but is met."""
    return asked.status is Status.REVOKED and asked.connection is not None and asked.connection.works


def of_connection(connection: Connection | None) -> Badge:
    """Whether what a client connected works, and as whom."""
    if connection is None:
        return Badge("connected", _("Connected"))
    if connection.health is Health.ERROR:
        return Badge("error", _("Reconnection needed"))
    if connection.health is Health.REVOKED:
        return Badge("revoked", _("Revoked"))
    if connection.account:
        return Badge("connected", _("Connected as %(account)s", account=connection.account))
    return Badge("connected", _("Connected"))


def of_health(connection: Connection) -> Badge:
    """How a connection is, in the sentence that its owner and staff read."""
    texts = {
        Health.PENDING: ("pending", _("Waiting for the first sync.")),
        Health.ACTIVE: ("connected", _("Connected and working.")),
        Health.ERROR: ("error", _("Reconnection needed.")),
        Health.REVOKED: ("revoked", _("Revoked.")),
    }
    return Badge(*texts[connection.health])


def of_slot(slot: Slot, asked: ConnectionRequest | None, *, lacks: bool, at: datetime) -> Badge:
    """Where a slot stands: what is asked for it, else what fills it; `lacks` says that its connection is too narrow."""
    if asked and asked.status.live:
        return of_request(asked, at=at)
    if slot.connection and slot.connection.works:
        return Badge("partial", _("Permissions missing")) if lacks else Badge("connected", _("Connected"))
    if slot.connection:
        return of_connection(slot.connection)
    if asked:
        return of_request(asked, at=at)
    if slot.source is None:
        return Badge("draft", _("No connection source"))
    return Badge("draft", _("No account chosen") if slot.source is Source.AGENCY else _("Not asked yet"))


def of_workflow(progress: Progress) -> Badge:
    """Where a workflow stands, with its numbers while it waits."""
    return Badge(_STATES[progress.state], progress.label)


def of_state(state: State) -> Badge:
    """The same where the numbers stand elsewhere, or where it is said of several workflows together."""
    words = _("Waiting on client") if state is State.WAITING else Progress(state, 0, 0).label
    return Badge(_STATES[state], words)


_STATES = {
    State.DRAFT: "draft",
    State.WAITING: "pending",
    State.READY: "connected",
    State.PAUSED: "paused",
    State.ARCHIVED: "cancelled",
}

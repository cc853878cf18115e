"""What became of the mail of each bundle's present link, in words for staff."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, String, and_, bindparam, cast, func, select
from sqlalchemy.orm import aliased

from app import clock, runtime
from app.database import transaction
from app.errors import Conflict
from app.extensions import db
from app.i18n import _
from app.i18n import lazy_gettext as _l
from app.models import Bundle, OutboxItem, OutboxState, Staff
from app.services import audit, bundle_mail, outbox

SOON = timedelta(minutes=1)
FAILED = (OutboxState.DEAD, OutboxState.HELD)
PUBLIC_ID = 20  # characters: what a key begins with
REASONS = {
    "unreachable": _l("The mail server can't be reached."),
    "timeout": _l("The mail server did not answer in time."),
    "tls": _l("The mail server offers no encryption that can be trusted, so nothing is sent to it."),
    "auth": _l("The mail server refuses the user name and password it was given."),
    "dropped": _l("The mail server broke off the connection."),
    "busy": _l("The mail server asked to try again later."),
    "sender": _l("The mail server refuses the sender's address."),
    "refused": _l("The recipient's address was refused. Check that it is right."),
    "rejected": _l("The mail server refused this e-mail."),
    "address": _l("An address or a name in this e-mail can't be written in a mail."),
    "expired": _l("Its link ran out before the e-mail could be delivered. Resend it."),
    "cap_recipient": _l("This recipient has had as many e-mails today as the settings allow."),
    "cap_agency": _l("As many e-mails were sent this hour as the settings allow."),
    "uncertain": _l("It may have been delivered. Ask the recipient before you try again."),
    "crashed": _l("It was interrupted."),
    "internal": _l("Something went wrong while it was being sent."),
}
COLUMNS = (  # of a mail's row, for `told`
    OutboxItem.state, OutboxItem.error, OutboxItem.created_at, OutboxItem.due_at, OutboxItem.finished_at
)  # fmt: skip
USELESS = ("expired", "no_server", "cap_recipient", "cap_agency")  # trying again would change nothing
NO_SERVER = _l("This installation has no mail server yet.")
NOT_YET = _l("It is waiting for its turn.")


class DeliveryState(StrEnum):
    """How far a mail has come. `delayed` goes on by itself; `undelivered` needs somebody."""

    QUEUED = "queued"
    SENT = "sent"
    DELAYED = "delayed"
    UNDELIVERED = "undelivered"


@dataclass(frozen=True)
class Delivery:
    """A mail's state, the reason in plain words where it is not well, and since when: for a delayed one, the next try."""

    state: DeliveryState
    at: datetime
    reason: str | None = None
    code: str | None = None

    @property
    def can_try_again(self) -> bool:
        """Whether “Try again” would do anything."""
        stuck = self.state in (DeliveryState.DELAYED, DeliveryState.UNDELIVERED)
        return stuck and self.code not in USELESS


def mail_is_set_up() -> bool:
    """Whether mail leaves this installation at all."""
    config = runtime.current().config
    return config.demo or config.smtp is not None


def of_bundles(bundle_ids: Collection[int]) -> dict[int, Delivery]:
    """The delivery of each bundle's latest mail, in one query; a bundle whose mail is not wanted any more has none."""
    at = clock.now()
    rows = db.session.execute(select(Bundle.id, *COLUMNS).join(OutboxItem, _latest()).where(Bundle.id.in_(bundle_ids)))
    found = ((row.id, told(row, at)) for row in rows)
    return {bundle_id: delivery for bundle_id, delivery in found if delivery}


def failed() -> ColumnElement[bool]:
    """Whether the mail of a statement's `Bundle` needs somebody, as a condition: those few are looked for first."""
    bundle = aliased(Bundle)
    its_own = bundle.public_id == func.substr(OutboxItem.key, 1, PUBLIC_ID)
    stuck = OutboxItem.state.in_(
        bindparam("failed", FAILED, expanding=True, literal_execute=True)
    )  # as its index has it
    return Bundle.id.in_(select(bundle.id).join(OutboxItem, and_(its_own, _latest(bundle))).where(stuck))


def try_again(bundle: Bundle, *, by: Staff) -> None:
    """Send the mail of the bundle's present link now; Conflict when it is on its way or gone."""
    at = clock.now()
    with transaction():
        if not outbox.retry_now(bundle_mail.KIND, f"{bundle.public_id}:{bundle.epoch}", at=at):
            raise Conflict(_("This e-mail is on its way already."))
        audit.record("mail.retried", bundle, by=by, at=at, recipient=bundle.recipient, epoch=bundle.epoch)


def _latest(bundle: type[Bundle] = Bundle) -> ColumnElement[bool]:
    key = bundle.public_id + ":" + cast(bundle.epoch, String)
    return and_(OutboxItem.kind == bundle_mail.KIND, OutboxItem.key == key)


def told(row: Any, at: datetime) -> Delivery | None:
    """The delivery that a row of `COLUMNS` tells of; none of a mail that was not wanted any more."""
    if row.state is OutboxState.DONE:
        return None if row.error else Delivery(DeliveryState.SENT, row.finished_at)
    reason = str(REASONS.get(row.error, REASONS["internal"])) if row.error else None
    if row.state in FAILED:
        return Delivery(DeliveryState.UNDELIVERED, row.finished_at, reason, row.error)
    if not mail_is_set_up():
        return Delivery(DeliveryState.DELAYED, row.created_at, str(NO_SERVER), "no_server")
    if reason:
        return Delivery(DeliveryState.DELAYED, max(row.due_at, at), reason, row.error)
    if at - max(row.created_at, row.due_at) > SOON:
        return Delivery(DeliveryState.DELAYED, at, str(NOT_YET))
    return Delivery(DeliveryState.QUEUED, row.created_at)

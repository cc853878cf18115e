"""Sending, resending and moving requests to another address: what ends in one mail per recipient."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select, update

from app import clock
from app.database import transaction
from app.errors import Conflict, RateLimited, Refused
from app.extensions import db
from app.i18n import _, ngettext
from app.models import Agency, Bundle, ConnectionRequest, Kind, Recipient, Staff, Status, Workflow
from app.services import (
    addresses,
    audit,
    bundles,
    connection_requests,
    mending_requests,
    queued_requests,
    scopes,
    slot_requests,
)
from app.services.queued_requests import Left

MOST_RESENDS = 3


@dataclass(frozen=True)
class Sent:
    """How many recipients got a mail, how many requests went out with it, and what was left."""

    recipients: int = 0
    requests: int = 0
    left: tuple[Left, ...] = field(default=())


def send(workflow: Workflow, *, by: Staff, all_or_nothing: bool = False) -> Sent:
    """Send every queued request that shows at the workflow, one mail per recipient, in one transaction.

    A recipient with a request that can't be sent is left out whole, unless it must be all or nothing: then Refused.
    """
    at = clock.now()
    with transaction():
        bundles.turn(workflow.workspace_id)
        # point: send.locked
        groups = queued_requests.by_recipient(workflow)
        left = queued_requests.stuck(workflow, groups, by.agency)
        if left and all_or_nothing:
            raise Refused(" ".join(explain(each) for each in left))
        skipped = {each.recipient for each in left}
        sent = {to: asked for to, asked in groups.items() if to not in skipped}
        for recipient, asked in sent.items():
            # point: send.dispatching
            _dispatch(workflow, recipient, asked, by=by, at=at)
        # point: send.written
        return Sent(len(sent), sum(map(len, sent.values())), tuple(left))


def explain(left: Left) -> str:
    """One sentence on what was left and why."""
    return _("Not sent to %(recipient)s: %(reason)s", recipient=left.recipient, reason=left.reason)


def _dispatch(
    workflow: Workflow, recipient: str, asked: Sequence[ConnectionRequest], *, by: Staff, at: datetime
) -> None:
    bundle = bundles.mint(workflow.workspace, recipient, by=by, at=at)
    # point: link.minted
    ids = [each.id for each in asked]
    moved = db.session.execute(
        update(ConnectionRequest)
        .where(ConnectionRequest.id.in_(ids), ConnectionRequest.status == Status.QUEUED)
        .values(status=Status.PENDING, transition=ConnectionRequest.transition + 1, bundle_id=bundle.id, sent_at=at)
        .execution_options(synchronize_session=False)
    )
    if moved.rowcount != len(ids):  # type: ignore[attr-defined]
        raise Conflict(_("Somebody else changed this workflow just now. Try again."))
    # point: requests.moved
    sent = [each for each in post(bundle, at=at) if each.id in ids]
    for each in sent:
        audit.record("request.sent", each, by=by, at=at, app=each.app_key, recipient=recipient)
    mending_requests.note_sent(sent, by=by, at=at)


def post(bundle: Bundle, *, at: datetime, due_at: datetime | None = None) -> Sequence[ConnectionRequest]:
    """Freeze what the mail will name, and write it to the outbox, due now or later; returns all that it covers."""
    # point: mail.posting
    outstanding = db.session.scalars(
        select(ConnectionRequest)
        .where(ConnectionRequest.bundle_id == bundle.id, ConnectionRequest.status == Status.PENDING)
        .options(*queued_requests.WITH_SLOT)
        .execution_options(populate_existing=True)
    ).all()
    to_mend = scopes.needed_to_mend(outstanding)
    for each in outstanding:
        each.sent_scopes = list(scopes.required(each, to_mend))
    db.session.flush()
    # point: scopes.frozen
    bundles.mail(bundle, at=at, due_at=due_at)
    return outstanding


def resend(agency: Agency, public_id: str, *, by: Staff) -> ConnectionRequest:
    """Send one fresh mail with all that is outstanding for the request's recipient; the old link dies.

    Refused when the request's three are spent; RateLimited within five minutes of the last mail to them.
    """
    at = clock.now()
    with transaction():
        asked = connection_requests.get(agency, public_id)
        bundles.turn(asked.workspace_id)
        db.session.refresh(asked)
        _check_resend(asked, agency)
        _take_turn(asked, at=at)
        # point: turn.taken
        bundle = bundles.mint(asked.workflow.workspace, asked.recipient, by=by, at=at)
        # point: resend.minted
        clean = {"declined_reason": "", "declined_at": None, "notice": None, "bundle_id": bundle.id, "sent_at": at}
        clean |= {"hand_over_to": None}
        sources = frozenset({Status.PENDING, Status.DECLINED})
        if not connection_requests.moved(asked, to=Status.PENDING, only_from=sources, **clean):
            raise Conflict(_("This request is already settled."))
        db.session.execute(
            update(ConnectionRequest)
            .where(
                ConnectionRequest.bundle_id == bundle.id,
                ConnectionRequest.status == Status.PENDING,
                ConnectionRequest.resends < MOST_RESENDS,
            )
            .values(resends=ConnectionRequest.resends + 1)
        )
        # point: resend.counted
        audit.record("request.resent", asked, by=by, at=at, app=asked.app_key, recipient=asked.recipient)
        post(bundle, at=at)
    return asked


def _check_resend(asked: ConnectionRequest, agency: Agency) -> None:
    if asked.status is Status.QUEUED:
        raise Conflict(_("Send it first with Send to client"))
    if asked.status not in (Status.PENDING, Status.DECLINED):
        raise Conflict(_("This request is already settled."))
    check_not_archived(asked)
    if asked.status is Status.DECLINED and is_asked_anew(asked):
        raise Conflict(_("A request for this account is already in the queue or pending."))
    if asked.resends >= MOST_RESENDS:
        raise Refused(_("No resends left"))
    connection_requests.check_eligible(agency, scopes.app_of(asked))
    if mending_requests.misdirected([asked]):
        raise Refused(mending_requests.why_misdirected(asked))


def is_asked_anew(asked: ConnectionRequest) -> bool:
    """Whether the same is asked with another request by now."""
    if asked.kind is Kind.REAUTHORIZE:
        ids = [asked.connection_id] if asked.connection_id else []
        return any(each.status.live for each in mending_requests.standing(ids).values())
    return asked.slot is not None and slot_requests.live_for(asked.slot) is not None


def check_not_archived(asked: ConnectionRequest) -> None:
    """Raise Conflict where nothing is sent any more."""
    if asked.workflow.archived_at or asked.workflow.workspace.archived_at:
        raise Conflict(_("This workspace is archived."))


def _take_turn(asked: ConnectionRequest, *, at: datetime) -> None:
    """Claim the recipient's next mail, in one conditional UPDATE; RateLimited within five minutes of their last."""
    theirs = (Recipient.workspace_id == asked.workspace_id, Recipient.email == asked.recipient)
    last = db.session.scalar(select(func.max(Recipient.mailed_at)).where(*theirs))
    if last is None:
        return
    due = bundles.after_wait(last)
    turn = db.session.execute(
        update(Recipient).where(*theirs, Recipient.mailed_at <= at - (due - last)).values(mailed_at=at)
    )
    if turn.rowcount != 1:  # type: ignore[attr-defined]
        wait = max(1, int((due - at).total_seconds() + 0.999))
        raise RateLimited(
            _("Resend email (available in %(wait)s)", wait=f"{wait // 60}:{wait % 60:02}"), retry_after=wait
        )


def change_recipient(agency: Agency, public_id: str, *, recipient: str, by: Staff) -> ConnectionRequest:
    """Ask somebody else for the same: a queued request just changes its address, a pending one goes out to them now.

    Their link never opens this request again; the resends used are kept. A connection is mended by its owner alone, or by
    any member once they were removed: Refused for everybody else.
    """
    at, address = clock.now(), addresses.normalise(recipient, field="recipient")
    with transaction():
        asked = connection_requests.get(agency, public_id)
        bundles.turn(asked.workspace_id)
        db.session.refresh(asked)
        if address == asked.recipient:
            raise Refused(_("It is already asked of this address."), field="recipient")
        if asked.kind is Kind.REAUTHORIZE:
            mending_requests.check_may_mend(asked.connection, address)
        before, previous = asked.recipient, asked.bundle
        if asked.status is Status.QUEUED:
            asked.recipient = address
        elif asked.status is Status.PENDING:
            check_not_archived(asked)
            connection_requests.check_eligible(agency, scopes.app_of(asked))
            bundle = bundles.mint(asked.workflow.workspace, address, by=by, at=at)
            # point: recipient.minted
            connection_requests.moved(
                asked,
                to=Status.PENDING,
                only_from=frozenset({Status.PENDING}),
                recipient=address,
                bundle_id=bundle.id,
                sent_at=at,
                generation=ConnectionRequest.generation + 1,
                notice=None,
                granted_scopes=None,
                typed_fields={},
                hand_over_to=None,
                hand_over_refused=None,
                handed_over_from=None,  # whoever has it now has it from staff
            )
            # point: recipient.moved
            bundles.close_if_settled(previous, at=at)
            post(bundle, at=at)
            mending_requests.note_sent([asked], by=by, at=at)
        else:
            raise Conflict(_("Only a queued or pending request can go to another address."))
        audit.record(
            "request.recipient_changed", asked, by=by, at=at, app=asked.app_key, recipient=address, before=before
        )
    return asked


@dataclass(frozen=True)
class Waiting:
    """What is queued."""

    requests: int
    recipients: int

    @property
    def preview(self) -> str:
        """What “Send to client” would do now, in a sentence."""
        if not self.requests:
            return _("Nothing is queued.")
        return ngettext(
            "Sends %(num)s queued request to %(whom)s.",
            "Sends %(num)s queued requests to %(whom)s.",
            self.requests,
            whom=ngettext("%(num)s recipient", "%(num)s recipients", self.recipients),
        )


def waiting(workflow: Workflow) -> Waiting:
    """How much of the workflow waits to be sent, and to how many."""
    row = db.session.execute(
        select(func.count(), func.count(func.distinct(ConnectionRequest.recipient))).where(
            ConnectionRequest.id.in_(queued_requests.ids(workflow))
        )
    ).one()
    return Waiting(row[0], row[1])


def preview(workflow: Workflow) -> str:
    """What “Send to client” would do now, in a sentence."""
    return waiting(workflow).preview

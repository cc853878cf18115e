"""Hand-overs: a client names the colleague who manages an account, and the request goes to them, once.

Within the client's own domain at once; elsewhere staff agree first, and meanwhile the client may connect it after all.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import update

from app import clock
from app.database import transaction
from app.errors import Conflict, NotFound, Refused
from app.extensions import db
from app.i18n import _
from app.models import Agency, Bundle, ConnectionRequest, Kind, Staff, Status
from app.prepared import Row
from app.services import (
    addresses,
    audit,
    bundles,
    connection_requests,
    grants,
    intake_rows,
    joining,
    limits,
    public_mail,
    scopes,
    sending,
)
from app.services.audit import Actor

FIELD = "colleague"
HOUR, MOST_ASKS = timedelta(hours=1), 60  # of one bundle; each may be taken back and asked anew
OPEN = frozenset({Status.PENDING, Status.DECLINED})


def home(recipient: str) -> str | None:
    """The domain within which a recipient hands over at once; none where they share it with everybody."""
    domain = addresses.domain(recipient)
    return None if public_mail.is_public(domain) else domain


# ── What the client does ─────────────────────────────────────────────────────


def ask(bundle: Row | Bundle, request_id: str, to: str) -> ConnectionRequest:
    """Have a colleague asked for this app instead; `hand_over_to` of what is returned says that staff have to agree first.

    Refused with what is wrong with the address, or where the agency does not want it; Conflict once it can't be any more.
    """
    at, colleague = clock.now(), addresses.normalise(to, field=FIELD)
    with transaction():
        asked = _theirs(bundle, request_id, at=at)
        _check(asked, colleague)
        if asked.hand_over_to == colleague:
            return asked
        limits.spend(f"hand-overs of {bundle.public_id}", at=at, window=HOUR, limit=MOST_ASKS)
        if addresses.domain(colleague) == home(asked.recipient):
            _move(asked, colleague, by=Actor.client(asked.recipient), at=at)
            return asked
        asked.hand_over_to, asked.hand_over_asked_at, asked.hand_over_refused = colleague, at, None
        db.session.flush()
        # point: hand_over.asked
        bundles.touch(asked.workspace_id, at=at)
        _record("request.hand_over_asked", asked, to=colleague, by=Actor.client(asked.recipient), at=at)
    return asked


def take_back(bundle: Row | Bundle, request_id: str) -> None:
    """No longer ask for a colleague, while staff have not agreed; Conflict when there is nothing to take back."""
    at = clock.now()
    with transaction():
        asked = _theirs(bundle, request_id, at=at)
        to = _end_wait(asked)
        bundles.touch(asked.workspace_id, at=at)
        _record("request.hand_over_taken_back", asked, to=to, by=Actor.client(asked.recipient), at=at)


def _theirs(bundle: Row | Bundle, request_id: str, *, at: datetime) -> ConnectionRequest:
    """The request, while the bundle's apps are still asked for; NotFound, Conflict. Takes the workspace's lock."""
    bundles.turn(bundle.workspace_id)
    asked = connection_requests.in_bundle(bundle, request_id)
    if asked.bundle is None or asked.bundle.closed_at is not None or asked.bundle.is_expired(at):
        raise NotFound
    if asked.status not in OPEN:
        raise Conflict(_("This request is already settled."))
    return asked


def _check(asked: ConnectionRequest, colleague: str) -> None:
    if not _agency_of(asked).hands_over:
        raise Refused(_("Handing over is turned off here. Write to whoever asked you instead."))
    if asked.kind is Kind.REAUTHORIZE:
        raise Refused(_("Only its owner can reconnect this account."))
    if asked.handed_over_at is not None:
        raise Refused(_("This app was handed over once already, and that can be done once only."))
    if colleague == asked.recipient:
        raise Refused(_("This is your own address. Write the address of your colleague."), field=FIELD)


def given(bundle: Row | Bundle, *, workflow: int | None = None) -> Sequence[Row]:
    """What the recipient handed over of a bundle, or ever of a workflow, and who has it now; the latest first."""
    if workflow is None:
        return intake_rows.HANDED_OVER(bundle=bundle.id).all()
    whose = {"workspace": bundle.workspace_id, "recipient": bundle.recipient}
    return intake_rows.HANDED_OVER_OF_WORKFLOW(**whose, workflow=workflow).all()


# ── What staff do ────────────────────────────────────────────────────────────


def approve(agency: Agency, request_id: str, *, to: str, by: Staff) -> ConnectionRequest:
    """Agree that `to` is asked instead; Conflict when that is not what the client asks for any more."""
    at = clock.now()
    with transaction():
        asked = _waiting(agency, request_id, to)
        _move(asked, to, by=by, at=at)
    return asked


def refuse(agency: Agency, request_id: str, *, to: str, by: Staff) -> ConnectionRequest:
    """Go on asking whoever was asked, and tell them so; Conflict when `to` is not whom the client names any more."""
    at = clock.now()
    with transaction():
        asked = _waiting(agency, request_id, to)
        _end_wait(asked, hand_over_refused=to)
        bundles.touch(asked.workspace_id, at=at)
        _record("request.hand_over_refused", asked, to=to, by=by, at=at)
    return asked


def _waiting(agency: Agency, request_id: str, to: str) -> ConnectionRequest:
    asked = connection_requests.get(agency, request_id)
    bundles.turn(asked.workspace_id)
    db.session.refresh(asked)
    if not to or asked.hand_over_to != to:
        raise Conflict(_("The client does not ask for this any more. Look at how it stands now."))
    return asked


# ── What comes of it ─────────────────────────────────────────────────────────


def _end_wait(asked: ConnectionRequest, **values: str) -> str:
    """Nobody else is named any more; returns who was. Conflict if nobody was."""
    to = asked.hand_over_to
    ended = db.session.execute(
        update(ConnectionRequest)
        .where(ConnectionRequest.id == asked.id, ConnectionRequest.hand_over_to == to)
        .values(hand_over_to=None, **values)
    )
    if to is None or ended.rowcount != 1:  # type: ignore[attr-defined]
        raise Conflict(_("This does not wait for anybody's approval."))
    return to


def _move(asked: ConnectionRequest, to: str, *, by: Staff | Actor, at: datetime) -> None:
    """Ask the colleague from now on; what was begun or is held for whoever had it comes to nothing."""
    before, previous = asked.recipient, asked.bundle
    sending.check_not_archived(asked)
    connection_requests.check_eligible(_agency_of(asked), scopes.app_of(asked))
    if asked.status is Status.DECLINED and sending.is_asked_anew(asked):
        raise Refused(_("Somebody else is asked for this account by now."))
    place = joining.find(asked.workflow.workspace, to, by=previous.sent_by if previous else "", at=at)
    # point: hand_over.placed
    values: dict[str, Any] = {
        "recipient": to,
        "bundle_id": place.bundle.id,
        "sent_at": at,
        "generation": ConnectionRequest.generation + 1,
        "handed_over_from": before,
        "handed_over_at": at,
    }
    if not connection_requests.moved(asked, to=Status.PENDING, only_from=OPEN, **values, **_UNTOUCHED):
        raise Conflict(_("This request is already settled."))
    # point: hand_over.moved
    grants.drop(asked.id, at=at)
    bundles.close_if_settled(previous, at=at)
    joining.announce(asked, place, at=at)
    _record("request.handed_over", asked, to=to, by=by, at=at, before=before)


_UNTOUCHED: dict[str, Any] = {  # what was tried and said before is nothing to whoever has it now
    "notice": None,
    "granted_scopes": None,
    "typed_fields": {},
    "declined_reason": "",
    "declined_at": None,
    "hand_over_to": None,
    "hand_over_refused": None,
}


def _agency_of(asked: ConnectionRequest) -> Agency:
    return db.session.get_one(Agency, asked.agency_id, populate_existing=True)


def _record(act: str, asked: ConnectionRequest, *, to: str, by: Staff | Actor, at: datetime, **more: str) -> None:
    audit.record(act, asked, by=by, at=at, app=asked.app_key, recipient=to, **more)

"""What was done in a scene, read afterwards from audit trail, outbox and inbox, and held against the specification."""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select

from app import links
from app.extensions import db
from app.models import (
    AuditEvent,
    Bundle,
    Channel,
    ConnectionRequest,
    OutboxItem,
    OutboxState,
    Recipient,
    Slot,
    Status,
    WorkflowVersion,
)
from app.services import bundle_mail, link_tokens
from tests.faults.twice.scenes import Scene
from tests.services.status_model import RESENDS, WAIT, Model, Request
from tests.support.inbox import Inbox, Received

REFERENCE = re.compile(r"“For number (\d+)\.”")


@dataclass
class Found:
    """Everything against the rules, in words, and how much there was to look at."""

    faults: list[str] = field(default_factory=list)
    mails: int = 0
    epochs: int = 0
    resends: int = 0
    waiting: int = 0
    acts: int = 0

    def expect(self, holds: object, fault: str) -> None:
        if not holds:
            self.faults.append(fault)


def look(scene: Scene, asked_before: Iterable[ConnectionRequest], inbox: Inbox) -> Found:
    """Compare what is stored and what arrived with what the specification makes of the acts in the audit trail.

    `asked_before` are the requests that were there, queued, before any of them.
    """
    db.session.rollback()
    found = Found()
    model = _replay(scene, asked_before, found)
    _look_at_requests(scene, model, found)
    _look_at_mails(scene, model, inbox, found)
    return found


# ── The audit trail, told again by the specification ────────────────────────


def _replay(scene: Scene, asked_before: Iterable[ConnectionRequest], found: Found) -> Model:
    """Each act as it was recorded must have been allowed after those before it: they hold one lock, so that there is an order."""
    model = Model()
    slots = {each.id: each for each in db.session.scalars(select(Slot).where(Slot.workspace_id == scene.workspace_id))}
    asked = {each.public_id: each for each in scene.requests()}
    for each in asked_before:
        model.add(_request(each, _first_recipient(scene, each)))
    acts: dict[str, Callable[[AuditEvent, Request], bool]] = {
        "request.resent": lambda act, it: _resend(model, it, act),
        "request.cancelled": lambda _, it: _done(model.may_cancel(it), lambda: model.cancel(it)),
        "request.declined": lambda _, it: _done(it.status is Status.PENDING, lambda: model.decline(it)),
        "request.recipient_changed": lambda act, it: _move(model, it, act),
    }
    for (kind, at), events in itertools.groupby(_audit(scene), key=lambda event: (event.type, event.at)):
        together = list(events)
        found.acts += len(together)
        if kind == "request.sent":
            sent = [_known(model, event.subject) for event in together]
            found.expect(all(it.status is Status.QUEUED for it in sent), f"sent twice: {[it.id for it in sent]}")
            model.dispatch(sent, at)
            continue
        for event in together:
            if kind == "request.queued":
                it = _request(asked[event.subject], event.data["recipient"])
                found.expect(model.may_queue(it.slot), f"queued although there is one: {it.id} for {slots[it.slot]}")
                model.add(it)
            elif kind == "workflow.published":
                model.versions[scene.workflow_ids.index(_workflow_id(scene, event))] += 1
            elif kind in acts:
                it = _known(model, event.subject)
                found.expect(acts[kind](event, it), f"{kind} was not allowed: {it}")
    return model


def _audit(scene: Scene) -> Sequence[AuditEvent]:
    kinds = ("request.%", "workflow.published")
    mine = select(AuditEvent).where(AuditEvent.workspace_id == scene.workspace_id)
    either = AuditEvent.type.like(kinds[0]) | (AuditEvent.type == kinds[1])
    return db.session.scalars(mine.where(either).order_by(AuditEvent.id)).all()


def _workflow_id(scene: Scene, event: AuditEvent) -> int:
    names = {each.workflow.public_id: each.workflow_id for each in scene.requests()}
    return names[event.subject]


def _request(row: ConnectionRequest, recipient: str) -> Request:
    return Request(row.public_id, row.slot_id or 0, row.workflow_id, row.workspace_id, recipient)


def _first_recipient(scene: Scene, row: ConnectionRequest) -> str:
    moved = [
        each for each in _audit(scene) if each.type == "request.recipient_changed" and each.subject == row.public_id
    ]
    return str(moved[0].data["before"]) if moved else row.recipient


def _known(model: Model, public_id: str) -> Request:
    return next(each for each in model.requests if each.id == public_id)


def _resend(model: Model, it: Request, act: AuditEvent) -> bool:
    return _done(model.may_resend(it, act.at), lambda: model.resend(it, act.at))


def _move(model: Model, it: Request, act: AuditEvent) -> bool:
    to = str(act.data["recipient"])
    return _done(model.may_move(it, to), lambda: model.move(it, to, act.at))


def _done(allowed: bool, act: Callable[[], None]) -> bool:
    act()
    return allowed


# ── What is stored ──────────────────────────────────────────────────────────


def _look_at_requests(scene: Scene, model: Model, found: Found) -> None:
    stored = {each.public_id: (each.status, each.resends, each.recipient) for each in scene.requests()}
    told = {each.id: (each.status, each.resends, each.recipient) for each in model.requests}
    found.expect(
        stored == told, f"requests stand otherwise than their history says: {set(stored.items()) ^ set(told.items())}"
    )
    found.resends = model.acts["request.resent"]
    found.expect(max((each[1] for each in stored.values()), default=0) <= RESENDS, "more resends than three")
    versions = Counter(
        db.session.scalars(
            select(WorkflowVersion.workflow_id).where(WorkflowVersion.workspace_id == scene.workspace_id)
        )
    )
    published = {scene.workflow_ids[number]: times for number, times in model.versions.items() if times}
    found.expect(dict(versions) == published, f"versions {versions} of {published}")
    open_ = {each.recipient: each for each in _bundles(scene) if each.closed_at is None}
    found.expect(
        set(open_) == {recipient for _, recipient in model.links}, f"open bundles: {set(open_)}, not {set(model.links)}"
    )
    for each in scene.requests():
        if each.status is Status.PENDING:
            home = open_.get(each.recipient)
            found.expect(home and home.id == each.bundle_id, f"{each.public_id} is pending in no open bundle of theirs")


def _bundles(scene: Scene) -> Sequence[Bundle]:
    return db.session.scalars(select(Bundle).where(Bundle.workspace_id == scene.workspace_id)).all()


# ── What was mailed ─────────────────────────────────────────────────────────


def _look_at_mails(scene: Scene, model: Model, inbox: Inbox, found: Found) -> None:
    rows = {row.key: row for row in db.session.scalars(_mails(scene))}
    bundles = {bundle.public_id: bundle for bundle in _bundles(scene)}
    due = {f"{each.public_id}:{epoch}" for each in bundles.values() for epoch in range(1, each.epoch + 1)}
    found.epochs = len(due)
    found.expect(set(rows) == due, f"epochs without a mail, or mails without an epoch: {set(rows) ^ due}")
    found.expect(len(rows) == model.mails, f"{len(rows)} mails were caused, not {model.mails}")
    arrived = [each for person in scene.people for each in inbox.to(person)]
    found.mails = len(arrived)
    by_id = Counter(str(each.message["Message-ID"]) for each in arrived)
    expected = Counter(row.message_id for row in rows.values() if row.message_id)
    found.expect(by_id == expected, f"mails that came twice or not at all: {(by_id - expected) + (expected - by_id)}")
    ids = {row.message_id: key for key, row in rows.items()}
    for mail in arrived:
        key = ids.get(str(mail.message["Message-ID"]), ":")
        found.expect(key != ":" and mail.rcpt_tos == (bundles[key.partition(":")[0]].recipient,), f"a stray mail {key}")
    _look_at_waiting(scene, rows, arrived, found)
    for bundle in bundles.values():
        row = rows.get(f"{bundle.public_id}:{bundle.epoch}")
        mail = next((each for each in arrived if row and each.message["Message-ID"] == row.message_id), None)
        if mail is not None and bundle.closed_at is None:
            _look_at_last(scene, bundle, mail, found)
    _look_at_waits(scene, rows, bundles, found)


def _mails(scene: Scene):
    return (
        select(OutboxItem)
        .where(OutboxItem.agency_id == scene.agency_id, OutboxItem.kind == bundle_mail.KIND)
        .order_by(OutboxItem.id)
    )


def _look_at_waiting(scene: Scene, rows: dict[str, OutboxItem], arrived: list[Received], found: Found) -> None:
    """What did not go out is no longer wanted, or waits because a cap is spent; and no cap is overspent."""
    per_person, per_hour = scene.caps
    each = Counter(mail.rcpt_tos[0] for mail in arrived)
    found.expect(max(each.values(), default=0) <= per_person, f"more than {per_person} mails to one person: {each}")
    found.expect(len(arrived) <= per_hour, f"more than {per_hour} mails of the agency: {len(arrived)}")
    for key, row in rows.items():
        if row.state is OutboxState.QUEUED:
            found.waiting += 1
            spent = {
                "cap_recipient": max(each.values(), default=0) >= per_person,
                "cap_agency": len(arrived) >= per_hour,
            }
            found.expect(spent.get(row.error or ""), f"{key} waits without a reason: {row.error}")
        else:
            is_wanted = row.message_id is not None
            fits = row.state is OutboxState.DONE and (row.error is None) is is_wanted
            found.expect(fits, f"{key} ended as {row.state}: {row.error}")


def _look_at_last(scene: Scene, bundle: Bundle, mail: Received, found: Found) -> None:
    """The last mail has the link that works, and names all that is outstanding."""
    pending = [each for each in scene.requests() if each.bundle_id == bundle.id and each.status is Status.PENDING]
    named = {int(number) for number in REFERENCE.findall(mail.text)}
    lacking = {each.slot_id for each in pending} - named
    found.expect(not lacking, f"the last mail to {bundle.recipient} lacks {lacking}")
    if bundle.channel is Channel.LINK:
        works = links.intake_url(link_tokens.of(bundle))
        found.expect(mail.links[0] == works, f"the last mail to {bundle.recipient} has a dead link")


def _look_at_waits(scene: Scene, rows: dict[str, OutboxItem], bundles: dict[str, Bundle], found: Found) -> None:
    """Five minutes lie between a resend and every mail to that person before it."""
    caused = {(bundles[key.partition(":")[0]].recipient, row.created_at): row.id for key, row in rows.items()}
    for act in _audit(scene):
        if act.type == "request.resent":
            to, mine = act.data["recipient"], caused.get((act.data["recipient"], act.at), 0)
            found.expect(mine, f"a resend to {to} caused no mail")
            before = [at for (recipient, at), row_id in caused.items() if recipient == to and row_id < mine]
            found.expect(
                not before or act.at - max(before) >= WAIT,
                f"a resend to {to} {act.at - max(before, default=act.at)} after a mail",
            )
    noted = select(Recipient.email, Recipient.mailed_at).where(Recipient.workspace_id == scene.workspace_id)
    last = {to: max(at for (recipient, at) in caused if recipient == to) for to, _ in caused}
    stored = dict(db.session.execute(noted).all())
    found.expect(stored == last, f"last mailed at {stored}, not {last}")

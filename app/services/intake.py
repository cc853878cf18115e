"""Intake: a link opened without login, and what the browser may reach after it: one bundle, at the epoch of that link."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import joinedload, selectinload

from app import clock
from app.catalog.schema import App
from app.database import across_tenants, acting_for, transaction
from app.errors import Conflict, RateLimited
from app.extensions import db
from app.i18n import _
from app.models import (
    Agency,
    Bundle,
    Connection,
    ConnectionRequest,
    Health,
    IntakeSession,
    Notice,
    Slot,
    Status,
)
from app.services import audit, bundles, connection_requests, counters, limits, link_tokens, scopes
from app.services.audit import Actor

OPENINGS = 30
OPENING_WINDOW = timedelta(minutes=1)


@dataclass(frozen=True)
class Opening:
    """What came of opening a link: the bundle if it works; `refused` names one whose link is known but dead."""

    bundle: Bundle | None = None
    refused: Bundle | None = None


@dataclass(frozen=True)
class Intake:
    """A browser's access to one bundle: `is_open` while its link works, else only the final page is left."""

    bundle: Bundle
    agency: Agency
    is_open: bool


@dataclass(frozen=True)
class Card:
    """One app on the client's page."""

    asked: ConnectionRequest
    app: App
    permissions: Sequence[scopes.Permission]
    offer: Connection | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the client is done with it."""
        return self.asked.status is Status.FULFILLED

    @property
    def is_open(self) -> bool:
        """Whether the client can still connect it."""
        return self.asked.status in (Status.PENDING, Status.DECLINED)

    @property
    def is_partial(self) -> bool:
        """Whether the last try brought some of the permissions only."""
        return self.asked.notice is Notice.PARTIAL and any(each.is_missing for each in self.permissions)


def open_link(token: str, *, id_hash: bytes) -> Opening:
    """Check a link and let this browser in. Every cause of failure costs the same work; RateLimited after 30 a minute.

    Nothing else changes: a link may be opened any number of times.
    """
    at = clock.now()
    if not counters.hit(f"link:{limits.visitor()}", at=at, window=OPENING_WINDOW, limit=OPENINGS):
        wait = counters.seconds_left(at=at, window=OPENING_WINDOW)
        raise RateLimited(_("Too many links were opened from here. Try again in a minute."), retry_after=wait)
    with across_tenants("nobody is signed in: the link says whose it is"):
        found = db.session.scalar(select(Bundle).where(Bundle.token_hash == link_tokens.digest(token)))
        if not link_tokens.matches(token, found) or found is None:
            return Opening()
        if found.closed_at is not None or found.is_expired(at):
            return Opening(refused=found)
    with acting_for(found.agency_id, found.workspace_id):
        bundle = _let_in(found.token_hash, id_hash=id_hash, at=at)
    return Opening(bundle=bundle)


def _let_in(token_hash: bytes, *, id_hash: bytes, at: datetime) -> Bundle | None:
    """Remember that this browser opened this link, unless it died just now; one upsert, so that several tabs may at once."""
    with transaction() as session:
        alive = (Bundle.token_hash == token_hash, Bundle.closed_at.is_(None), Bundle.expires_at > at)
        bundle = session.scalar(select(Bundle).where(*alive).with_for_update(read=True, key_share=True))
        if bundle is None:
            return None
        dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
        opened = {"epoch": bundle.epoch, "expires_at": bundle.expires_at + timedelta(days=7)}
        whose = {"agency_id": bundle.agency_id, "workspace_id": bundle.workspace_id, "bundle_id": bundle.id}
        statement = (
            dialect.insert(IntakeSession)
            .values(id_hash=id_hash, created_at=at, **whose, **opened)
            .on_conflict_do_update(
                index_elements=["id_hash", "bundle_id"], set_=opened, where=IntakeSession.epoch != bundle.epoch
            )
            .returning(IntakeSession.id)
        )
        if session.scalar(statement) is None:
            return bundle
        session.execute(update(Bundle).where(Bundle.id == bundle.id, Bundle.opened_at.is_(None)).values(opened_at=at))
        audit.record("link.opened", bundle, by=Actor.client(bundle.recipient), at=at, epoch=bundle.epoch)
        return bundle


def note_refused(bundle_id: int, agency_id: int, workspace_id: int) -> None:
    """Record that a dead link was opened; done after the answer is sent, so that it tells nobody anything."""
    at = clock.now()
    with acting_for(agency_id, workspace_id), transaction() as session:
        bundle = session.get_one(Bundle, bundle_id)
        audit.record("link.refused", bundle, by=Actor("anonymous", ""), at=at, epoch=bundle.epoch)


def enter(id_hash: bytes, bundle_id: str, *, at: datetime) -> Intake | None:
    """What this browser may see of a bundle; none without an opened link, or once that link is dead and nothing is settled."""
    with across_tenants("the session says whose data it may see"):
        row = db.session.execute(
            select(IntakeSession.epoch, Bundle, Agency)
            .join(Bundle, Bundle.id == IntakeSession.bundle_id)
            .join(Agency, Agency.id == Bundle.agency_id)
            .options(joinedload(Bundle.workspace))
            .where(IntakeSession.id_hash == id_hash, Bundle.public_id == bundle_id, IntakeSession.expires_at > at)
        ).one_or_none()
    if row is None:
        return None
    epoch, bundle, agency = row
    if epoch != bundle.epoch:
        return None
    if bundle.closed_at is None and not bundle.is_expired(at):
        return Intake(bundle, agency, is_open=True)
    return Intake(bundle, agency, is_open=False) if _is_settled(bundle) else None


def _is_settled(bundle: Bundle) -> bool:
    """Whether its requests came to an end, rather than its time."""
    with acting_for(bundle.agency_id, bundle.workspace_id):
        statuses = db.session.scalars(
            select(ConnectionRequest.status).where(ConnectionRequest.bundle_id == bundle.id).distinct()
        ).all()
    return bool(statuses) and all(status.settled for status in statuses)


def cards(bundle: Bundle) -> list[Card]:
    """The bundle's apps in the order they were asked, cancelled ones left out; the same few queries however many."""
    rows = db.session.scalars(
        select(ConnectionRequest)
        .where(ConnectionRequest.bundle_id == bundle.id, ConnectionRequest.status != Status.CANCELLED)
        .order_by(ConnectionRequest.id)
        .options(
            joinedload(ConnectionRequest.workflow),
            joinedload(ConnectionRequest.connection),
            joinedload(ConnectionRequest.slot).options(selectinload(Slot.nodes), joinedload(Slot.connection)),
        )
    ).all()
    given = _given_by(bundle, {row.app_key for row in rows})
    return [Card(row, scopes.app_of(row), scopes.permissions(row), _offer(row, given)) for row in rows]


def _given_by(bundle: Bundle, apps: set[str]) -> Sequence[Connection]:
    """What this recipient connected before in this workspace."""
    return db.session.scalars(
        select(Connection)
        .where(
            Connection.workspace_id == bundle.workspace_id,
            Connection.owner_email == bundle.recipient,
            Connection.app_key.in_(apps),
            Connection.health.in_([Health.PENDING, Health.ACTIVE]),
        )
        .order_by(Connection.id.desc())
        .limit(100)
    ).all()


def _offer(asked: ConnectionRequest, given: Sequence[Connection]) -> Connection | None:
    """An account that the recipient connected already and that covers what this request needs."""
    if asked.status not in (Status.PENDING, Status.DECLINED):
        return None
    app, needed = scopes.app_of(asked), scopes.required(asked)
    fit = (each for each in given if each.app_key == asked.app_key and not scopes.missing(app, needed, each))
    return next(fit, None)


def use_offer(bundle: Bundle, request_id: str, connection_id: str) -> None:
    """Fulfil a request with the account that the recipient connected for another one; Conflict when it no longer fits."""
    at = clock.now()
    with transaction():
        bundles.lock(bundle.workspace_id)
        asked = connection_requests.in_bundle(bundle, request_id)
        offer = _offer(asked, _given_by(bundle, {asked.app_key}))
        if (
            offer is None
            or offer.public_id != connection_id
            or not connection_requests.fulfil(
                asked, offer, generation=asked.generation, at=at, by=Actor.client(bundle.recipient)
            )
        ):
            raise Conflict(_("This account can't be used here any more."))

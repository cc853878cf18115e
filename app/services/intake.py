"""Intake: a link opened without login, and what the browser may reach after it: one bundle, at the epoch of that link."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app import clock
from app.catalog.schema import App
from app.database import transaction
from app.errors import Conflict, RateLimited
from app.i18n import _
from app.models import Bundle, ConnectionRequest, FlowSurface, Health, Kind, Notice, Status
from app.oauth import scopes as protocol
from app.prepared import Row
from app.services import (
    addresses,
    audit,
    bundles,
    connection_requests,
    counters,
    fulfilment,
    intake_rows,
    intake_sessions,
    limits,
    link_tokens,
    scopes,
)
from app.services.audit import Actor
from app.services.intake_rows import Asked
from app.tenancy import across_tenants, acting_for

OPENINGS = 30
OPENING_WINDOW = timedelta(minutes=1)


@dataclass(frozen=True)
class Opening:
    """What came of opening a link: the bundle if it works; `refused` names one whose link is known but dead."""

    bundle: Row | None = None
    refused: Row | None = None
    succeeded: bool = False  # the browser is known by its successor's id from now on


@dataclass(frozen=True)
class Host:
    """The agency that asks, as far as its clients see it."""

    id: int
    name: str
    slug: str
    support_email: str
    accent: str
    logo_digest: str | None
    timezone: str


@dataclass(frozen=True)
class Intake:
    """A browser's access to one bundle: `is_open` while its link works, else only the final page is left.

    `surface` is where it has that access: by a link, or signed in to the portal.
    """

    bundle: Row
    agency: Host
    is_open: bool
    surface: FlowSurface = FlowSurface.INTAKE


@dataclass(frozen=True)
class Card:
    """One app on the client's page; `asked` is its request, with names of what is around it."""

    asked: Row
    app: App
    permissions: Sequence[scopes.Permission]
    offer: Row | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the client is done with it; also where they revoked what they gave, and connected it again."""
        held = self.asked.health
        is_back = self.asked.status is Status.REVOKED and held is not None and held.works
        return self.asked.status is Status.FULFILLED or is_back

    @property
    def is_broken(self) -> bool:
        """Whether it was connected, but works no more."""
        return self.is_connected and self.asked.health in (Health.ERROR, Health.REVOKED)

    @property
    def needs_owner(self) -> bool:
        """Whether it works no more, is still what the step uses, and its owner can bring it back in the portal."""
        is_gone = self.asked.status is Status.REVOKED and not self.is_connected
        is_used = self.is_mending or self.asked.slot_connection_id == self.asked.connection_id
        return (self.is_broken or is_gone) and is_used and bool(self.asked.is_theirs)

    @property
    def is_open(self) -> bool:
        """Whether the client can still connect it."""
        return self.asked.status in (Status.PENDING, Status.DECLINED)

    @property
    def is_declined(self) -> bool:
        """Whether the client said no, and has not tried since."""
        return self.asked.status is Status.DECLINED and self.asked.notice is None

    @property
    def may_hand_over(self) -> bool:
        """Whether the client may name a colleague for it: once, as long as the agency wants it; what is theirs they mend."""
        is_first = self.asked.handed_over_at is None
        return self.is_open and self.asked.hands_over and is_first and not self.is_mending

    @property
    def is_other_account(self) -> bool:
        """Whether the last try brought another account than was expected."""
        return self.asked.notice is Notice.OTHER_ACCOUNT

    @property
    def is_mending(self) -> bool:
        """Whether it asks for access anew to an account that was connected before."""
        return self.asked.kind is Kind.REAUTHORIZE

    @property
    def expected(self) -> str:
        """Which account was expected: the one that is to be mended, or what staff wrote."""
        return (self.asked.account if self.is_mending else self.asked.expected_account) or ""

    @property
    def is_partial(self) -> bool:
        """Whether the last try brought some of the permissions only."""
        return self.asked.notice is Notice.PARTIAL and any(each.is_missing for each in self.permissions)


def open_link(token: str, *, id_hash: bytes, successor: bytes | None = None) -> Opening:
    """Check a link and let this browser in. Every cause of failure costs the same work; RateLimited after 30 a minute.

    Nothing else changes: a link may be opened any number of times. A browser to which a link is new goes on as its
    `successor`, with all that it had: whoever gave it its id before gains nothing by it.
    """
    at = clock.now()
    with transaction(), across_tenants("nobody is signed in: the link says whose it is"):
        counted = counters.hit(f"link:{limits.visitor()}", at=at, window=OPENING_WINDOW, limit=OPENINGS)
        opening = _checked(token, id_hash=id_hash, successor=successor, at=at) if counted else None
    if opening is None:
        wait = counters.seconds_left(at=at, window=OPENING_WINDOW)
        raise RateLimited(_("Too many links were opened from here. Try again in a minute."), retry_after=wait)
    return opening


def _checked(token: str, *, id_hash: bytes, successor: bytes | None, at: datetime) -> Opening:
    found = intake_rows.BY_LINK(hashed=link_tokens.digest(token)).one_or_none()
    if not link_tokens.matches(token, found) or found is None:
        return Opening()
    if found.closed_at is not None or found.expires_at <= at:
        return Opening(refused=found)
    with acting_for(found.agency_id, found.workspace_id):
        return _let_in(found, id_hash=id_hash, successor=successor, at=at)


def _let_in(bundle: Row, *, id_hash: bytes, successor: bytes | None, at: datetime) -> Opening:
    """Remember that this browser opened this link, unless it died just now."""
    opened = None if bundle.opened_at else intake_rows.OPENED(hashed=bundle.token_hash, at=at).scalar()
    until = opened or intake_rows.ALIVE(hashed=bundle.token_hash, at=at).scalar()
    if until is None:
        return Opening()
    succeeded = successor is not None and not intake_sessions.knows(id_hash, bundle)
    if successor is not None and succeeded:
        intake_sessions.succeed(id_hash, successor)
        id_hash = successor
    if intake_sessions.remember(id_hash, bundle, until=until, at=at):
        subject = audit.Subject("bundle", bundle.public_id, bundle.workspace_id)
        audit.record("link.opened", subject, by=Actor.client(bundle.recipient), at=at, epoch=bundle.epoch)
    return Opening(bundle, succeeded=succeeded)


def note_refused(bundle_id: int, agency_id: int, workspace_id: int) -> None:
    """Record that a dead link was opened; done after the answer is sent, so that it tells nobody anything."""
    at = clock.now()
    with acting_for(agency_id, workspace_id), transaction() as session:
        bundle = session.get_one(Bundle, bundle_id)
        audit.record("link.refused", bundle, by=Actor("anonymous", ""), at=at, epoch=bundle.epoch)


def enter(id_hash: bytes, bundle_id: str, *, at: datetime) -> Intake | None:
    """What this browser may see of a bundle; none without an opened link, or once that link is dead and nothing is settled."""
    with across_tenants("the session says whose data it may see"):
        row = intake_rows.ENTERED(id_hash=id_hash, named=bundle_id, at=at).one_or_none()
    if row is None or row.opened_epoch != row.epoch:
        return None
    host = Host(
        row.agency_id, row.agency, row.slug, row.support_email, row.accent, row.logo_digest, timezone=row.timezone
    )
    if row.closed_at is None and row.expires_at > at:
        return Intake(row, host, is_open=True)
    return Intake(row, host, is_open=False) if row.is_settled else None


def cards(bundle: Row | Bundle, *, workflow: int | None = None) -> list[Card]:
    """The apps of a bundle in the order they were asked, cancelled ones left out; the same few queries however many.

    With a workflow: all that it ever asked of the bundle's recipient, each account once.
    """
    if workflow:
        found = intake_rows.CARDS_OF_WORKFLOW(workflow=workflow, recipient=bundle.recipient)
    else:
        found = intake_rows.CARDS(bundle=bundle.id, recipient=bundle.recipient)
    able = [row for row in found if row.is_given]
    given = _given_by(bundle, able) if able else _Given()
    return [_card(asked, given) for asked in intake_rows.grouped(found, bundle=bundle.id, workflow=workflow)]


def _card(asked: Asked, given: "_Given") -> Card:
    row, app = asked.row, scopes.app_of(asked.row)
    needed = required(asked)
    held = None if asked.held is None else (asked.held.scopes if asked.held.client else needed)
    new = protocol.missing(needed, held, app) if app.oauth2 and held is not None else ()
    permissions = scopes.permissions(app, needed, granted=row.granted_scopes, new=new)
    return Card(row, app, permissions, _offer(row, needed, given))


def required(asked: Asked) -> tuple[str, ...]:
    """What `scopes.required` says."""
    row, app = asked.row, scopes.app_of(asked.row)
    needed = row.sent_scopes if row.slot_id is None else app.scopes_for(asked.actions)
    by = asked.held or row
    return scopes.together(app, needed, by.scopes if by.client else (), row.extra_scopes)


@dataclass(frozen=True)
class _Given:
    """What a recipient connected before in this workspace, and of which of it the account was the one that staff expected."""

    rows: Sequence[Row] = ()
    expected: frozenset[tuple[int, str]] = frozenset()

    def is_as_expected(self, connection: Row, expected: str) -> bool:
        """Whether it is known to be of that address or domain: by its sign-in, not by what its owner calls it."""
        return not expected or (connection.id, expected) in self.expected


def _given_by(bundle: Row | Bundle, wanted: Iterable[Row | ConnectionRequest]) -> _Given:
    whose = {"workspace": bundle.workspace_id, "recipient": bundle.recipient}
    rows = intake_rows.GIVEN(**whose, bundle=bundle.id).all()
    met = intake_rows.EXPECTED(**whose) if rows and any(each.expected_account for each in wanted) else ()
    ways = {(row.connection_id, way) for row in met for way in _ways(row.expected_account)}
    return _Given(rows, frozenset(ways))


def _ways(expected: str) -> tuple[str, str]:
    return expected, addresses.domain(expected)


def _offer(asked: Row | ConnectionRequest, needed: tuple[str, ...], given: _Given) -> Row | None:
    """An account that the recipient connected already, that covers what a request needs and is the one that it expects; none mends another."""
    if asked.status not in (Status.PENDING, Status.DECLINED) or asked.kind is Kind.REAUTHORIZE:
        return None
    app, expected = scopes.app_of(asked), asked.expected_account
    fit = (each for each in given.rows if each.app_key == app.key and given.is_as_expected(each, expected))
    return next((each for each in fit if not scopes.missing(app, needed, each)), None)


def use_offer(bundle: Row | Bundle, request_id: str, connection_id: str) -> None:
    """Fulfil a request with the account that the recipient connected for another one; Conflict when it no longer fits."""
    at = clock.now()
    with transaction():
        bundles.touch(bundle.workspace_id, at=at)  # which locks it
        asked = connection_requests.in_bundle(bundle, request_id)
        offer = _offer(asked, scopes.required(asked), _given_by(bundle, [asked]))
        if (
            offer is None
            or offer.public_id != connection_id
            or not fulfilment.fulfil(
                asked, offer, generation=asked.generation, at=at, by=Actor.client(bundle.recipient)
            )
        ):
            raise Conflict(_("This account can't be used here any more."))

"""Settlement: what a flow brought makes a connection, waits for the client's word, or is given back."""

from collections.abc import Sequence
from datetime import datetime

from app import clock
from app.catalog.schema import App
from app.database import transaction
from app.errors import Refused
from app.extensions import db
from app.models import Flow, FlowStatus, Kind, Notice, Status
from app.oauth import scopes as protocol
from app.oauth.identify import Identity
from app.prepared import Row
from app.services import (
    accounts,
    addresses,
    audit,
    bundles,
    connections,
    flow_rows,
    flows,
    fulfilment,
    grants,
    outbox,
    pauses,
)
from app.services.accounts import Grant, Narrower, Theirs
from app.services.audit import Actor

CONNECTED, WITHDRAWN = "connected", "withdrawn"


def settle(flow: Row, app: App, grant: Grant) -> str:
    """Make the connection and fulfil the request, if that is still wanted and all that is required was granted.

    Says what came of it: `CONNECTED`, `WITHDRAWN`, or a `Notice`.
    """
    at = clock.now()
    with transaction():
        bundles.touch(flow.workspace_id, at=at)  # which locks it
        asked = flow_rows.ASKED(asked=flow.request_id, **accounts.sought(app, grant.identity)).one()
        # point: callback.locked
        if not _is_wanted(asked, flow, app, grant):
            return throw_away(flow, grant, WITHDRAWN)
        if lacking := protocol.missing(flow.scopes, grant.scopes, app):
            return _hold_partial(flow, grant, lacking, at=at)
        if grant.fault:
            pauses.keep(pauses.request_of(flow.request), grant.fault.retry_after, at=at)
            return _give_back(flow, grant, flows.NOTICES.get(grant.fault.code, Notice.PROVIDER), at=at)
        if _is_other(asked, grant.identity):
            return _hold(flow, grant, Notice.OTHER_ACCOUNT, at=at)
        return _connect(flow, asked, app, grant, at=at)


def accept(flow: Flow, app: App, grant: Grant, *, at: datetime) -> str | None:
    """Make the connection of a grant that waited because of its account; none if it is not wanted any more.

    Within a transaction that holds the workspace's lock.
    """
    asked = flow_rows.ASKED(asked=flow.request_id, **accounts.sought(app, grant.identity)).one()
    is_open = asked.status in (Status.PENDING, Status.DECLINED)
    if not is_open or asked.kind is Kind.REAUTHORIZE or not _is_wanted(asked, flow, app, grant):
        return None
    flow.grant = None
    db.session.flush()
    return _connect(flow, asked, app, grant, at=at, is_other=True)


def _connect(flow: Row | Flow, asked: Row, app: App, grant: Grant, *, at: datetime, is_other: bool = False) -> str:
    """Make the connection, and fulfil the request unless that is done."""
    try:
        with audit.together():
            connection = accounts.store(flow, asked, app, grant, at=at)
            # point: connection.stored
            by = Actor.client(asked.recipient)
            fulfilment.fulfil(asked, connection, generation=flow.generation, at=at, by=by, other_account=is_other)
            if asked.known:
                fulfilment.mended(connection, besides=asked.id, by=by, at=at)
    except Narrower as narrower:
        return _hold_partial(flow, grant, narrower.missing, at=at, is_needed_more=True)
    except Theirs:
        return _give_back(flow, grant, Notice.THEIRS, at=at)
    # point: request.settled
    if asked.is_held:
        grants.replace_earlier(flow, at=at)
    flow_rows.DONE(flow=flow.id, came_to=CONNECTED, at=at)
    # point: flow.ended
    return CONNECTED


def _is_wanted(asked: Row, flow: Row | Flow, app: App, grant: Grant) -> bool:
    """Whether a grant may still make a connection: asked of the same person, and open; or of the account connected meanwhile.

    What is there already must be theirs to mend: it may have passed to others since they were asked.
    """
    if asked.generation != flow.generation:
        return False
    if asked.status is Status.FULFILLED:
        if asked.known is None or protocol.missing(flow.scopes, grant.scopes, app):
            return False
        return asked.known == asked.connection_id and _is_theirs(asked, flow)
    is_open = asked.status in (Status.PENDING, Status.DECLINED)
    return is_open and (asked.kind is not Kind.REAUTHORIZE or _is_theirs(asked, flow))


def _is_theirs(asked: Row, flow: Row | Flow) -> bool:
    return connections.owned(asked.connection_id, flow.recipient) is not None


def _is_other(asked: Row, identity: Identity | None) -> bool:
    """Whether the client has to say first that this account is meant; of a connection that is to be mended it never is."""
    if identity is None or asked.status is Status.FULFILLED:
        return False
    if asked.kind is Kind.REAUTHORIZE:
        return bool(asked.known != asked.connection_id)
    return is_other_account(asked.expected_account, identity)


def is_other_account(expected: str, identity: Identity) -> bool:
    """Whether an account is not known to be of the address, or of the domain, that staff expected.

    What it calls itself says nothing: only the address that its provider gives for it counts.
    """
    if not expected:
        return False
    address = _address_of(identity)
    return expected not in (address, addresses.domain(address))


def _address_of(identity: Identity) -> str:
    try:
        return addresses.normalise(identity.email)
    except Refused:  # none, or what is no address
        return ""


# ── Renewals: a flow of the owner's own, for no request ──────────────────────


def renew(flow: Row, app: App, grant: Grant) -> str:
    """Put a grant in the place of the one that the owner's connection has; whatever does not fit is given back."""
    at = clock.now()
    with transaction():
        bundles.touch(flow.workspace_id, at=at)
        connection = connections.owned(flow.connection_id, flow.recipient)
        if connection is None:
            return throw_away(flow, grant, WITHDRAWN)
        if grant.fault or grant.identity is None:
            name = pauses.renewal_of(connection.public_id)
            pauses.keep(name, grant.fault.retry_after if grant.fault else None, at=at)
            code = grant.fault.code if grant.fault else None
            return throw_away(flow, grant, flows.NOTICES.get(code, Notice.PROVIDER) if code else Notice.PROVIDER)
        if (connection.issuer, connection.external_id) != (grant.identity.issuer, grant.identity.id):
            return throw_away(flow, grant, Notice.OTHER_ACCOUNT)
        if lacking := protocol.missing(flow.scopes, grant.scopes, app):
            return throw_away(flow, grant, Notice.PARTIAL, missing=lacking)
        try:
            accounts.renew(connection, flow, app, grant, at=at)
        except Narrower as narrower:
            return throw_away(flow, grant, Notice.PARTIAL, missing=narrower.missing)
        fulfilment.mended(connection, by=Actor.client(flow.recipient), at=at)
        flow_rows.DONE(flow=flow.id, came_to=CONNECTED, at=at)
    return CONNECTED


# ── What makes no connection ─────────────────────────────────────────────────


def throw_away(flow: Row, grant: Grant, outcome: str, *, missing: Sequence[str] = ()) -> str:
    """Have a grant given back that makes no connection; `missing` are the scopes that it lacked."""
    at = clock.now()
    with transaction():
        ending = _row_of(flow)
        if missing:
            ending.missing = list(missing)
        grants.hold(ending, grant, until=at, at=at)
        _end(ending, FlowStatus.FAILED, outcome, at=at)
        # point: grant.refused
    return outcome


def _give_back(flow: Row | Flow, grant: Grant, notice: Notice, *, at: datetime) -> str:
    """The same of what a request asked for, with the reason on its card. Within a transaction."""
    ending = _row_of(flow)
    grants.hold(ending, grant, until=at, at=at)
    outbox.retry_now(grants.KIND, ending.public_id, at=at)  # one that had waited for the client's word waits no more
    return _note_failure(ending, notice, at=at)


def fail(flow: Row, notice: Notice) -> str:
    """End a flow from which nothing came."""
    at = clock.now()
    with transaction():
        return _note_failure(_row_of(flow), notice, at=at)


def _row_of(flow: Row | Flow) -> Flow:
    """The flow's row as it is now, to be changed in one of the many ways that are not the usual one. Within a transaction."""
    return db.session.get_one(Flow, flow.id, populate_existing=True)


def _hold_partial(
    flow: Row | Flow, grant: Grant, lacking: tuple[str, ...], *, at: datetime, is_needed_more: bool = False
) -> str:
    """Keep a grant that misses something; the card says what is missing.

    `is_needed_more`: what is missing was not asked for this time, and will be.
    """
    ending = _row_of(flow)
    asked = ending.asked
    if asked is not None:
        if is_needed_more:
            asked.extra_scopes = sorted({*(asked.extra_scopes or ()), *lacking})
        asked.granted_scopes = list(grant.scopes)
    return _hold(flow, grant, Notice.PARTIAL, at=at, missing=list(lacking))


def _hold(flow: Row | Flow, grant: Grant, notice: Notice, *, at: datetime, **told: list[str]) -> str:
    """Keep a grant sealed, for as long as the flow lives, until the client says what is to become of it."""
    ending = _row_of(flow)
    if ending.asked is None:
        raise ValueError("A grant waits for the word of whoever a request asks.")
    ending.asked.notice = notice
    grants.replace_earlier(flow, at=at)
    # point: grants.replaced
    grants.hold(ending, grant, until=ending.expires_at, at=at)
    _end(ending, FlowStatus.HELD, notice, at=at)
    by = Actor.client(ending.recipient)
    audit.record(f"flow.{notice}", ending, by=by, at=at, app=flow.app_key, **told)
    # point: grant.held
    return notice


def _end(flow: Flow, status: FlowStatus, outcome: str, *, at: datetime) -> None:
    flow.status, flow.outcome, flow.finished_at, flow.verifier = status, outcome, at, None


def _note_failure(flow: Flow, notice: Notice, *, at: datetime) -> str:
    """Say on the card why nothing was connected; the request stays as it was. Within a transaction."""
    _end(flow, FlowStatus.FAILED, notice, at=at)
    if flow.request_id is not None:
        flows.change_card(flow.request_id, flow.generation, notice=notice)
    audit.record("flow.failed", flow, by=Actor.client(flow.recipient), at=at, app=flow.app_key, outcome=notice)
    # point: flow.failed
    return notice

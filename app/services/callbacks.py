"""Callbacks: a flow that comes back from the provider is taken once, and a connection made of what it brings."""

import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace

from app import clock, runtime
from app.catalog.schema import App
from app.database import end_reading, transaction
from app.extensions import db
from app.models import Flow, FlowStatus, Notice, Status
from app.oauth import callback
from app.oauth import scopes as protocol
from app.oauth.client import ClientCredentials
from app.oauth.endpoints import Endpoints
from app.oauth.exchange import exchange
from app.oauth.faults import OAuthError
from app.oauth.identify import Identity, identify
from app.prepared import Row
from app.services import (
    addresses,
    audit,
    bundles,
    connection_requests,
    connections,
    flow_rows,
    flows,
    grants,
    oauth_clients,
    pauses,
    scopes,
    sealed,
)
from app.services.audit import Actor
from app.services.connections import Grant, Narrower
from app.tenancy import across_tenants, acting_for
from app.vault import Masked, open_

WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class Landing:
    """Where the browser lands after a callback, whatever came of it."""

    bundle_id: str
    request_id: str
    cookie: str
    withdrawn: str = ""  # the name of an app that is no longer asked for


def finish(
    client_key: str, args: Iterable[tuple[str, str]], *, cookie: Callable[[str], str | None], session_hash: bytes
) -> Landing | None:
    """Take a provider's callback. None, with nothing changed and nobody called, unless this browser started the flow here.

    The flow is claimed before the code is exchanged; whoever comes second just lands on the status page. While a key is
    missing it raises Sealed before that, so that the same callback may come again. What a provider gave to a process that
    dies before it is stored is lost with that process, and the request is as it was.
    """
    runtime.current().keys.require()
    pairs = list(args)
    state = callback.state_of(pairs)
    if state is None:
        return None
    with across_tenants("the state says whose flow it is"):
        flow = flow_rows.BY_STATE(hashed=flows.digest(state)).one_or_none()
    secret = cookie(flows.cookie_name(state)) or ""
    if flow is None or not _is_bound(flow, secret, session_hash, client_key):
        return None
    # point: callback.found
    with acting_for(flow.agency_id, flow.workspace_id):
        came_to = _take(flow, pairs)
    if came_to is None:
        return None
    withdrawn = scopes.app_of(flow).name if came_to == WITHDRAWN else ""
    return Landing(flow.bundle, flow.request, flows.cookie_name(state), withdrawn)


def _is_bound(flow: Row, secret: str, session_hash: bytes, client_key: str) -> bool:
    """Whether the browser holds the flow's cookie and the session that started it, at this client's own address."""
    same_browser = hmac.compare_digest(flow.browser_hash, flows.digest(secret))
    same_session = hmac.compare_digest(flow.session_hash, session_hash)
    same_client = hmac.compare_digest(flow.oauth_client.encode(), client_key.encode("utf-8", "replace"))
    return same_browser and same_session and same_client


def _take(flow: Row, pairs: list[tuple[str, str]]) -> str | None:
    """Do what the callback asks, and say what came of it; None if its parameters are not what the provider would send."""
    app, at = runtime.current().catalog.get(flow.app_key), clock.now()
    client = oauth_clients.by_key(SimpleNamespace(id=flow.agency_id), flow.oauth_client)
    endpoints = Endpoints(**flow.endpoints)
    credentials = ClientCredentials(client.client_id, client.client_secret) if client else None
    denied: OAuthError | None = None
    params = None
    try:
        params = callback.read(app, pairs, endpoints, client=credentials or ClientCredentials(""), fields=flow.fields)
    except callback.CallbackRefused:
        return None
    except OAuthError as error:
        denied = error
    # point: callback.read
    if not _claim(flow, at=at):
        return flow_rows.STANDING(flow=flow.id).one().outcome or ""
    if denied or params is None or credentials is None:
        return _fail(flow, flows.NOTICES.get(denied.code, Notice.PROVIDER) if denied else Notice.UNCONFIGURED)
    try:
        grant = _redeem(flow, app, credentials, endpoints, params, at=at)
    except OAuthError as error:
        pauses.keep(flow.oauth_client, error.retry_after, at=at)
        return _fail(flow, flows.NOTICES.get(error.code, Notice.PROVIDER))
    try:
        # point: grant.got
        return _settle(flow, app, grant)
    except Exception:
        _throw_away(flow, grant, "internal")
        raise


def _claim(flow: Row, *, at: datetime) -> bool:
    """Take the flow's one callback, in one conditional UPDATE; a flow past its 15 minutes ends here."""
    with transaction():
        claimed = flow_rows.CLAIM(flow=flow.id, at=at).rowcount == 1
        # point: claim.ending
    # point: flow.claimed
    if not claimed and flow_rows.STANDING(flow=flow.id).one().status is FlowStatus.STARTED:
        _fail(flow, Notice.EXPIRED)
    return claimed


def _redeem(
    flow: Row,
    app: App,
    client: ClientCredentials,
    endpoints: Endpoints,
    params: callback.CallbackParams,
    *,
    at: datetime,
) -> Grant:
    """Exchange the code and find out whose account it is: the only part that waits for the provider."""
    blob, place = flow.verifier, sealed.verifier_place(flow)
    verifier = Masked(open_(runtime.current().keyring, blob, place).decode()) if blob else None
    fields, nonce, redirect_uri = dict(flow.fields), flow.nonce, flow.redirect_uri
    asked = app.oauth2.asked(flow.scopes) if app.oauth2 else ()
    end_reading()  # no transaction stays open while we wait
    # point: code.opened
    token = exchange(
        app,
        client,
        endpoints,
        code=params.code,
        verifier=verifier,
        redirect_uri=redirect_uri,
        fields=fields,
        kept=params.kept,
        scopes=asked,
        at=at,
    )
    # point: code.exchanged
    granted = token.scopes if token.scopes is not None else tuple(asked)
    try:
        identity = identify(app, endpoints, token, nonce=nonce, fields=fields, client=client, at=at)
    except OAuthError as error:
        return Grant(token, None, granted, error)  # it exists there, so that it has to be given back
    # point: account.identified
    return Grant(token, identity, granted)


def _settle(flow: Row, app: App, grant: Grant) -> str:
    """Make the connection and fulfil the request, if that is still wanted and all that is required was granted."""
    at = clock.now()
    with transaction():
        bundles.touch(flow.workspace_id, at=at)  # which locks it
        asked = flow_rows.ASKED(asked=flow.request_id, **connections.sought(app, grant.identity)).one()
        # point: callback.locked
        if not _is_wanted(asked, flow, app, grant):
            return _throw_away(flow, grant, WITHDRAWN)
        if lacking := protocol.missing(flow.scopes, grant.scopes, app):
            return _hold_partial(flow, grant, lacking, at=at)
        if grant.fault:
            pauses.keep(flow.oauth_client, grant.fault.retry_after, at=at)
            ending = _row_of(flow)
            grants.hold(ending, grant, until=at, at=at)
            return _note_failure(ending, flows.NOTICES.get(grant.fault.code, Notice.PROVIDER), at=at)
        try:
            with audit.together():
                _connect(flow, asked, app, grant, at=at)
        except Narrower as narrower:
            return _hold_partial(flow, grant, narrower.missing, at=at, is_needed_more=True)
        # point: request.settled
        if asked.is_held:
            grants.replace_earlier(flow, at=at)
        flow_rows.DONE(flow=flow.id, came_to="connected", at=at)
        # point: flow.ended
        return "connected"


def _connect(flow: Row, asked: Row, app: App, grant: Grant, *, at: datetime) -> None:
    """Make the connection, and fulfil the request unless that is done. Raises Narrower."""
    connection = connections.store(flow, asked, app, grant, at=at)
    # point: connection.stored
    by = Actor.client(asked.recipient)
    other = grant.identity is not None and is_other_account(asked.expected_account, grant.identity)
    connection_requests.fulfil(asked, connection, generation=flow.generation, at=at, by=by, other_account=other)


def _is_wanted(asked: Row, flow: Row, app: App, grant: Grant) -> bool:
    """Whether a grant may still make a connection: asked of the same person, and open; or of the account connected meanwhile."""
    if asked.generation != flow.generation:
        return False
    if asked.status is not Status.FULFILLED:
        return asked.status in (Status.PENDING, Status.DECLINED)
    if asked.known is None or protocol.missing(flow.scopes, grant.scopes, app):
        return False
    return bool(asked.known == asked.connection_id)


def is_other_account(expected: str, identity: Identity) -> bool:
    """Whether an account is not the address, or not of the domain, that staff expected; one that shows neither is not judged."""
    shown = next((text.lower() for text in (identity.email, identity.label) if "@" in text), "")
    if not expected or not shown:
        return False
    return shown != expected if "@" in expected else addresses.domain(shown) != expected


def _row_of(flow: Row) -> Flow:
    """The flow's row as it is now, to be changed in one of the many ways that are not the usual one. Within a transaction."""
    return db.session.get_one(Flow, flow.id, populate_existing=True)


def _throw_away(flow: Row, grant: Grant, outcome: str) -> str:
    """Have a grant given back that makes no connection."""
    at = clock.now()
    with transaction():
        ending = _row_of(flow)
        grants.hold(ending, grant, until=at, at=at)
        _end(ending, FlowStatus.FAILED, outcome, at=at)
        # point: grant.refused
    return outcome


def _hold_partial(
    flow: Row, grant: Grant, lacking: tuple[str, ...], *, at: datetime, is_needed_more: bool = False
) -> str:
    """Keep a grant that misses something, sealed and for as long as the flow lives; the card says what is missing.

    `is_needed_more`: what is missing was not asked for this time, and will be.
    """
    ending = _row_of(flow)
    asked = ending.asked
    if is_needed_more:
        asked.extra_scopes = sorted({*(asked.extra_scopes or ()), *lacking})
    asked.notice, asked.granted_scopes = Notice.PARTIAL, list(grant.scopes)
    grants.replace_earlier(flow, at=at)
    # point: grants.replaced
    grants.hold(ending, grant, until=ending.expires_at, at=at)
    _end(ending, FlowStatus.HELD, Notice.PARTIAL, at=at)
    by = Actor.client(asked.recipient)
    audit.record("flow.partial", ending, by=by, at=at, app=flow.app_key, missing=list(lacking))
    # point: grant.held
    return Notice.PARTIAL


def _end(flow: Flow, status: FlowStatus, outcome: str, *, at: datetime) -> None:
    flow.status, flow.outcome, flow.finished_at, flow.verifier = status, outcome, at, None


def _fail(flow: Row, notice: Notice) -> str:
    """End a flow from which nothing came."""
    at = clock.now()
    with transaction():
        return _note_failure(_row_of(flow), notice, at=at)


def _note_failure(flow: Flow, notice: Notice, *, at: datetime) -> str:
    """Say on the card why nothing was connected; the request stays as it was. Within a transaction."""
    _end(flow, FlowStatus.FAILED, notice, at=at)
    flows.change_card(flow.request_id, flow.generation, notice=notice)
    audit.record("flow.failed", flow, by=Actor.client(flow.asked.recipient), at=at, app=flow.app_key, outcome=notice)
    # point: flow.failed
    return notice

"""Callbacks: a flow that comes back from the provider is taken once, and a connection made of what it brings."""

import hmac
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import joinedload

from app import clock, runtime
from app.catalog.schema import App
from app.database import across_tenants, acting_for, transaction
from app.extensions import db
from app.models import Agency, ConnectionRequest, Flow, FlowStatus, Notice, Status
from app.oauth import callback
from app.oauth import scopes as protocol
from app.oauth.client import ClientCredentials
from app.oauth.endpoints import Endpoints
from app.oauth.exchange import exchange
from app.oauth.faults import OAuthError
from app.oauth.identify import Identity, identify
from app.services import (
    addresses,
    audit,
    bundles,
    connection_requests,
    connections,
    flows,
    grants,
    oauth_clients,
    scopes,
)
from app.services.audit import Actor
from app.services.connections import Grant, Narrower
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

    The flow is claimed before the code is exchanged; whoever comes second just lands on the status page.
    """
    pairs = list(args)
    state = callback.state_of(pairs)
    if state is None:
        return None
    with across_tenants("the state says whose flow it is"):
        flow = db.session.scalar(
            select(Flow)
            .where(Flow.state_hash == flows.digest(state))
            .options(joinedload(Flow.asked), joinedload(Flow.bundle))
        )
    secret = cookie(flows.cookie_name(state)) or ""
    if flow is None or not _is_bound(flow, secret, session_hash, client_key):
        return None
    with acting_for(flow.agency_id, flow.workspace_id):
        landing = Landing(flow.bundle.public_id, flow.asked.public_id, flows.cookie_name(state))
        if not _take(flow, pairs):
            return None
        withdrawn = scopes.app_of(flow).name if flow.outcome == WITHDRAWN else ""
        return replace(landing, withdrawn=withdrawn)


def _is_bound(flow: Flow, secret: str, session_hash: bytes, client_key: str) -> bool:
    """Whether the browser holds the flow's cookie and the session that started it, at this client's own address."""
    same_browser = hmac.compare_digest(flow.browser_hash, flows.digest(secret))
    same_session = hmac.compare_digest(flow.session_hash, session_hash)
    same_client = hmac.compare_digest(flow.oauth_client.encode(), client_key.encode("utf-8", "replace"))
    return same_browser and same_session and same_client


def _take(flow: Flow, pairs: list[tuple[str, str]]) -> bool:
    """Do what the callback asks; false if its parameters are not what the provider would send."""
    app, at = runtime.current().catalog.get(flow.app_key), clock.now()
    client = oauth_clients.by_key(db.session.get_one(Agency, flow.agency_id), flow.oauth_client)
    endpoints = Endpoints.from_json(json.dumps(flow.endpoints))
    credentials = ClientCredentials(client.client_id, client.client_secret) if client else None
    denied: OAuthError | None = None
    params = None
    try:
        params = callback.read(app, pairs, endpoints, client=credentials or ClientCredentials(""), fields=flow.fields)
    except callback.CallbackRefused:
        return False
    except OAuthError as error:
        denied = error
    if not _claim(flow, at=at):
        return True
    if denied or params is None or credentials is None:
        _fail(flow, flows.NOTICES.get(denied.code, Notice.PROVIDER) if denied else Notice.UNCONFIGURED)
        return True
    try:
        grant = _redeem(flow, app, credentials, endpoints, params, at=at)
    except OAuthError as error:
        _fail(flow, flows.NOTICES.get(error.code, Notice.PROVIDER))
        return True
    try:
        _settle(flow, app, grant)
    except Exception:
        _throw_away(flow, grant, "internal")
        raise
    return True


def _claim(flow: Flow, *, at: datetime) -> bool:
    """Take the flow's one callback, in one conditional UPDATE; a flow past its 15 minutes ends here."""
    with transaction() as session:
        claimed = session.execute(
            update(Flow)
            .where(Flow.id == flow.id, Flow.status == FlowStatus.STARTED, Flow.expires_at > at)
            .values(status=FlowStatus.CLAIMED)
            .execution_options(synchronize_session=False)
        )
        session.refresh(flow)
    if claimed.rowcount == 1:  # type: ignore[attr-defined]
        return True
    if flow.status is FlowStatus.STARTED:
        _fail(flow, Notice.EXPIRED)
    return False


def _redeem(
    flow: Flow,
    app: App,
    client: ClientCredentials,
    endpoints: Endpoints,
    params: callback.CallbackParams,
    *,
    at: datetime,
) -> Grant:
    """Exchange the code and find out whose account it is: the only part that waits for the provider."""
    sealed, place = flow.verifier, flows.verifier_place(flow)
    verifier = Masked(open_(runtime.current().keyring, sealed, place).decode()) if sealed else None
    fields, nonce, redirect_uri = dict(flow.fields), flow.nonce, flow.redirect_uri
    asked = app.oauth2.asked(flow.scopes) if app.oauth2 else ()
    db.session.rollback()  # no transaction stays open while we wait
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
    granted = token.scopes if token.scopes is not None else tuple(asked)
    try:
        identity = identify(app, endpoints, token, nonce=nonce, fields=fields, client=client, at=at)
    except OAuthError as error:
        return Grant(token, None, granted, error)  # it exists there, so that it has to be given back
    return Grant(token, identity, granted)


def _settle(flow: Flow, app: App, grant: Grant) -> None:
    """Make the connection and fulfil the request, if that is still wanted and all that is required was granted."""
    at = clock.now()
    with transaction() as session:
        bundles.lock(flow.workspace_id)
        session.refresh(flow)
        asked = flow.asked
        session.refresh(asked)
        if not _is_wanted(asked, flow, app, grant):
            _throw_away(flow, grant, WITHDRAWN)
            return
        if lacking := protocol.missing(flow.scopes, grant.scopes, app):
            _hold_partial(flow, grant, lacking, at=at)
            return
        if grant.fault:
            grants.hold(flow, grant, until=at, at=at)
            _note_failure(flow, flows.NOTICES.get(grant.fault.code, Notice.PROVIDER), at=at)
            return
        try:
            connection = connections.store(flow, app, grant, at=at)
        except Narrower as narrower:
            asked.extra_scopes = sorted({*(asked.extra_scopes or ()), *narrower.missing})
            _hold_partial(flow, grant, narrower.missing, at=at)
            return
        by = Actor.client(asked.recipient)
        connection_requests.fulfil(asked, connection, generation=flow.generation, at=at, by=by)
        if grant.identity and is_other_account(asked.expected_account, grant.identity):
            asked.other_account = True
            audit.record("request.other_account", asked, by=by, at=at, app=app.key, account=connection.account)
        grants.replace_earlier(flow, at=at)
        _end(flow, FlowStatus.DONE, "connected", at=at)


def _is_wanted(asked: ConnectionRequest, flow: Flow, app: App, grant: Grant) -> bool:
    """Whether a grant may still make a connection: asked of the same person, and open; or of the account connected meanwhile."""
    if asked.generation != flow.generation:
        return False
    if asked.status is not Status.FULFILLED:
        return asked.status in (Status.PENDING, Status.DECLINED)
    held, identity = asked.connection, grant.identity
    if held is None or identity is None or protocol.missing(flow.scopes, grant.scopes, app):
        return False
    return (held.issuer, held.external_id) == (identity.issuer, identity.id)


def is_other_account(expected: str, identity: Identity) -> bool:
    """Whether an account is not the address, or not of the domain, that staff expected; one that shows neither is not judged."""
    shown = next((text.lower() for text in (identity.email, identity.label) if "@" in text), "")
    if not expected or not shown:
        return False
    return shown != expected if "@" in expected else addresses.domain(shown) != expected


def _throw_away(flow: Flow, grant: Grant, outcome: str) -> None:
    """Have a grant given back that makes no connection."""
    at = clock.now()
    with transaction() as session:
        session.refresh(flow)
        grants.hold(flow, grant, until=at, at=at)
        _end(flow, FlowStatus.FAILED, outcome, at=at)


def _hold_partial(flow: Flow, grant: Grant, lacking: tuple[str, ...], *, at: datetime) -> None:
    """Keep a grant that misses something, sealed and for as long as the flow lives; the card says what is missing."""
    asked = flow.asked
    asked.notice, asked.granted_scopes = Notice.PARTIAL, list(grant.scopes)
    grants.replace_earlier(flow, at=at)
    grants.hold(flow, grant, until=flow.expires_at, at=at)
    _end(flow, FlowStatus.HELD, Notice.PARTIAL, at=at)
    audit.record("flow.partial", flow, by=Actor.client(asked.recipient), at=at, app=flow.app_key, missing=list(lacking))


def _end(flow: Flow, status: FlowStatus, outcome: str, *, at: datetime) -> None:
    flow.status, flow.outcome, flow.finished_at, flow.verifier = status, outcome, at, None


def _fail(flow: Flow, notice: Notice) -> None:
    """End a flow from which nothing came."""
    at = clock.now()
    with transaction() as session:
        session.refresh(flow)
        _note_failure(flow, notice, at=at)


def _note_failure(flow: Flow, notice: Notice, *, at: datetime) -> None:
    """Say on the card why nothing was connected; the request stays as it was. Within a transaction."""
    _end(flow, FlowStatus.FAILED, notice, at=at)
    flows.change_card(flow, notice=notice)
    audit.record("flow.failed", flow, by=Actor.client(flow.asked.recipient), at=at, app=flow.app_key, outcome=notice)

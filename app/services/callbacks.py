"""Callbacks: a flow that comes back from the provider is taken once; `settlement` makes something of what it brings."""

import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from app import clock, runtime
from app.catalog.schema import App
from app.database import end_reading, transaction
from app.models import FlowStatus, FlowSurface, Notice
from app.oauth import callback
from app.oauth.client import ClientCredentials
from app.oauth.endpoints import Endpoints
from app.oauth.exchange import exchange
from app.oauth.faults import OAuthError
from app.oauth.identify import identify
from app.prepared import Row
from app.services import flow_rows, flows, oauth_clients, pauses, portal_visitors, scopes, sealed, settlement
from app.services.accounts import Grant
from app.tenancy import across_tenants, acting_for
from app.vault import Masked, open_


@dataclass(frozen=True)
class Landing:
    """Where the browser lands after a callback, whatever came of it: at the bundle, or in the portal.

    There with the workflow of the request, or with the connection that its owner meant to renew: then also the account
    which that `renews`, the account that was approved, and in words what it was `missing`.
    """

    surface: FlowSurface
    cookie: str
    app: str
    outcome: str
    bundle_id: str | None = None
    request_id: str | None = None
    workflow_id: str | None = None
    connection_id: str | None = None
    renews: str | None = None
    account: str | None = None
    missing: tuple[str, ...] = ()

    @property
    def is_connected(self) -> bool:
        """Whether it did what it was for."""
        return self.outcome == settlement.CONNECTED

    @property
    def is_withdrawn(self) -> bool:
        """Whether it was no longer wanted."""
        return self.outcome == settlement.WITHDRAWN


def finish(
    client_key: str,
    args: Iterable[tuple[str, str]],
    *,
    cookie: Callable[[str], str | None],
    session_hash: Callable[[FlowSurface], bytes],
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
    session = session_hash(flow.surface) if flow else b""
    if flow is None or not _is_bound(flow, secret, session, client_key) or not _is_signed_in(flow, session):
        return None
    # point: callback.found
    with acting_for(flow.agency_id, flow.workspace_id):
        came_to = _take(flow, pairs)
        return None if came_to is None else _landing(flow, state, came_to)


def _landing(flow: Row, state: str, came_to: str) -> Landing:
    app = scopes.app_of(flow)
    at = Landing(flow.surface, flows.cookie_name(state), app.name, came_to, flow.bundle, flow.request)
    if flow.surface is FlowSurface.INTAKE:
        return at
    places = flow_rows.PLACES(flow=flow.id).one()
    return replace(
        at,
        workflow_id=places.workflow,
        connection_id=places.connection,
        renews=places.renews,
        account=places.account,
        missing=tuple(app.scope_label(each) for each in places.missing or ()),
    )


def _is_bound(flow: Row, secret: str, session_hash: bytes, client_key: str) -> bool:
    """Whether the browser holds the flow's cookie and the session that started it, at this client's own address."""
    same_browser = hmac.compare_digest(flow.browser_hash, flows.digest(secret))
    same_session = hmac.compare_digest(flow.session_hash, session_hash)
    same_client = hmac.compare_digest(flow.oauth_client.encode(), client_key.encode("utf-8", "replace"))
    return same_browser and same_session and same_client


def _is_signed_in(flow: Row, session_hash: bytes) -> bool:
    """Whether the session still stands: in the portal it may have been ended since, here or from another browser."""
    if flow.surface is FlowSurface.INTAKE:
        return True
    return portal_visitors.resume(session_hash, at=clock.now(), is_poll=True) is not None


def _take(flow: Row, pairs: list[tuple[str, str]]) -> str | None:
    """Do what the callback asks, and say what came of it; None if its parameters are not what the provider would send."""
    app, at = runtime.current().catalog.get(flow.app_key), clock.now()
    client = oauth_clients.of(flow)
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
        return settlement.fail(flow, flows.NOTICES.get(denied.code, Notice.PROVIDER) if denied else Notice.UNCONFIGURED)
    try:
        grant = _redeem(flow, app, credentials, endpoints, params, at=at)
    except OAuthError as error:
        pauses.keep(flow.oauth_client, error.retry_after, at=at)
        return settlement.fail(flow, flows.NOTICES.get(error.code, Notice.PROVIDER))
    try:
        # point: grant.got
        return (settlement.settle if flow.request_id else settlement.renew)(flow, app, grant)
    except Exception:
        settlement.throw_away(flow, grant, "internal")
        raise


def _claim(flow: Row, *, at: datetime) -> bool:
    """Take the flow's one callback, in one conditional UPDATE; a flow past its 15 minutes ends here."""
    with transaction():
        claimed = flow_rows.CLAIM(flow=flow.id, at=at).rowcount == 1
        # point: claim.ending
    # point: flow.claimed
    if not claimed and flow_rows.STANDING(flow=flow.id).one().status is FlowStatus.STARTED:
        settlement.fail(flow, Notice.EXPIRED)
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

"""Renewals: the owner of a connection approves it anew, in the portal and for no request."""

import secrets

from sqlalchemy import select

from app import clock, runtime
from app.database import end_reading, transaction
from app.errors import ProviderFailed
from app.extensions import db
from app.i18n import _
from app.models import Connection, FlowSurface, Notice
from app.oauth.faults import OAuthError
from app.services import connection_requests, flows, limits, oauth_clients, pauses, scopes
from app.services.flows import Started
from app.services.intake import Host


def start(connection: Connection, *, by: str, agency: Host, session_hash: bytes) -> Started:
    """Begin an authorization with which its owner `by` renews a connection, with the same account and all that it can do.

    Raises ProviderFailed when the app is not set up, its metadata can't be had or it asked for a pause; RateLimited; Sealed.
    """
    runtime.current().keys.require()
    at, app = clock.now(), scopes.app_of(connection)
    limits.spend(f"flows of {connection.public_id}", at=at, window=flows.LIFETIME, limit=flows.MOST_STARTS)
    client = oauth_clients.for_app(agency, app.key)
    if client is None or app.oauth2 is None:
        raise ProviderFailed(_(connection_requests.NOT_OAUTH), code=Notice.UNCONFIGURED)
    own = db.session.scalar(select(pauses.end_of(pauses.renewal_of(connection.public_id))))
    flows.keep_pause(app, max(pauses.minutes_left(end, at=at) for end in (client.paused_until, own)))
    wanted = scopes.together(app, scopes.needed_of(connection), connection.scopes)
    fields, account = dict(connection.fields), connection.account
    purpose = {
        "agency_id": connection.agency_id,
        "workspace_id": connection.workspace_id,
        "surface": FlowSurface.PORTAL,
        "request_id": None,
        "bundle_id": None,
        "connection_id": connection.id,
        "recipient": by,
        "generation": 0,
        "app_key": app.key,
    }
    end_reading()  # no transaction stays open while the provider's metadata is waited for
    try:
        begun = flows.authorized(app, client, wanted, fields, account)
    except OAuthError as error:
        pauses.keep(client.key, error.retry_after, at=at)
        raise ProviderFailed(_("%(app)s can't be reached just now. Try again.", app=app.name)) from None
    secret = secrets.token_urlsafe(32)
    bound = {"browser_hash": flows.digest(secret), "session_hash": session_hash}
    with transaction():
        flows.save(purpose, begun, client, **bound, fields=fields, scopes=list(wanted))
    return Started(begun.url, flows.cookie_name(begun.state.reveal()), secret, app)

"""Flows: an authorization at a provider, from the press of “Connect” to the connection that comes of it."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

from sqlalchemy import update

from app import clock, runtime
from app.catalog.schema import App
from app.database import end_reading, new_public_id, transaction
from app.errors import Conflict, NotFound, ProviderFailed
from app.extensions import db
from app.i18n import _, ngettext
from app.models import ConnectionRequest, Notice, Status
from app.oauth import authorize
from app.oauth.client import ClientCredentials
from app.oauth.faults import Fault, OAuthError
from app.prepared import Row
from app.services import (
    audit,
    connection_requests,
    flow_rows,
    intake_rows,
    limits,
    oauth_clients,
    pauses,
    scopes,
    sealed,
)
from app.services.audit import Actor
from app.services.intake import Intake, required
from app.services.intake_rows import Asked
from app.services.oauth_clients import UsableClient
from app.vault import seal

LIFETIME = timedelta(minutes=15)
MOST_STARTS = 200  # within that time, of one bundle: it may hold dozens of apps

NOTICES = {Fault.DENIED: Notice.DENIED, Fault.UNAVAILABLE: Notice.TIMEOUT, Fault.LIMITED: Notice.TIMEOUT}


@dataclass(frozen=True)
class Started:
    """Where the browser goes, and the secret that its cookie carries until it is back."""

    url: str
    cookie: str
    secret: str
    app: App


def cookie_name(state: str) -> str:
    """The name of a flow's own cookie, so that several may run side by side."""
    return f"gh_flow_{hashlib.sha256(state.encode()).hexdigest()[:16]}"


def start(intake: Intake, request_id: str, *, typed: Mapping[str, str], session_hash: bytes) -> Started:
    """Begin an authorization for a request of the open bundle.

    Raises Conflict when it is settled, Refused with the field that does not fit, ProviderFailed when the app is not
    set up, its metadata can't be had or it asked for a pause, Sealed before anything is counted.
    """
    runtime.current().keys.require()
    found = _found(intake, request_id)
    asked = found.row
    app = scopes.app_of(asked)
    client = oauth_clients.for_app(intake.agency, app.key)
    at = clock.now()
    ends = (client.paused_until if client else None, asked.paused_until)
    minutes = max(pauses.minutes_left(end, at=at) for end in ends)
    count = partial(limits.spend, f"flows of {intake.bundle.public_id}", at=at, window=LIFETIME, limit=MOST_STARTS)
    at_once = client is not None and minutes == 0 and _goes_at_once(app)
    if not at_once:  # else in the transaction that saves what comes of it
        count()
    if client is None or app.oauth2 is None:
        _set_notice(asked, Notice.UNCONFIGURED)
        raise ProviderFailed(_(connection_requests.NOT_OAUTH), code=Notice.UNCONFIGURED)
    fields = clean_fields(app, typed)
    keep_pause(app, minutes)
    # point: flow.wanted
    wanted = required(found)
    if not at_once:
        end_reading()  # no transaction stays open while the provider's metadata is waited for
    try:
        begun = authorized(app, client, wanted, fields, asked.expected_account)
    except OAuthError as error:
        if at_once:
            count()
        pauses.keep(client.key, error.retry_after, at=at)
        _set_notice(asked, NOTICES.get(error.code, Notice.PROVIDER))
        raise ProviderFailed(_("%(app)s can't be reached just now. Try again.", app=app.name)) from None
    secret = secrets.token_urlsafe(32)
    # point: flow.begun
    bound = {"browser_hash": digest(secret), "session_hash": session_hash, "fields": fields, "scopes": list(wanted)}
    with transaction():
        if at_once:
            count()
        save(_purpose(intake, asked), begun, client, **bound)
        if asked.notice is not None or asked.typed_fields != fields:
            flow_rows.RETRIED(asked=asked.id, of=asked.generation, typed=fields)
    # point: flow.started
    return Started(begun.url, cookie_name(begun.state.reveal()), secret, app)


def _purpose(intake: Intake, asked: Row) -> dict[str, Any]:
    bundle = intake.bundle
    return {
        "agency_id": bundle.agency_id,
        "workspace_id": bundle.workspace_id,
        "surface": intake.surface,
        "request_id": asked.id,
        "bundle_id": bundle.id,
        "connection_id": None,
        "recipient": bundle.recipient,
        "generation": asked.generation,
        "app_key": asked.app_key,
    }


def authorized(
    app: App, client: UsableClient, wanted: tuple[str, ...], fields: Mapping[str, str], account: str | None
) -> authorize.Authorization:
    """An authorization as the provider will see it, at best for that account; raises OAuthError."""
    return authorize.begin(
        app,
        ClientCredentials(client.client_id, client.client_secret),
        redirect_uri=client.redirect_uri,
        scopes=wanted,
        fields=fields,
        login_hint=account if account and "@" in account else None,
    )


def _goes_at_once(app: App) -> bool:
    """Whether nothing that is typed, and nothing that the provider says, can keep an authorization from beginning."""
    return app.oauth2 is not None and not app.oauth2.discovery_url and not app.fields


def keep_pause(app: App, minutes: int) -> None:
    """Raise ProviderFailed while the provider wants to be left alone for so many minutes."""
    if minutes:
        again = ngettext("Try again in %(num)s minute.", "Try again in %(num)s minutes.", minutes)
        raise ProviderFailed(" ".join((_("%(app)s asked for a pause.", app=app.name), again)))


def _found(intake: Intake, request_id: str) -> Asked:
    """The request of the bundle; NotFound, Conflict when it is settled."""
    bundle = intake.bundle.id
    found = intake_rows.grouped(intake_rows.ONE(bundle=bundle, named=request_id), bundle=bundle)
    if not found:
        raise NotFound
    if found[0].row.status not in (Status.PENDING, Status.DECLINED):
        raise Conflict(_("This app is connected already."))
    return found[0]


def clean_fields(app: App, typed: Mapping[str, str]) -> dict[str, str]:
    """What the person typed for the app's fields, checked; Refused names the field."""
    return {field.name: field.clean(typed.get(field.name, "")[:400]) for field in app.fields}


def save(purpose: Mapping[str, Any], begun: authorize.Authorization, client: UsableClient, **bound: Any) -> None:
    """Write what an authorization is for, to what it is bound, and how it goes on when it comes back. Within a transaction."""
    at, public_id = clock.now(), new_public_id()
    place = sealed.verifier_place(SimpleNamespace(**purpose, public_id=public_id))
    verifier = begun.code_verifier and seal(runtime.current().keyring, begun.code_verifier.reveal().encode(), place)
    flow_rows.BEGIN(
        public_id=public_id,
        oauth_client=client.key,
        client_id=client.client_id,
        redirect_uri=client.redirect_uri,
        state_hash=digest(begun.state.reveal()),
        endpoints=asdict(begun.endpoints),
        nonce=begun.nonce,
        verifier=verifier,
        created_at=at,
        expires_at=at + LIFETIME,
        **purpose,
        **bound,
    )
    # point: flow.inserted
    subject = audit.Subject("flow", public_id, purpose["workspace_id"])
    audit.record("flow.started", subject, by=Actor.client(purpose["recipient"]), at=at, app=purpose["app_key"])
    # point: flow.saved


def change_card(request_id: int, generation: int, **values: Any) -> None:
    """Show something on the request's card, as long as it is open and asked of the same person. Within a transaction."""
    db.session.execute(
        update(ConnectionRequest)
        .where(
            ConnectionRequest.id == request_id,
            ConnectionRequest.generation == generation,
            ConnectionRequest.status.in_([Status.PENDING, Status.DECLINED]),
        )
        .values(**values)
    )


def digest(text: str) -> bytes:
    """The SHA-256 under which a secret of a flow is stored."""
    return hashlib.sha256(text.encode()).digest()


def _set_notice(asked: Row, notice: Notice) -> None:
    with transaction():
        change_card(asked.id, asked.generation, notice=notice)

"""Flows: an authorization at a provider, from the press of “Connect” to the connection that comes of it."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import selectinload

from app import clock, runtime
from app.catalog.schema import App
from app.database import transaction
from app.errors import Conflict, ProviderFailed, RateLimited
from app.extensions import db
from app.i18n import _
from app.models import ConnectionRequest, Flow, Notice, Slot, Status
from app.oauth import authorize
from app.oauth.client import ClientCredentials
from app.oauth.faults import Fault, OAuthError
from app.services import (
    audit,
    connection_requests,
    counters,
    oauth_clients,
    scopes,
)
from app.services.audit import Actor
from app.services.intake import Intake
from app.services.oauth_clients import UsableClient
from app.vault import Masked, Place, seal

LIFETIME = timedelta(minutes=15)
MOST_STARTS = 200  # within that time, of one bundle: it may hold dozens of apps
VERIFIER = "pkce_verifier"

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
    set up or its metadata can't be had.
    """
    asked = _asked(intake, request_id)
    app = scopes.app_of(asked)
    if asked.status not in (Status.PENDING, Status.DECLINED):
        raise Conflict(_("This app is connected already."))
    at = clock.now()
    if not counters.hit(f"flows of {intake.bundle.public_id}", at=at, window=LIFETIME, limit=MOST_STARTS):
        raise RateLimited(
            _("Too many tries. Wait a little, then try again."),
            retry_after=counters.seconds_left(at=at, window=LIFETIME),
        )
    client = oauth_clients.for_app(intake.agency, app.key)
    if client is None or app.oauth2 is None:
        _set_notice(asked, Notice.UNCONFIGURED)
        raise ProviderFailed(_(connection_requests.NOT_OAUTH), code=Notice.UNCONFIGURED)
    fields = clean_fields(app, typed)
    flow = _new(asked, intake, client, session_hash=session_hash, fields=fields)
    hint = asked.expected_account if "@" in asked.expected_account else None
    db.session.rollback()  # no transaction stays open while the provider's metadata is waited for
    try:
        begun = authorize.begin(
            app,
            ClientCredentials(client.client_id, client.client_secret),
            redirect_uri=client.redirect_uri,
            scopes=flow.scopes,
            fields=fields,
            login_hint=hint,
        )
    except OAuthError as error:
        with transaction():
            change_card(flow, notice=NOTICES.get(error.code, Notice.PROVIDER))
        raise ProviderFailed(_("%(app)s can't be reached just now. Try again.", app=app.name)) from None
    secret = secrets.token_urlsafe(32)
    flow.state_hash, flow.browser_hash = digest(begun.state.reveal()), digest(secret)
    flow.endpoints, flow.nonce = json.loads(begun.endpoints.to_json()), begun.nonce
    _save(flow, begun.code_verifier, at=clock.now())
    return Started(begun.url, cookie_name(begun.state.reveal()), secret, app)


def _new(
    asked: ConnectionRequest, intake: Intake, client: UsableClient, *, session_hash: bytes, fields: dict[str, str]
) -> Flow:
    """What an authorization is for, as it stands before the provider is asked anything."""
    return Flow(
        agency_id=asked.agency_id,
        workspace_id=asked.workspace_id,
        request_id=asked.id,
        bundle_id=intake.bundle.id,
        generation=asked.generation,
        app_key=asked.app_key,
        oauth_client=client.key,
        redirect_uri=client.redirect_uri,
        session_hash=session_hash,
        fields=fields,
        scopes=list(scopes.required(asked)),
    )


def _asked(intake: Intake, request_id: str) -> ConnectionRequest:
    asked = connection_requests.in_bundle(intake.bundle, request_id)
    if asked.slot is not None:
        db.session.scalar(select(Slot).where(Slot.id == asked.slot_id).options(selectinload(Slot.nodes)))
    return asked


def clean_fields(app: App, typed: Mapping[str, str]) -> dict[str, str]:
    """What the person typed for the app's fields, checked; Refused names the field."""
    return {field.name: field.clean(typed.get(field.name, "")[:400]) for field in app.fields}


def _save(flow: Flow, verifier: Masked | None, *, at: datetime) -> None:
    with transaction() as session:
        flow.created_at, flow.expires_at = at, at + LIFETIME
        session.add(flow)
        session.flush()
        if verifier is not None:
            flow.verifier = seal(runtime.current().keyring, verifier.reveal().encode(), verifier_place(flow))
        change_card(flow, notice=None, typed_fields=flow.fields)
        audit.record("flow.started", flow, by=Actor.client(flow.bundle.recipient), at=at, app=flow.app_key)


def change_card(flow: Flow, **values: Any) -> None:
    """Show something on the request's card, as long as it is open and asked of the same person. Within a transaction."""
    db.session.execute(
        update(ConnectionRequest)
        .where(
            ConnectionRequest.id == flow.request_id,
            ConnectionRequest.generation == flow.generation,
            ConnectionRequest.status.in_([Status.PENDING, Status.DECLINED]),
        )
        .values(**values)
    )


def verifier_place(flow: Flow) -> Place:
    """Where a flow's PKCE verifier is sealed."""
    return Place(VERIFIER, flow.agency_id, flow.workspace_id, flow.public_id)


def digest(text: str) -> bytes:
    """The SHA-256 under which a secret of a flow is stored."""
    return hashlib.sha256(text.encode()).digest()


def _set_notice(asked: ConnectionRequest, notice: Notice) -> None:
    with transaction():
        asked.notice = notice

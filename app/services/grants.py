"""Grants that wait or are thrown away: sealed in their flow's row, then revoked at the provider and shredded."""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import update

from app import clock, runtime
from app.database import end_reading, transaction
from app.extensions import db
from app.models import Agency, Flow, FlowStatus
from app.oauth.client import ClientCredentials
from app.oauth.endpoints import Endpoints
from app.oauth.identify import Identity
from app.oauth.revoke import RevokeLater, RevokeOutcome, revoke
from app.oauth.token import Token
from app.prepared import Row
from app.services import audit, connections, flow_rows, oauth_clients, outbox, scopes, sealed, secrets
from app.services.audit import SYSTEM
from app.services.connections import Grant
from app.tenancy import acting_for
from app.vault import Masked, open_, seal

KIND = "grant.discard"


def hold(flow: Flow, grant: Grant, *, until: datetime, at: datetime) -> None:
    """Seal a grant in its flow's row; the worker discards it at `until`. Within a transaction."""
    token, identity = grant.token, grant.identity
    written = {
        "access_token": token.access_token.reveal(),
        "refresh_token": token.refresh_token.reveal() if token.refresh_token else None,
        "token_type": token.token_type,
        "ends": [_written(moment) for moment in (token.expires_at, token.refresh_expires_at)],
        "kept": {**token.kept, **(identity.kept if identity else {})},
        "account": [identity.issuer, identity.id, identity.label] if identity else None,
        "scopes": list(grant.scopes),
    }
    flow.grant = seal(runtime.current().keyring, json.dumps(written).encode(), sealed.grant_place(flow))
    flow.account = identity.label if identity else None
    # point: grant.sealed
    outbox.put(KIND, flow.public_id, agency_id=flow.agency_id, at=at, due_at=until, flow=flow.id)


def _written(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def restore(flow: Flow) -> Grant:
    """The grant that a flow holds, as it came; raises VaultError where it does not open."""
    written = _opened(flow)
    fresh = written["refresh_token"]
    expires_at, refresh_expires_at = (datetime.fromisoformat(end) if end else None for end in written["ends"])
    issuer, account_id, label = written["account"]
    token = Token(
        access_token=Masked(written["access_token"]),
        refresh_token=Masked(fresh) if fresh else None,
        token_type=written["token_type"],
        expires_at=expires_at,
        refresh_expires_at=refresh_expires_at,
        scopes=tuple(written["scopes"]),
        kept=written["kept"],
    )
    return Grant(token, Identity(issuer=issuer, id=account_id, label=label), tuple(written["scopes"]))


def _opened(flow: Flow) -> dict[str, Any]:
    opened: dict[str, Any] = json.loads(open_(runtime.current().keyring, flow.grant or b"", sealed.grant_place(flow)))
    return opened


def replace_earlier(flow: Row | Flow, *, at: datetime) -> None:
    """Have the grants discarded now that earlier flows of the same request hold. Within a transaction."""
    of = {"asked": flow.request_id, "flow": flow.id}
    held = flow_rows.HELD(**of).scalars().all()
    if held:
        flow_rows.REPLACED(**of)
    for each in held:
        outbox.retry_now(KIND, each, at=at)


class NotGivenBack(Exception):
    """The provider could not be asked, or did not say yes; it should be asked again, in `retry_after` seconds at the earliest."""

    def __init__(self, retry_after: int = 0) -> None:
        super().__init__()
        self.retry_after = retry_after


def discard(flow_id: int, *, agency_id: int) -> None:
    """Give a held grant back at the provider, then shred it; raises NotGivenBack.

    Where that would end other connections of the same account, the provider is not asked.
    """
    with acting_for(agency_id):
        if not _take(flow_id):
            return
        flow = db.session.get_one(Flow, flow_id, populate_existing=True)
        written = _opened(flow)
        # point: grant.opened
        outcome = _give_back(flow, written)
    # point: grant.revoked
    if outcome == RevokeOutcome.FAILED:
        raise NotGivenBack
    shred(flow_id, agency_id=agency_id, outcome=outcome, at=clock.now())


def _take(flow_id: int) -> bool:
    """Let nobody use a grant any more; false if it was used, or is gone."""
    with transaction() as session:
        taken = session.execute(
            update(Flow).where(Flow.id == flow_id, Flow.grant.is_not(None)).values(status=FlowStatus.FAILED)
        )
        return taken.rowcount == 1  # type: ignore[attr-defined,no-any-return]


def shred(flow_id: int, *, agency_id: int, outcome: str, at: datetime) -> None:
    """Destroy a held grant, and record what the provider said of it."""
    with acting_for(agency_id), transaction() as session:
        flow = session.get_one(Flow, flow_id)
        session.execute(update(Flow).where(Flow.id == flow_id).values(grant=None))
        # point: grant.shredding
        audit.record("grant.discarded", flow, by=SYSTEM, at=at, app=flow.app_key, outcome=outcome)


def _give_back(flow: Flow, written: dict[str, Any]) -> str:
    app = scopes.app_of(flow)
    way = app.oauth2.revoke if app.oauth2 else None
    if way and way.breaks_siblings and written["account"] is None:
        return "account_unknown"
    if written["account"] and _is_in_use(flow, written, breaks_siblings=bool(way and way.breaks_siblings)):
        return "kept_for_sibling"
    client = oauth_clients.by_key(db.session.get_one(Agency, flow.agency_id), flow.oauth_client)
    if client is None:
        return "no_client"
    endpoints = Endpoints.from_json(json.dumps(flow.endpoints))
    fields = {**flow.fields, **written["kept"]}
    end_reading()  # no transaction stays open while we wait
    # point: grant.revoking
    try:
        return revoke(
            app,
            ClientCredentials(client.client_id, client.client_secret),
            endpoints,
            access_token=Masked(written["access_token"]),
            refresh_token=Masked(written["refresh_token"]) if written["refresh_token"] else None,
            fields=fields,
        )
    except RevokeLater as later:
        raise NotGivenBack(later.retry_after or 0) from None


def _is_in_use(flow: Flow, written: dict[str, Any], *, breaks_siblings: bool) -> bool:
    """Whether revoking would end a connection that lives: all of the account's where they hang together, else one with the very token."""
    issuer, account_id, label = written["account"]
    identity = Identity(issuer=issuer, id=account_id, label=label)
    living = connections.siblings(flow.app_key, identity, oauth_client=flow.oauth_client)
    if breaks_siblings:
        return bool(living)
    ours = [Masked(written[name]) for name in ("access_token", "refresh_token") if written[name]]
    return any(token in ours for each in living for token in secrets.reveal(each).values())

"""Grants that wait or are thrown away: sealed in their flow's row, then revoked at the provider and shredded."""

import json
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from app import clock, runtime
from app.database import transaction
from app.extensions import db
from app.models import Flow, FlowStatus
from app.oauth.identify import Identity
from app.oauth.token import Token
from app.prepared import Row
from app.services import audit, flow_rows, giving_back, lifetimes, outbox, scopes, sealed
from app.services.accounts import Grant
from app.services.audit import SYSTEM
from app.services.giving_back import Access, Tokens
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
    token = Token(
        access_token=Masked(written["access_token"]),
        refresh_token=Masked(fresh) if fresh else None,
        token_type=written["token_type"],
        expires_at=expires_at,
        refresh_expires_at=refresh_expires_at,
        scopes=tuple(written["scopes"]),
        kept=written["kept"],
    )
    return Grant(token, _account(written), tuple(written["scopes"]))


def _account(written: dict[str, Any]) -> Identity | None:
    if written["account"] is None:
        return None
    issuer, account_id, label = written["account"]
    return Identity(issuer=issuer, id=account_id, label=label)


def _opened(flow: Flow) -> dict[str, Any]:
    opened: dict[str, Any] = json.loads(open_(runtime.current().keyring, flow.grant or b"", sealed.grant_place(flow)))
    return opened


def replace_earlier(flow: Row | Flow, *, at: datetime) -> None:
    """Have the grants discarded now that earlier flows of the same request hold. Within a transaction."""
    if flow.request_id is not None:
        drop(flow.request_id, besides=flow.id, at=at)


def drop(request_id: int, *, besides: int = 0, at: datetime) -> None:
    """Have the grants discarded now that a request's flows hold, but for one of them. Within a transaction."""
    of = {"asked": request_id, "flow": besides}
    held = flow_rows.HELD(**of).scalars().all()
    if held:
        flow_rows.REPLACED(**of)
    for each in held:
        outbox.retry_now(KIND, each, at=at)


def clients(flow_ids: Collection[int]) -> dict[int, str]:
    """The OAuth client of each of these flows, by its id: what one brought is given back at the same provider."""
    found = db.session.execute(select(Flow.id, Flow.oauth_client).where(Flow.id.in_(flow_ids)))
    return {row.id: row.oauth_client for row in found}


def discard(flow_id: int, *, agency_id: int) -> None:
    """Give a held grant back at the provider, then shred it; raises `giving_back.NotGivenBack`."""
    with acting_for(agency_id):
        if not _take(flow_id):
            return
        flow = db.session.get_one(Flow, flow_id, populate_existing=True)
        written = _opened(flow)
        # point: grant.opened
        access = _access(flow, written)
        outcome = giving_back.ask(access, renew=lambda: _renewed(flow_id, access, written))
    # point: grant.revoked
    shred(flow_id, agency_id=agency_id, outcome=outcome, at=clock.now())


def _access(flow: Flow, written: dict[str, Any]) -> Access:
    tokens = {name: Masked(written[name]) for name in giving_back.TOKENS if written[name]}
    expires_at = datetime.fromisoformat(written["ends"][0]) if written["ends"][0] else None
    return Access(
        app=scopes.app_of(flow),
        agency_id=flow.agency_id,
        oauth_client=flow.oauth_client,
        client_id=flow.client_id,
        account=_account(written),
        endpoints=flow.endpoints,
        fields={**flow.fields, **written["kept"]},
        tokens=tokens,
        ends_at=lifetimes.token_ends(flow.created_at, expires_at, refreshable="refresh_token" in tokens),
    )


def _renewed(flow_id: int, access: Access, written: dict[str, Any]) -> Tokens | None:
    """Have its access token refreshed, and seal that one for the next try; none if its provider says that the grant is gone."""
    token = giving_back.refreshed(access)
    if token is None:
        return None
    tokens = giving_back.tokens_of(token)
    fresh = {name: value.reveal() for name, value in tokens.items()}
    again = (
        written | fresh | {"ends": [_written(token.expires_at or clock.now() + lifetimes.ASSUMED), written["ends"][1]]}
    )
    with transaction():
        flow = db.session.get_one(Flow, flow_id, populate_existing=True)
        flow.grant = seal(runtime.current().keyring, json.dumps(again).encode(), sealed.grant_place(flow))
    return tokens


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

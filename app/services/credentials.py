"""Credentials handed out for use, each recorded, and refreshed first where their time has come."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn

from app import clock, runtime
from app.database import transaction
from app.errors import DomainError, RateLimited
from app.i18n import _, ngettext
from app.models import Connection, Workflow
from app.oauth.faults import Fault, OAuthError
from app.prepared import Row
from app.services import audit, counters, freshness, proving, refresh_rows, scopes, secrets
from app.services.audit import Actor, Subject
from app.services.refreshing import Ending
from app.vault import Masked

USED_AT_MOST = timedelta(minutes=1)  # so often is the time of the last use written
LATELY, PRESSES = timedelta(minutes=15), 5  # so often may people have one refreshed or tested
ROUNDS = 3  # of waiting for somebody else and looking again


class Untested(DomainError):
    """Nothing was found out: the app can't be asked whose a credential is, and there was nothing to refresh."""


@dataclass(frozen=True)
class Credential:
    """What it takes to call an app: the token and its type, when it ends if that is known, and what addresses are filled with.

    `version` names it to `refused`.
    """

    token: Masked | None
    type: str
    expires_at: datetime | None
    fields: Mapping[str, str]
    version: int


def use(connection: Connection, *, by: Actor, workflow: Workflow | None = None) -> Credential:
    """Hand out a credential that works as far as is known, refreshed if its end is near; recorded with who asked, and for what.

    Conflict where the owner has to reconnect it first; ProviderFailed where its time is over and the provider gives no new one.
    """
    told = {"workflow": workflow.public_id} if workflow is not None else {}
    return _handed(connection.id, Asking(by, told), beyond=0)


def refused(connection: Connection, version: int, *, by: Actor, workflow: Workflow | None = None) -> Credential:
    """Hand out another credential than one that the app refused: it may end earlier than its provider or our clock said.

    Where it can't be refreshed the app itself is asked whether it is dead: then the connection is broken, and that is a Conflict.
    """
    told = {"workflow": workflow.public_id} if workflow is not None else {}
    connection_id = connection.id
    standing = freshness.standing_of(connection_id)
    if not standing.refreshable and standing.version == version:
        proving.prove(connection_id)
    return _handed(connection_id, Asking(by, told), beyond=version)


def refresh_now(connection: Connection, *, by: Actor) -> str:
    """Fetch a fresh token on its owner's word and ask the app whose it is; says the result in a sentence, or raises DomainError.

    Untested where there was neither to do. RateLimited after five times, tests among them, in a quarter of an hour: each asks the provider, which counts them.
    """
    standing = _asked_for(connection)
    app = scopes.app_of(standing).name
    if not standing.refreshable:
        text = _("%(app)s gives access that needs no refreshing, and can't be asked without using it.", app=app)
        return _proved(standing) or _untested(text)
    freshness.renew(standing, by=by)
    return _proved(standing) or _("The access to %(app)s was refreshed.", app=app)


def test(connection: Connection, *, by: Actor) -> str:
    """Ask the app whose credential it is, with the one that is there; refreshed only where that is due anyhow.

    Says the result in a sentence, or raises DomainError, Untested where there was nothing to do; as often as `refresh_now`.
    """
    standing, at = _asked_for(connection), clock.now()
    app = scopes.app_of(standing).name
    if standing.refreshable and freshness.is_due(standing, at=at) and not freshness.is_put_off(standing, at=at):
        freshness.renew(standing, by=by)
        return _proved(standing) or _("The access to %(app)s was refreshed.", app=app)
    return _proved(standing) or _untested(_("%(app)s can't be asked without using it.", app=app))


def _asked_for(connection: Connection) -> Row:
    """How a connection stands that somebody wants refreshed or tested now, if the provider may be asked for it once more."""
    runtime.current().keys.require()
    standing, at = freshness.standing_of(connection.id), clock.now()
    if refusal := freshness.paused(standing, at=at):
        raise refusal
    if standing.refresh_lease is not None:
        raise freshness.UnderWay(_("It is being refreshed just now."))
    key = f"refreshes of {standing.public_id}"
    if not counters.hit_lately(key, at=at, window=LATELY, limit=PRESSES):
        seconds = counters.seconds_to_wait(key, at=at, window=LATELY, limit=PRESSES)
        minutes = math.ceil(seconds / 60)
        raise RateLimited(
            ngettext(
                "This was tried five times in a quarter of an hour. Try again in a minute.",
                "This was tried five times in a quarter of an hour. Try again in %(num)s minutes.",
                minutes,
            ),
            retry_after=seconds,
        )
    return standing


def _proved(standing: Row) -> str:
    """What the app says of it; nothing where it can't be asked."""
    identity = proving.prove(standing.id)
    if identity is None:
        return ""
    app = scopes.app_of(standing).name
    return _("Connected and working: %(app)s says it is %(account)s.", app=app, account=identity.label)


def _untested(text: str) -> NoReturn:
    raise Untested(text)


@dataclass(frozen=True)
class Asking:
    """Who asks for a credential, and what is recorded besides."""

    by: Actor
    told: Mapping[str, str]


def _handed(connection_id: int, asking: Asking, *, beyond: int) -> Credential:
    """Hand out what is stored, or what it was refreshed to; `beyond`: not that version, where there is a way to another."""
    runtime.current().keys.require()
    is_settled = False
    for _round in range(ROUNDS):
        found = _take(connection_id, asking, beyond=beyond, is_settled=is_settled)
        if isinstance(found, Credential):
            return found
        is_valid = found.version != beyond and freshness.is_valid(found, at=clock.now())
        outcome = freshness.refresh(found, waits=not is_valid)
        if isinstance(outcome, OAuthError) and not is_valid:
            raise freshness.failed(found, outcome.code)
        is_settled = is_valid or outcome is Ending.RENEWED
    raise freshness.too_slow(found)


def _take(connection_id: int, asking: Asking, *, beyond: int, is_settled: bool) -> Credential | Row:
    """Hand out what is stored if that will do, with the record of it; else how the connection stands."""
    at = clock.now()
    with transaction():
        standing = refresh_rows.IN_USE(connection=connection_id).one_or_none()
        freshness.check(standing)
        if not is_settled and _is_wanting(standing, beyond=beyond, at=at):
            standing = refresh_rows.STANDING(connection=connection_id).one()
            freshness.check(standing)
            if _is_to_be_refreshed(standing, beyond=beyond, at=at):
                return standing
        parts = secrets.opened(standing)
        subject = Subject("connection", standing.public_id, standing.workspace_id)
        audit.record("connection.used", subject, by=asking.by, at=at, app=standing.app_key, **asking.told)
        if standing.used_at is None or abs(at - standing.used_at) >= USED_AT_MOST:
            refresh_rows.USED(connection=standing.id, moment=at)
        # point: credential.used
    return Credential(
        token=parts.get("access_token"),
        type=parts["token_type"].reveal() if "token_type" in parts else "",
        expires_at=standing.expires_at,
        fields={**standing.fields, **standing.kept},
        version=standing.version,
    )


def _is_wanting(standing: Row, *, beyond: int, at: datetime) -> bool:
    """Whether another token than the one that stands there is wanted, and there is a way to it."""
    return bool(standing.refreshable) and (standing.version == beyond or freshness.is_due(standing, at=at))


def _is_to_be_refreshed(standing: Row, *, beyond: int, at: datetime) -> bool:
    """Whether a connection is to be refreshed, or waited for, before it is of use; ProviderFailed if that can't be now.

    Not if somebody has done it between two looks, or is at it, or the provider is to be left alone, while the token is still good.
    """
    if not _is_wanting(standing, beyond=beyond, at=at):
        return False
    is_good = standing.version != beyond and freshness.is_valid(standing, at=at)
    if standing.refresh_lease is not None:
        return not is_good
    if not freshness.is_put_off(standing, at=at):
        return True
    if is_good:
        return False
    raise freshness.failed(standing, standing.health_reason or Fault.UNAVAILABLE)

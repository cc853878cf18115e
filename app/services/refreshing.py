"""One refresh of one connection: begun under a lease, asked of the provider with nothing open here, and settled.

The lease, and that the provider may have been asked, are committed together at the last moment before the call: a process
that dies before that has changed nothing.
"""

import contextlib
import logging
import secrets as random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from app import clock
from app.catalog.schema import App
from app.database import in_transaction, new_public_id, transaction
from app.models import Health
from app.oauth.answers import TokenError
from app.oauth.client import ClientCredentials
from app.oauth.endpoints import Endpoints
from app.oauth.faults import Fault, OAuthError
from app.oauth.refresh import DEADLINE, refresh
from app.oauth.token import Token
from app.prepared import Row
from app.services import (
    audit,
    late_tokens,
    lifetimes,
    mending,
    oauth_clients,
    pauses,
    refresh_plans,
    refresh_rows,
    scopes,
    secrets,
)
from app.services.audit import SYSTEM, Actor, Subject
from app.tenancy import acting_for
from app.vault import Masked, Sealed

FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=1)
INSISTS, PAUSE = (
    30.0,
    0.5,
)  # seconds: how long a database may be away before a new token is given up, and how often to look
GRACE = DEADLINE + 8.0  # seconds that a refresh under way has, storing included, when its process is asked to end
TOLD = frozenset({Fault.MISCONFIGURED, Fault.ERROR})  # what does not pass by itself, and is not the client's to mend
_under_way: set[object] = set()
_log = logging.getLogger(__name__)


class Ending(StrEnum):
    """How a refresh ended."""

    RENEWED = "renewed"
    STALE = "stale"  # another credential was in its place by then
    ENDED = "ended"  # the grant is gone
    PUT_OFF = "put_off"  # it may succeed later


@dataclass(frozen=True)
class Work:
    """A refresh that this process has the lease of, with all that the call takes."""

    standing: Row
    lease: str
    app: App
    client: ClientCredentials | None
    credential: dict[str, Masked]
    at: datetime
    by: Actor


@dataclass(frozen=True)
class Done:
    """How a refresh ended; `cause` says why it was put off, and `until` when."""

    ending: Ending
    cause: str = ""
    until: datetime | None = None


def begin(connection_id: int, *, version: int, at: datetime, lease: str = "", by: Actor = SYSTEM) -> Work | None:
    """Take the lease and make ready; None if somebody else has it, or another version is stored by now.

    Within a transaction, to be committed at the last moment before the call. Whoever makes no call then, or can't tell
    whether it was committed, is to `free` the lease, which they may name for that.
    """
    lease = lease or new_public_id()
    if refresh_rows.TAKE(connection=connection_id, holder=lease, moment=at).rowcount != 1:
        return None
    standing = refresh_rows.STANDING(connection=connection_id).one()
    if standing.version != version or not standing.refreshable:
        refresh_rows.FREED(connection=connection_id, holder=lease)
        return None
    # point: refresh.taken
    return _work(standing, lease, secrets.opened(standing), at=at, by=by)


def begin_last(connection_id: int, *, at: datetime) -> Work | None:
    """The same for a connection that was revoked, so that its provider, which wants a token that works, can end its access."""
    lease = new_public_id()
    if refresh_rows.TAKE_LAST(connection=connection_id, holder=lease, moment=at).rowcount != 1:
        return None
    standing = refresh_rows.STANDING(connection=connection_id).one()
    return _work(standing, lease, secrets.opened_revoked(standing), at=at, by=SYSTEM)


def _work(standing: Row, lease: str, credential: dict[str, Masked], *, at: datetime, by: Actor) -> Work:
    client = oauth_clients.of(standing)
    credentials = ClientCredentials(client.client_id, client.client_secret) if client else None
    return Work(standing, lease, scopes.app_of(standing), credentials, credential, at, by)


def free(connection_id: int, lease: str) -> None:
    """Give back a lease that no call was made for, if it is held at all."""
    with transaction():
        refresh_rows.FREED(connection=connection_id, holder=lease)


def call(work: Work) -> Token | OAuthError:
    """Ask the provider: the only part that waits for it. Nothing of the database is open meanwhile."""
    standing, refresh_token = work.standing, work.credential.get("refresh_token")
    if work.client is None or refresh_token is None or not standing.endpoints:
        return TokenError(Fault.MISCONFIGURED)
    try:
        return refresh(
            work.app,
            work.client,
            Endpoints(**standing.endpoints),
            refresh_token=refresh_token,
            fields={**standing.fields, **standing.kept},
            scopes=tuple(standing.scopes),
            at=work.at,
        )
    except OAuthError as error:
        return error
    except Exception:  # noqa: BLE001 - the lease must not be left behind by a mistake of ours
        _log.exception("refresh failed")
        return TokenError(Fault.ERROR)


def settle(work: Work, answer: Token | OAuthError) -> Done:
    """Store what came of it. Whoever was overtaken meanwhile changes nothing, and what they bring is given back.

    It insists while the database is away, or the key: a token that was exchanged and not stored is a grant lost.
    """
    deadline = time.monotonic() + INSISTS
    while True:
        try:
            return _settled(work, answer, at=clock.now())
        except (DBAPIError, Sealed) as error:
            if in_transaction() or isinstance(error, DataError | IntegrityError) or time.monotonic() > deadline:
                raise
            time.sleep(PAUSE)


def _settled(work: Work, answer: Token | OAuthError, *, at: datetime) -> Done:
    with acting_for(work.standing.agency_id), transaction():
        held = refresh_rows.HELD(connection=work.standing.id).one_or_none()
        is_same = held is not None and (held.secret_id, held.version) == (
            work.standing.secret_id,
            work.standing.version,
        )
        if not is_same:
            refresh_rows.FREED(connection=work.standing.id, holder=work.lease)
            is_of_what_lives = held is not None and held.secret_id == work.standing.secret_id
            if isinstance(answer, Token) and not is_of_what_lives and not _goes_on(work, held, answer, at=at):
                late_tokens.hold(work.standing, answer, exchanged=work.credential["refresh_token"], at=at)
            return Done(Ending.STALE)
        if isinstance(answer, Token):
            return _save(work, held, answer, at=at)
        if isinstance(answer, TokenError) and answer.ends_grant:
            mending.mark_broken(held, answer.code, at=at)
            refresh_rows.FREED(connection=held.id, holder=work.lease)
            # point: refresh.ended
            return Done(Ending.ENDED)
        return _put_off(work, answer, at=at)


def _goes_on(work: Work, held: Row | None, token: Token, *, at: datetime) -> bool:
    """Keep the refresh token that came, where what is stored by now still goes by the one that was given for it.

    So it does once its owner approved it anew meanwhile and the provider gave no refresh token with that.
    """
    exchanged, rotated = work.credential["refresh_token"], token.refresh_token
    if held is None or rotated is None or rotated == exchanged:
        return False
    standing = refresh_rows.STANDING(connection=held.id).one()
    living = secrets.opened_revoked(standing)
    if living.get("refresh_token") != exchanged:
        return False
    parts = {name: value.reveal() for name, value in living.items()} | {"refresh_token": rotated.reveal()}
    version = secrets.replace(standing, parts, at=at)
    if version is None:
        raise RuntimeError("A secret changed without its connection.")
    _record("connection.refreshed", work, by=work.by, at=at)
    moments = {"expires_at": standing.expires_at, "token_at": standing.token_at, "at": at}
    refresh_plans.put(standing, version, agency_id=standing.agency_id, **moments)
    return True


def _save(work: Work, held: Row, token: Token, *, at: datetime) -> Done:
    """Keep the new token, which no one has used yet. A grant that was taken for lost is not: here is a token of it."""
    standing = work.standing
    refresh_token = token.refresh_token or work.credential["refresh_token"]
    parts = {name: value.reveal() for name, value in work.credential.items()} | {
        "access_token": token.access_token.reveal(),
        "refresh_token": refresh_token.reveal(),
        "token_type": token.token_type,
    }
    # point: refresh.saving
    version = secrets.replace(standing, parts, at=at)
    if version is None:
        raise RuntimeError("A secret changed without its connection.")
    # point: refresh.sealed
    is_back = held.health is Health.ERROR and mending.mended(held, at=at)
    refresh_rows.SAVED(
        connection=standing.id,
        to_client_id=work.client.client_id if work.client else standing.client_id,
        to_token_at=work.at,
        to_expires_at=token.expires_at,
        to_grant_ends_at=_grant_ends(work, token, refresh_token, at=at),
        to_scopes=list(token.scopes) if token.scopes is not None else standing.scopes,
        to_kept={**standing.kept, **token.kept},
        to_refreshable=True,
        to_health_reason=None if is_back or held.health is not Health.ERROR else held.health_reason,
    )
    _record("connection.refreshed", work, by=work.by, at=at)
    refresh_plans.put(
        standing, version, agency_id=standing.agency_id, expires_at=token.expires_at, token_at=work.at, at=at
    )
    # point: refresh.saved
    return Done(Ending.RENEWED)


def _grant_ends(work: Work, token: Token, refresh_token: Masked, *, at: datetime) -> datetime | None:
    standing = work.standing
    ends = lifetimes.grant_ends(work.app, token, granted_at=standing.granted_at or at, at=at)
    if ends is None and refresh_token == work.credential["refresh_token"]:
        return standing.grant_ends_at  # type: ignore[no-any-return]  # the same refresh token, of which nothing new was said
    return ends


def _put_off(work: Work, error: OAuthError, *, at: datetime) -> Done:
    """Leave it for later, longer each time; nothing else changes but what staff are told of a fault that is not the client's."""
    standing = work.standing
    failures = standing.refresh_failures + 1
    pause = max(wait(failures), timedelta(seconds=error.retry_after or 0))
    put_off = refresh_rows.LATER(
        connection=standing.id,
        holder=work.lease,
        to_refresh_failures=failures,
        to_refresh_failed_at=at,
        to_refresh_after=at + pause,
        to_health_reason=str(error.code) if error.code in TOLD else None,
    )
    # point: refresh.failing
    if put_off.rowcount == 1:
        pauses.keep_all(pauses.of_one(standing), error.retry_after, at=at)
        if failures == 1:
            _record("connection.refresh_failed", work, by=work.by, at=at, cause=str(error.code))
    return Done(Ending.PUT_OFF, str(error.code), at + pause)


def wait(failures: int) -> timedelta:
    """How long to leave it after so many failures: twice as long each time, an hour at most, give or take a quarter."""
    exact: timedelta = min(FIRST_WAIT * 2 ** min(failures - 1, 16), LONGEST_WAIT)
    return exact * random.SystemRandom().uniform(0.75, 1.25)


def are_under_way() -> bool:
    """Whether somebody's request of this process waits for a provider: it is not to be ended meanwhile."""
    return bool(_under_way)


@contextlib.contextmanager
def waited_for() -> Iterator[None]:
    """Count what goes on meanwhile as a refresh that somebody's request waits for."""
    mark = object()
    _under_way.add(mark)
    try:
        yield
    finally:
        _under_way.discard(mark)


def _record(act: str, work: Work, *, by: Actor, at: datetime, **told: str) -> None:
    subject = Subject("connection", work.standing.public_id, work.standing.workspace_id)
    audit.record(act, subject, by=by, at=at, app=work.standing.app_key, **told)


def attempt(connection_id: int, *, version: int, by: Actor = SYSTEM) -> tuple[Done, Token | OAuthError] | None:
    """Refresh a connection; None where it is not this process's to do, as `begin` says."""
    lease = new_public_id()
    try:
        with transaction():
            work = begin(connection_id, version=version, lease=lease, at=clock.now(), by=by)
    except DBAPIError:  # it may have been committed all the same
        with contextlib.suppress(DBAPIError):
            free(connection_id, lease)
        raise
    if work is None:
        return None
    with waited_for():
        # point: refresh.called
        answer = call(work)
        # point: refresh.answered
        return settle(work, answer), answer

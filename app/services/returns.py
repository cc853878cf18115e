"""Returns: a revoked connection's access is given back at its provider, and its secret shredded whatever comes of that."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from sqlalchemy import select

from app import clock
from app.database import end_reading, lock, transaction
from app.extensions import db
from app.models import Connection, Health, Revocation
from app.oauth.faults import OAuthError
from app.oauth.identify import Identity
from app.services import audit, giving_back, lifetimes, refreshing, scopes, secrets
from app.services.audit import SYSTEM
from app.services.giving_back import Access, NotGivenBack, Tokens
from app.tenancy import acting_for
from app.vault import VaultError

TRIES_FOR = timedelta(days=1)
REFRESH_TAKES = timedelta(minutes=5)  # at most, its lease included
SOON = 5  # seconds
Written = tuple[int | None, int]


def give_back(connection_id: int, *, agency_id: int, is_interrupted: bool = False) -> bool:
    """Ask a revoked connection's provider to end its access, and shred it; false if there is nothing to give back any more.

    Raises NotGivenBack until a day after it was revoked. Whoever has it connected again while the provider is asked wins:
    what they brought stays, and is only as good as its next use finds it. `is_interrupted`: a token of it may have been lost with
    a process, so that what the provider says of the one before is no word on all of it.
    """
    with acting_for(agency_id):
        connection = db.session.get(Connection, connection_id, populate_existing=True)
        if connection is None or not _is_wanted(connection):
            return False
        known, until = _written(connection), (connection.revoked_at or clock.now()) + TRIES_FOR

        def renew() -> Tokens | None:
            nonlocal known
            tokens, known = _renewed(connection_id)
            return tokens

        try:
            _wait_for_refresh(connection)
            outcome = _ask(connection, renew)
        except NotGivenBack as error:
            if clock.now() < until:
                raise NotGivenBack(error.retry_after, until=until) from None
            outcome = Revocation.UNCONFIRMED
    if is_interrupted and outcome is Revocation.CONFIRMED:
        outcome = Revocation.UNCONFIRMED
    # point: access.asked
    return _settle(connection_id, outcome, agency_id=agency_id, known=known, at=clock.now())


def give_up(connection_id: int, *, agency_id: int, at: datetime) -> None:
    """Shred what could not be given back in the end: it is not kept for longer than it takes to try."""
    _settle(connection_id, Revocation.UNCONFIRMED, agency_id=agency_id, known=None, at=at)


def clients(connection_ids: Collection[int]) -> dict[int, str | None]:
    """The OAuth client of each of these connections, by its id: those of one are given back at the same provider."""
    found = db.session.execute(
        select(Connection.id, Connection.app_key, Connection.oauth_client).where(Connection.id.in_(connection_ids))
    )
    return {row.id: row.oauth_client or row.app_key for row in found}


def _is_wanted(connection: Connection) -> bool:
    return connection.health is Health.REVOKED and connection.revocation is Revocation.PENDING


def _written(connection: Connection) -> Written:
    """Which writing of its secret stands now: a refresh that was under way puts another in its place."""
    return connection.secret_id, connection.secret.version if connection.secret else 0


def _wait_for_refresh(connection: Connection) -> None:
    """A refresh that was under way may still bring another token in place of the one that is here."""
    if connection.refresh_lease and connection.revoked_at and clock.now() < connection.revoked_at + REFRESH_TAKES:
        raise NotGivenBack(SOON)


def _renewed(connection_id: int) -> tuple[Tokens | None, Written]:
    """Have its access token refreshed, and stored for the next try; none if its provider says that the grant is gone.

    That is no proof of it: a refresh token may have been lost with a process. Whoever brings another one meanwhile wins.
    """
    with transaction():
        work = refreshing.begin_last(connection_id, at=clock.now())
    if work is None:
        raise NotGivenBack(SOON)
    answer = refreshing.call(work)
    done = refreshing.settle(work, answer)
    if done.ending is refreshing.Ending.PUT_OFF and isinstance(answer, OAuthError):
        raise NotGivenBack(answer.retry_after or 0)
    if done.ending is refreshing.Ending.STALE:
        raise NotGivenBack(SOON)
    connection = db.session.get_one(Connection, connection_id, populate_existing=True)
    if not _is_wanted(connection):
        raise NotGivenBack(SOON)
    known = _written(connection)
    tokens = secrets.reveal_revoked(connection) if done.ending is refreshing.Ending.RENEWED else None
    end_reading()
    return tokens, known


def _ask(connection: Connection, renew: Callable[[], Tokens | None]) -> Revocation:
    try:
        tokens = secrets.reveal_revoked(connection)
    except VaultError:  # what does not open can't be given back
        return Revocation.UNCONFIRMED
    # point: access.opened
    account = None
    if connection.external_id is not None:
        account = Identity(issuer=connection.issuer, id=connection.external_id, label=connection.account or "")
    can_refresh = "refresh_token" in tokens
    access = Access(
        app=scopes.app_of(connection),
        agency_id=connection.agency_id,
        oauth_client=connection.oauth_client,
        client_id=connection.client_id,
        account=account,
        endpoints=connection.endpoints or {},
        fields={**connection.fields, **connection.kept},
        tokens=tokens,
        ends_at=lifetimes.token_ends(connection.token_at, connection.expires_at, refreshable=can_refresh),
    )
    outcome = giving_back.ask(access, renew=renew)
    return Revocation(outcome) if outcome in set(Revocation) else Revocation.UNCONFIRMED


def _settle(connection_id: int, outcome: Revocation, *, agency_id: int, known: Written | None, at: datetime) -> bool:
    """Say what came of it, and shred the secret; false, with nothing changed, if it was connected again meanwhile."""
    with acting_for(agency_id), transaction() as session:
        connection = session.get_one(Connection, connection_id)
        lock(connection)
        if not _is_wanted(connection):
            return False
        if known is not None and _written(connection) != known:
            raise NotGivenBack(SOON)  # a refresh that ended just now brought another token
        connection.revocation, connection.updated_at = outcome, at
        secrets.destroy(connection)
        # point: access.shredding
        app, said = connection.app_key, outcome.value
        audit.record("connection.discarded", connection, by=SYSTEM, at=at, app=app, outcome=said)
        return True

"""Whether a connection's token is fresh, and having it refreshed by whoever gets to it first."""

from datetime import datetime, timedelta

from app import clock
from app.database import end_reading
from app.errors import Conflict, NotFound, ProviderFailed
from app.i18n import _, ngettext
from app.models import Health
from app.oauth.faults import Fault, OAuthError
from app.oauth.refresh import DEADLINE
from app.prepared import Row
from app.services import causes, lifetimes, pauses, refresh_rows, refresh_waits, refreshing, scopes
from app.services.audit import SYSTEM, Actor

PATIENCE = DEADLINE + 5.0  # seconds that one waits for another's refresh
LONGEST_PAUSE = timedelta(days=1)  # what says more was written by a clock that has been set since


class UnderWay(Conflict):
    """Somebody else refreshes it at this moment."""


def check(standing: Row | None) -> None:
    """Conflict for a connection that is of no use until somebody does something; NotFound for one that is gone."""
    if standing is None or standing.deleted_at is not None:
        raise NotFound
    if standing.health is Health.REVOKED:
        raise Conflict(_("This connection was revoked."))
    if standing.health is Health.ERROR or standing.version is None:
        why = causes.words(standing.health_reason, scopes.app_of(standing).name)
        raise Conflict(_("This connection needs to be reconnected. %(why)s", why=why))


def is_due(standing: Row, *, at: datetime) -> bool:
    """Whether its token should be refreshed; one that comes from the future was stored by a clock that has been set since."""
    due_at = lifetimes.refresh_due(standing.token_at, standing.expires_at)
    if due_at is None:
        return False
    return at >= due_at or (standing.token_at is not None and at < standing.token_at - lifetimes.AMISS)


def is_valid(standing: Row, *, at: datetime) -> bool:
    """Whether its token has not ended yet; one that can't be refreshed is used until the provider refuses it."""
    ends = lifetimes.token_ends(standing.token_at, standing.expires_at, refreshable=standing.refreshable)
    return ends is None or at < ends or not standing.refreshable


def is_put_off(standing: Row, *, at: datetime) -> bool:
    """Whether the provider is to be left alone for now: it failed a moment ago, or asked for a pause."""
    if pauses.minutes_left(max(standing.paused_until or 0, standing.refreshes_paused_until or 0), at=at):
        return True
    failed_at, until = standing.refresh_failed_at, standing.refresh_after
    if failed_at is not None and at < failed_at - lifetimes.AMISS:
        return False  # it failed by a clock that has been set since: nobody knows how long ago
    return until is not None and at < until and until - at <= LONGEST_PAUSE


def refresh(standing: Row, *, by: Actor = SYSTEM, waits: bool = True) -> OAuthError | refreshing.Ending | None:
    """Have the credential that stands there be refreshed, by this process or by whoever is at it; None for the latter.

    `waits`: until they are done, which takes little longer than the provider may; then what they stored is there.
    """
    is_taken = standing.refresh_lease is not None
    done = None if is_taken else refreshing.attempt(standing.id, version=standing.version, by=by)
    if done is None:
        if waits:
            _wait(standing)
        return None
    (how, answer) = done
    return answer if isinstance(answer, OAuthError) and how.ending is refreshing.Ending.PUT_OFF else how.ending


def renew(standing: Row, *, by: Actor) -> None:
    """Have it refreshed on a person's word, which counts for more than our own waiting, but not than the provider's.

    ProviderFailed where there is no new token for now, Conflict where the grant has ended, UnderWay where somebody else is at it:
    nobody who presses a button waits for that.
    """
    if refusal := paused(standing, at=clock.now()):
        raise refusal
    outcome = refresh(standing, by=by, waits=False)
    if outcome is None:
        raise UnderWay(_("It is being refreshed just now."))
    if isinstance(outcome, OAuthError):
        raise failed(standing, outcome.code)
    if standing_of(standing.id).version == standing.version:
        raise failed(standing, Fault.UNAVAILABLE)


def _wait(standing: Row) -> None:
    """Wait until whoever refreshes it is done, or there is nothing to wait for any more."""
    refresh_waits.wait(
        (standing.id, standing.version),
        agency_id=standing.agency_id,
        is_over=lambda: _is_over(standing),
        patience=PATIENCE,
        refusal=too_slow(standing),
    )


def _is_over(standing: Row) -> bool:
    now = refresh_rows.WAITED_FOR(connection=standing.id).one_or_none()
    end_reading()
    if now is None or now.refresh_lease is None or now.version != standing.version:
        return True
    return now.health not in (Health.PENDING, Health.ACTIVE)


def standing_of(connection_id: int) -> Row:
    """How a connection stands now, with its sealed secret; NotFound."""
    standing = refresh_rows.STANDING(connection=connection_id).one_or_none()
    end_reading()
    check(standing)
    return standing


def failed(standing: Row, cause: str) -> ProviderFailed:
    """What to say where the provider gives no new token for now."""
    app = scopes.app_of(standing).name
    again = _("Try again in a few minutes.")
    return ProviderFailed(f"{causes.words(cause, app)} {again}", code=str(cause))


def too_slow(standing: Row) -> ProviderFailed:
    """What to say to who waited for too long."""
    app = scopes.app_of(standing).name
    return ProviderFailed(_("%(app)s takes long to answer. Try again in a minute.", app=app), code=Fault.UNAVAILABLE)


def paused(standing: Row, *, at: datetime) -> ProviderFailed | None:
    """What to say where the provider itself asked to be left alone."""
    left = pauses.minutes_left(standing.paused_until, at=at)
    if not left:
        return None
    app = scopes.app_of(standing).name
    text = ngettext(
        "%(app)s asked to be left alone for a minute.",
        "%(app)s asked to be left alone for %(num)s minutes.",
        left,
        app=app,
    )
    return ProviderFailed(text, code=Fault.LIMITED)

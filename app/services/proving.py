"""Proofs that a connection works: the app is asked whose credential it is."""

from app import clock
from app.catalog.protocol import Source
from app.database import end_reading, transaction
from app.errors import DomainError
from app.oauth.client import ClientCredentials
from app.oauth.endpoints import Endpoints
from app.oauth.faults import Fault, OAuthError
from app.oauth.identify import Identity, identify
from app.oauth.token import Token
from app.prepared import Row
from app.services import freshness, mending, oauth_clients, pauses, refresh_rows, scopes, secrets
from app.services.audit import SYSTEM
from app.tenancy import acting_for
from app.vault import Masked

SUSPECT = frozenset({Fault.CREDENTIAL, Fault.REFUSED})
FINAL = frozenset({Fault.CREDENTIAL, Fault.MISMATCH})


def prove(connection_id: int) -> Identity | None:
    """Ask the app whose a connection's credential is; None where there is nothing to ask.

    The first proof makes it active. A credential that the app seems not to accept is refreshed once if it can be; if it is told to
    be no good all the same, or is another account's, the connection is broken, which is a Conflict. ProviderFailed for any other
    refusal, which may pass, and if the app gives no answer.
    """
    standing = freshness.standing_of(connection_id)
    try:
        identity = _asked(standing)
    except OAuthError as error:
        if error.code not in SUSPECT or not standing.refreshable:
            raise _failure(standing, error) from None
        freshness.renew(standing, by=SYSTEM)
        standing = freshness.standing_of(connection_id)
        try:
            identity = _asked(standing)
        except OAuthError as again:
            raise _failure(standing, again) from None
    if identity is None:
        return None
    if standing.external_id is not None and (identity.issuer, identity.id) != (standing.issuer, standing.external_id):
        raise _failure(standing, OAuthError(Fault.MISMATCH))
    with acting_for(standing.agency_id), transaction():
        refresh_rows.PROVED(connection=standing.id)
        # point: connection.proved
    return identity


def _failure(standing: Row, error: OAuthError) -> DomainError:
    pauses.keep_all(pauses.of_one(standing), error.retry_after, at=clock.now())
    if error.code in FINAL:
        mending.mark_broken(standing, error.code, at=clock.now(), version=standing.version)
        freshness.standing_of(standing.id)  # says why, unless it was replaced meanwhile
    return freshness.failed(standing, error.code)


def _asked(standing: Row) -> Identity | None:
    """Whose credential it is; None where the app tells that with the consent alone."""
    app, at = scopes.app_of(standing), clock.now()
    if app.oauth2 is None or app.oauth2.identity.source is not Source.API or not standing.endpoints:
        return None
    client = oauth_clients.of(standing)
    parts = secrets.opened(standing)
    end_reading()
    if "access_token" not in parts:
        return None
    return identify(
        app,
        Endpoints(**standing.endpoints),
        _token(parts, standing),
        nonce=None,
        fields=standing.fields,
        client=ClientCredentials(client.client_id, client.client_secret) if client else ClientCredentials(""),
        at=at,
    )


def _token(parts: dict[str, Masked], standing: Row) -> Token:
    return Token(
        access_token=parts["access_token"], refresh_token=parts.get("refresh_token"), kept=dict(standing.kept)
    )  # fmt: skip

"""Every OAuth app of the catalog goes the whole way: what its file declares fits what the protocol does."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app import clock, oauth
from app.catalog import load
from app.catalog.protocol import ExpiresAs, ScopeAs
from app.oauth import RevokeOutcome, TokenError
from tests.sandbox.flow import Connector, Flow
from tests.sandbox.person import Person

KEYS = [app.key for app in load() if app.oauth2]
HOUR, LONG = timedelta(hours=1), timedelta(days=60)


@pytest.mark.parametrize("key", KEYS)
def test_app_goes_the_whole_way(connect: Connector, person: Person, key: str) -> None:
    flow = connect(key)

    begun, token, identity = flow.connect(person)

    _is_granted_whole(flow, begun.scopes, token)
    _ends_when_it_should(flow, token)
    assert identity.id
    assert identity.label
    assert flow.call_api(token).json()["account"] == person.email
    fresh = _refreshes(flow, begun, token)
    _revokes(flow, begun, fresh)


@pytest.mark.parametrize("key", KEYS)
def test_account_keeps_its_id_and_another_has_another(connect: Connector, key: str) -> None:
    with Person("ana@one.example") as ana, Person("ana@one.example") as again, Person("bo@two.example") as bo:
        ids = [connect(key).connect(each)[2].id for each in (ana, again, bo)]

    assert ids[0] == ids[1] != ids[2]


def test_catalog_holds_what_this_is_about() -> None:
    assert len(KEYS) > 15


def _is_granted_whole(flow: Flow, asked: tuple[str, ...], token: oauth.Token) -> None:
    reports = flow.ways.reported.scope_as is not ScopeAs.NONE and bool(asked)
    assert (token.scopes is not None) or not reports
    assert oauth.missing(asked, token.scopes, flow.app) == ()


def _ends_when_it_should(flow: Flow, token: oauth.Token) -> None:
    if flow.ways.token.expires_as is ExpiresAs.ABSENT:
        assert token.expires_at is None
        return
    assert token.expires_at is not None
    life = LONG if flow.ways.exchange else HOUR
    assert abs(token.expires_at - clock.now() - life) < timedelta(minutes=1)
    assert (token.refresh_expires_at is not None) is bool(flow.ways.token.refresh_expires)


def _refreshes(flow: Flow, begun: oauth.Authorization, token: oauth.Token) -> oauth.Token:
    """Where there is a refresh token it works, once if it rotates; the fresh access token works too."""
    if token.refresh_token is None:
        assert flow.ways.exchange or flow.ways.token.expires_as is ExpiresAs.ABSENT
        return token
    fresh = flow.refresh(begun, token.refresh_token)
    assert fresh.access_token.reveal() != token.access_token.reveal()
    assert flow.call_api(fresh).status_code == 200
    assert (fresh.refresh_token != token.refresh_token) is flow.ways.rotation
    if flow.ways.rotation:
        with pytest.raises(TokenError) as caught:
            flow.refresh(begun, token.refresh_token)
        assert caught.value.ends_grant
    return fresh


def _revokes(flow: Flow, begun: oauth.Authorization, token: oauth.Token) -> None:
    outcome = flow.revoke(begun, token)
    if flow.ways.revoke is None:
        assert outcome is RevokeOutcome.UNSUPPORTED
        return
    assert outcome is RevokeOutcome.CONFIRMED
    assert flow.call_api(token).status_code == 401
    assert flow.revoke(begun, token) is RevokeOutcome.CONFIRMED, "what is gone already counts as revoked"
    if token.refresh_token:
        with pytest.raises(TokenError) as caught:
            flow.refresh(begun, token.refresh_token)
        assert caught.value.ends_grant

"""Quirks that an app may have and none of the built-in ones has at the moment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app import clock, oauth
from app.catalog import Catalog
from app.catalog.protocol import (
    Body,
    ClientAuth,
    Condition,
    ExpiresAs,
    Identity,
    Keep,
    OAuth2,
    Reported,
    Revoke,
    RevokeAuth,
    RevokeStyle,
    ScopeAs,
    Source,
    TokenAnswer,
)
from app.catalog.schema import Api, App, Field
from app.oauth import Fault, RevokeOutcome, TokenError
from app.sandbox import Mode, Provider, create_sandbox, provider_of
from tests.sandbox.flow import PANEL, Connector
from tests.sandbox.person import Person
from tests.support.servers import serve_in_thread

HERE = "https://acme.example"
SCOPES = {"openid": "Recognise you", "read": "Read", "write": "Write"}


def an_app(key: str, *, api: Api | None = None, fields: tuple[Field, ...] = (), **ways: Any) -> App:
    whole = {
        "authorize_url": f"{HERE}/authorize",
        "token_url": f"{HERE}/token",
        "default_scopes": ("read", "write"),
        "identity": Identity(url=f"{HERE}/me", id=("id",), label=("name",)),
        **ways,
    }
    return App(
        key=key,
        name=key.capitalize(),
        category="Test",
        website=HERE,
        api=api or Api(base_url=HERE),
        fields=fields,
        scopes=SCOPES,
        oauth2=OAuth2(**whole),
    )


APPS = [
    an_app(
        "discovered",
        authorize_url="",
        token_url="",
        discovery_url=f"{HERE}/.well-known/openid-configuration",
        default_scopes=("openid", "read"),
        nonce=True,
        iss_required=True,
        identity=Identity(
            source=Source.ID_TOKEN, id=("tid", "sub"), label=("profile.team_name", "email"), email="email"
        ),
        token=TokenAnswer(expires_as=ExpiresAs.UNIX),
    ),
    an_app(
        "renamed",
        rename={"client_id": "key", "state": "keep_this", "grant_type": "kind", "refresh_token": "renewal"},
        client_auth=ClientAuth.POST,
        rotation=True,
        token=TokenAnswer(
            access_token="data.tokens.0.value",
            refresh_token="data.tokens.1.value",
            expires="data.until",
            expires_as=ExpiresAs.UNIX_MS,
            refresh_expires="data.renew_for",
            error="problem.code",
            ok=Condition(path="status", equals="fine"),
            grant_ended=("gone_for_good",),
        ),
        reported=Reported(path="data.scopes", scope_as=ScopeAs.LIST, prefix="acme:", aliases={"lesen": "read"}),
    ),
    an_app(
        "formal",
        client_auth=ClientAuth.BASIC,
        token=TokenAnswer(format=Body.FORM, expires_as=ExpiresAs.STRING),
        revoke=Revoke(
            url=f"{HERE}/tokens/{{token}}",
            style=RevokeStyle.DELETE_PATH,
            method="DELETE",
            auth=RevokeAuth.NONE,
            body=Body.NONE,
        ),
        identity=Identity(url=f"{HERE}/who/{{access_token}}", auth="", id=("sub",), label=("login",)),
    ),
    an_app(
        "regional",
        fields=(Field(name="region", label="Region", pattern="eu|us", default="eu"),),
        api=Api(
            base_url="https://{region}.acme.example", auth="Basic {client_id}:{access_token}", headers={"X-V": "2"}
        ),
        token_url="https://{region}.acme.example/token",
        callback_keep=(Keep(path="zone", name="zone", pattern="[a-z]{2}", same_as="region", required=True),),
        authorize_url="https://{region}.acme.example/authorize",
        identity=Identity(
            url="https://{region}.acme.example/{zone}/me",
            id=("id",),
            label=("company.name",),
            ok=Condition(path="error.code", equals=0),
        ),
        token=TokenAnswer(expires_as=ExpiresAs.DATETIME, expires="ends"),
        revoke=Revoke(url="https://{region}.acme.example/revoke", auth=RevokeAuth.POST, params={"all": "{client_id}"}),
    ),
]


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with serve_in_thread(name="127.0.0.1") as served:
        app = create_sandbox(Catalog({one.key: one for one in APPS}), base_url=served.url, panel_url=PANEL, demo=True)
        served.app = app
        yield provider_of(app)


@pytest.fixture
def connect(provider: Provider) -> Connector:
    provider.switches.reset()
    return Connector(provider)


@pytest.mark.parametrize("key", [app.key for app in APPS])
def test_app_goes_the_whole_way(connect: Connector, person: Person, key: str) -> None:
    flow = connect(key)

    begun, token, identity = flow.connect(person)

    assert identity.id
    assert identity.label
    assert oauth.missing(begun.scopes, token.scopes, flow.app) == ()
    assert token.expires_at
    assert 3500 < (token.expires_at - clock.now()).total_seconds() <= 3600
    assert flow.call_api(token).json()["account"] == person.email
    assert token.refresh_token
    fresh = flow.refresh(begun, token.refresh_token)
    outcome = flow.revoke(begun, fresh)
    assert outcome is (RevokeOutcome.CONFIRMED if key != "renamed" else RevokeOutcome.UNSUPPORTED)


def test_discovered_app_is_known_by_its_issuer(connect: Connector, person: Person) -> None:
    begun, _, identity = connect("discovered").connect(person)

    assert identity.issuer == begun.endpoints.issuer
    assert begun.endpoints.iss_required
    assert identity.email == person.email


@pytest.mark.parametrize(("key", "fault"), [("renamed", Fault.GRANT_ENDED), ("formal", Fault.GRANT_ENDED)])
def test_error_is_told_in_the_apps_own_way(connect: Connector, person: Person, key: str, fault: Fault) -> None:
    flow = connect(key)
    begun, token, _ = flow.connect(person)
    assert token.refresh_token
    connect.provider.switches.set(key, Mode.DENY_REFRESH)

    with pytest.raises(TokenError) as caught:
        flow.refresh(begun, token.refresh_token)

    assert caught.value.code is fault


def test_another_region_is_refused(connect: Connector, person: Person) -> None:
    flow = connect("regional")
    begun = flow.begin()
    callback = person.approve(begun.url)
    flow.fields = {"region": "us"}

    with pytest.raises(oauth.OAuthError):
        flow.exchange(begun, callback)


def test_partial_grant_is_seen_through_other_spellings(connect: Connector, person: Person) -> None:
    flow = connect("renamed")
    begun = flow.begin()

    token = flow.exchange(begun, person.approve(begun.url, leaving_out="read"))

    assert oauth.missing(begun.scopes, token.scopes, flow.app) == ("read",)

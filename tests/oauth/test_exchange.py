"""What is sent for a code, and where."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from urllib.parse import parse_qsl

import pytest

from app.catalog.protocol import (
    Body,
    ClientAuth,
    Exchange,
    Keep,
)
from app.catalog.schema import Field
from app.oauth import ClientCredentials, Fault, TokenError
from app.vault import Masked
from tests.oauth.factories import AT, KEEPS, PLAIN, REDIRECT, an_app, answer, echo, exchanged, serve


def form_of(call):
    return dict(parse_qsl(call.get_data(as_text=True), keep_blank_values=True))


def test_exchange_sends_what_rfc_6749_says(provider):
    calls = echo(provider, "/token", PLAIN)

    exchanged(an_app(provider))

    (call,) = calls
    assert call.method == "POST"
    assert call.headers["Accept"] == "application/json"
    assert form_of(call) == {
        "grant_type": "authorization_code",
        "code": "canary-code",
        "redirect_uri": REDIRECT,
        "code_verifier": "v" * 64,
        "client_id": "client-1",
        "client_secret": "canary-client-secret",
    }
    assert "Authorization" not in call.headers


RESERVED = ClientCredentials("id:1 /é", Masked("s%e:c+r&e=t ~"))


def test_exchange_encodes_the_client_before_basic(provider):
    calls = echo(provider, "/token", PLAIN)

    exchanged(an_app(provider, client_auth=ClientAuth.BASIC), client=RESERVED)

    scheme, _, credential = calls[0].headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(credential).decode() == "id%3A1+%2F%C3%A9:s%25e%3Ac%2Br%26e%3Dt+~"
    assert not {"client_id", "client_secret"} & form_of(calls[0]).keys()


def test_exchange_keeps_reserved_characters_in_a_form(provider):
    calls = echo(provider, "/token", PLAIN)

    exchanged(an_app(provider), client=RESERVED)

    sent = form_of(calls[0])
    assert (sent["client_id"], sent["client_secret"]) == ("id:1 /é", "s%e:c+r&e=t ~")


@pytest.mark.parametrize("auth", [ClientAuth.NONE, ClientAuth.POST])
def test_exchange_of_a_public_client_names_it_alone(provider, auth):
    calls = echo(provider, "/token", PLAIN)

    exchanged(an_app(provider, client_auth=auth), client=ClientCredentials("public"))

    assert form_of(calls[0])["client_id"] == "public"
    assert "client_secret" not in form_of(calls[0])


def test_exchange_sends_json_where_it_is_wanted(provider):
    calls = echo(provider, "/token", PLAIN)

    exchanged(an_app(provider, token_body=Body.JSON, client_auth=ClientAuth.BASIC))

    assert calls[0].headers["Content-Type"] == "application/json"
    assert json.loads(calls[0].get_data()) == {
        "grant_type": "authorization_code",
        "code": "canary-code",
        "redirect_uri": REDIRECT,
        "code_verifier": "v" * 64,
    }


def test_exchange_speaks_the_providers_dialect(provider):
    calls = echo(provider, "/token", PLAIN)
    region = Field(name="region", label="Region", pattern="[a-z]+")
    app = an_app(
        provider,
        fields=(region,),
        pkce=False,
        rename={"client_id": "client_key", "code": "auth_code"},
        token_params={"audience": "{region}", "body": "x", "headers": "y", "partner": "{client_id}"},
    )

    exchanged(app, fields={"region": "eu"}, verifier=None)

    sent = form_of(calls[0])
    assert (sent["client_key"], sent["auth_code"], sent["client_secret"]) == (
        "client-1",
        "canary-code",
        "canary-client-secret",
    )
    assert (sent["audience"], sent["body"], sent["headers"], sent["partner"]) == ("eu", "x", "y", "client-1")
    assert not {"client_id", "code", "code_verifier"} & sent.keys()


def test_exchange_goes_where_the_callback_said_and_no_further(provider):
    calls = echo(provider, "/eu/token", PLAIN)
    host = provider.url_for("/").rstrip("/")
    place = Keep(path="location", name="location", pattern="eu|us")
    app = an_app(provider, token_url=host + "/{location}/token", callback_keep=(place,))

    token = exchanged(app, kept={"location": "eu"})

    assert len(calls) == 1
    assert token.kept == {"location": "eu"}
    for lie in ({"location": "../x"}, {"location": "ru"}, {}):
        with pytest.raises(TokenError) as failure:
            exchanged(app, kept=lie)
        assert failure.value.code is Fault.MISCONFIGURED
    assert len(calls) == 1


def test_exchange_is_sent_once_and_follows_no_redirect(provider):
    provider.expect_request("/token").respond_with_data("", status=307, headers={"Location": "/elsewhere"})

    with pytest.raises(TokenError) as failure:
        exchanged(an_app(provider))

    assert failure.value.code is Fault.GARBAGE
    assert [call.path for call, _ in provider.log] == ["/token"]


# A long-lived one


def test_exchange_trades_for_a_long_lived_token(provider):
    serve(provider, "/token", answer(scope="read", expires_in=60))
    calls = echo(provider, "/long", {"access_token": "long", "token_type": "bearer", "expires_in": 5_184_000})
    way = Exchange(
        url=provider.url_for("/long"),
        params={
            "grant_type": "fb_exchange_token",
            "client_id": "{client_id}",
            "client_secret": "{client_secret}",
            "fb_exchange_token": "{access_token}",
        },
    )

    token = exchanged(an_app(provider, exchange=way, response_keep=(KEEPS[2],)))

    assert dict(calls[0].args) == {
        "grant_type": "fb_exchange_token",
        "client_id": "client-1",
        "client_secret": "canary-client-secret",
        "fb_exchange_token": "canary-access",
    }
    assert (token.access_token, token.expires_at) == (Masked("long"), AT + timedelta(days=60))
    assert (token.scopes, token.kept) == (("read",), {"domain": "us"})


def test_exchange_trades_by_post_too_and_fails_whole(provider):
    serve(provider, "/token", PLAIN)
    calls = echo(provider, "/long", {"error": {"message": "no", "type": "OAuthException"}})
    way = Exchange(url=provider.url_for("/long"), method="POST", params={"token": "{access_token}"})

    with pytest.raises(TokenError) as failure:
        exchanged(an_app(provider, exchange=way))

    assert failure.value.code is Fault.ERROR
    assert form_of(calls[0]) == {"token": "canary-access"}

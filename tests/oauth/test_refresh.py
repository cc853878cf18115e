"""Refreshing a grant."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qsl

import pytest

from app.catalog.protocol import Body, ClientAuth, Condition, Keep, TokenAnswer
from app.oauth import Fault, TokenError, refresh
from app.vault import Masked
from tests.oauth.factories import AT, CLIENT, an_app, echo, ends_of, serve

PLAIN = {"access_token": "new", "token_type": "bearer", "expires_in": 3600}


def refreshed(app, *, fields=None, ends=None):
    return refresh(
        app,
        CLIENT,
        ends or ends_of(app),
        refresh_token=Masked("canary-old"),
        fields=fields or {},
        scopes=("read",),
        at=AT,
    )


def test_refresh_sends_what_rfc_6749_says(provider):
    calls = echo(provider, "/token", PLAIN)

    refreshed(an_app(provider))

    assert dict(parse_qsl(calls[0].get_data(as_text=True))) == {
        "grant_type": "refresh_token",
        "refresh_token": "canary-old",
        "client_id": "client-1",
        "client_secret": "canary-client-secret",
    }


def test_refresh_goes_to_its_own_address_in_the_providers_dialect(provider):
    calls = echo(provider, "/eu/refresh", PLAIN)
    app = an_app(
        provider,
        refresh_url=provider.url_for("/").rstrip("/") + "/{location}/refresh",
        callback_keep=(Keep(path="location", name="location", pattern="eu|us"),),
        client_auth=ClientAuth.BASIC,
        token_body=Body.JSON,
        refresh_params={"approval": "{location}"},
        rename={"refresh_token": "refreshToken"},
    )

    refreshed(app, fields={"location": "eu"})

    assert calls[0].get_json() == {"approval": "eu", "grant_type": "refresh_token", "refreshToken": "canary-old"}
    assert calls[0].headers["Authorization"].startswith("Basic ")


def test_refresh_keeps_the_old_refresh_token_when_none_comes(provider):
    serve(provider, "/token", PLAIN)

    token = refreshed(an_app(provider))

    assert (token.access_token, token.refresh_token) == (Masked("new"), Masked("canary-old"))
    assert (token.expires_at, token.scopes) == (AT + timedelta(hours=1), None)


@pytest.mark.parametrize("odd", [None, "", 7, "with space"])
def test_refresh_keeps_the_old_refresh_token_when_nonsense_comes(provider, odd):
    serve(provider, "/token", {**PLAIN, "refresh_token": odd})

    assert refreshed(an_app(provider)).refresh_token == Masked("canary-old")


def test_refresh_takes_a_rotated_refresh_token(provider):
    serve(provider, "/token", {**PLAIN, "refresh_token": "rotated", "scope": "read"})

    token = refreshed(an_app(provider))

    assert (token.refresh_token, token.scopes) == (Masked("rotated"), ("read",))


def test_refresh_reads_an_answer_that_is_nested_only_at_first(provider):
    serve(provider, "/token", {"ok": True, "access_token": "new", "refresh_token": "rotated", "expires_in": 3600})
    way = TokenAnswer(
        access_token="authed_user.access_token",
        refresh_token="authed_user.refresh_token",
        expires="authed_user.expires_in",
        ok=Condition(path="ok", equals=True),
    )

    token = refreshed(an_app(provider, token=way))

    assert (token.access_token, token.refresh_token) == (Masked("new"), Masked("rotated"))
    assert token.expires_at == AT + timedelta(hours=1)


def test_refresh_wants_nothing_kept_a_second_time(provider):
    serve(provider, "/token", {**PLAIN, "domain": "eu"})
    keeps = (
        Keep(path="instance_url", name="instance", pattern="https://.*", required=True),
        Keep(path="domain", name="domain", pattern="[a-z]+", default="us"),
        Keep(path="zone", name="zone", pattern="[a-z]+", default="z"),
    )

    assert refreshed(an_app(provider, response_keep=keeps)).kept == {"domain": "eu"}


@pytest.mark.parametrize(
    ("status", "document", "code", "ends"),
    [
        (400, {"error": "invalid_grant"}, Fault.GRANT_ENDED, True),
        (200, {"error": "invalid_grant"}, Fault.GRANT_ENDED, True),
        (400, {"error": "invalid_refresh_token"}, Fault.GRANT_ENDED, True),
        (400, {"error": "invalid_request"}, Fault.ERROR, False),
        (401, {"error": "invalid_client"}, Fault.MISCONFIGURED, False),
        (400, {"error": "unauthorized_client"}, Fault.MISCONFIGURED, False),
        (500, {"error": "invalid_grant"}, Fault.UNAVAILABLE, False),
        (429, {"error": "invalid_grant"}, Fault.LIMITED, False),
        (503, b"", Fault.UNAVAILABLE, False),
        (403, b"<html>", Fault.GARBAGE, False),
        (200, b"<html>", Fault.GARBAGE, False),
        (200, {}, Fault.GARBAGE, False),
        (400, b"invalid_grant", Fault.GARBAGE, False),
    ],
)
def test_refresh_ends_a_grant_for_its_listed_errors_alone(provider, status, document, code, ends):
    serve(provider, "/token", document, status=status)

    with pytest.raises(TokenError) as failure:
        refreshed(an_app(provider, token=TokenAnswer(grant_ended=("invalid_grant", "invalid_refresh_token"))))

    assert (failure.value.code, failure.value.ends_grant) == (code, ends)


def test_refresh_ends_no_grant_in_silence(provider):
    app = an_app(provider)

    with pytest.raises(TokenError) as failure:
        refreshed(app, ends=replace(ends_of(app), refresh="http://127.0.0.1:1025/token"))

    assert failure.value.retryable
    assert not failure.value.ends_grant


def test_refresh_logs_no_token(provider, caplog):
    serve(provider, "/token", {"error": "x", "error_description": "canary-old canary-client-secret"}, status=400)

    with pytest.raises(TokenError):
        refreshed(an_app(provider))

    assert "app=acme" in caplog.text
    assert "canary-" not in caplog.text

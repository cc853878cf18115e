"""Exchanging codes, over the table of all that providers answer."""

from __future__ import annotations

import base64
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from urllib.parse import parse_qsl

import pytest
from werkzeug import Response

from app.catalog.protocol import (
    Body,
    ClientAuth,
    Condition,
    Exchange,
    ExpiresAs,
    Keep,
    Reported,
    ScopeAs,
    TokenAnswer,
)
from app.catalog.schema import Field
from app.oauth import ClientCredentials, Fault, TokenError, begin, exchange
from app.vault import Masked
from tests.oauth.factories import AT, CLIENT, REDIRECT, an_app, echo, ends_of, serve

HOUR = AT + timedelta(hours=1)
PLAIN = {"access_token": "canary-access", "token_type": "Bearer", "expires_in": 3600}


def exchanged(app, *, client=CLIENT, kept=None, fields=None, scopes=("read",), ends=None, verifier="v" * 64):
    return exchange(
        app,
        client,
        ends or ends_of(app, **(fields or {})),
        code=Masked("canary-code"),
        verifier=Masked(verifier) if verifier else None,
        redirect_uri=REDIRECT,
        fields=fields or {},
        kept=kept or {},
        scopes=scopes,
        at=AT,
    )


def form_of(call):
    return dict(parse_qsl(call.get_data(as_text=True), keep_blank_values=True))


# What is sent


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


# What comes back


def answer(**members):
    return {**PLAIN, **members}


GOOD = {
    "plain": ({}, answer(), {"expires_at": HOUR, "refresh_token": None, "scopes": None}),
    "refresh": ({}, answer(refresh_token="r"), {"refresh_token": Masked("r")}),
    "null refresh": ({}, answer(refresh_token=None), {"refresh_token": None}),
    "odd refresh": ({}, answer(refresh_token=7), {"refresh_token": None}),
    "scope": ({}, answer(scope="read write"), {"scopes": ("read", "write")}),
    "scope empty": ({}, answer(scope=""), {"scopes": ()}),
    "scope null": ({}, answer(scope=None), {"scopes": None}),
    "scope object": ({}, answer(scope={"a": 1}), {"scopes": None}),
    "scope list": (
        {"reported": Reported(path="scopes", scope_as=ScopeAs.LIST)},
        answer(scopes=["write", "read"]),
        {"scopes": ("read", "write")},
    ),
    "scope commas": ({"reported": Reported(separator=",")}, answer(scope="read,write"), {"scopes": ("read", "write")}),
    "scope elsewhere": (
        {"reported": Reported(path="team.scope")},
        answer(team={"scope": "read"}),
        {"scopes": ("read",)},
    ),
    "scope never": ({"reported": Reported(scope_as=ScopeAs.NONE)}, answer(scope="x"), {"scopes": None}),
    "scope alias": ({"reported": Reported(aliases={"r": "read"})}, answer(scope="r"), {"scopes": ("read",)}),
    "scope prefixed": (
        {"reported": Reported(prefix="https://api/")},
        answer(scope="https://api/read"),
        {"scopes": ("read",)},
    ),
    "no type": ({}, {"access_token": "a"}, {"token_type": "bearer", "expires_at": None}),
    "odd type": ({}, answer(token_type=["x"]), {"token_type": "bearer"}),
    "id token": ({}, answer(id_token="a.b.c"), {"id_token": Masked("a.b.c")}),
    "error empty": ({}, answer(error=""), {"expires_at": HOUR}),
    "error null": ({}, answer(error=None), {"expires_at": HOUR}),
    "error false": ({}, answer(error=False), {"expires_at": HOUR}),
    "error ok": ({}, answer(error="ok"), {"expires_at": HOUR}),
    "error 0": ({"token": TokenAnswer(error="errcode")}, answer(errcode=0), {"expires_at": HOUR}),
    "ok flag": ({"token": TokenAnswer(ok=Condition(path="ok", equals=True))}, answer(ok=True), {"expires_at": HOUR}),
    "nested": (
        {
            "token": TokenAnswer(
                access_token="authed_user.access_token",
                refresh_token="authed_user.refresh_token",
                expires="authed_user.expires_in",
            )
        },
        {
            "ok": True,
            "access_token": "bot",
            "authed_user": {"access_token": "user", "refresh_token": "r", "expires_in": 60},
        },
        {"access_token": Masked("user"), "refresh_token": Masked("r"), "expires_at": AT + timedelta(minutes=1)},
    ),
    "in a list": (
        {"token": TokenAnswer(access_token="data.0.token")},
        {"data": [{"token": "a"}]},
        {"access_token": Masked("a")},
    ),
    "dotted name": ({"token": TokenAnswer(access_token="a.b")}, {"a.b": "x"}, {"access_token": Masked("x")}),
    "refresh ends": (
        {"token": TokenAnswer(refresh_expires="x_refresh")},
        answer(x_refresh=86400),
        {"refresh_expires_at": AT + timedelta(days=1)},
    ),
    "bot type": ({}, answer(token_type="bot"), {"token_type": "bot"}),
}


@pytest.mark.parametrize("case", GOOD)
def test_exchange_reads_a_token(provider, case):
    quirks, document, expected = GOOD[case]
    serve(provider, "/token", document)

    token = exchanged(an_app(provider, **quirks), scopes=("read", "write"))

    for name, value in expected.items():
        assert getattr(token, name) == value, name


EXPIRY = [
    (ExpiresAs.SECONDS, 3600, HOUR),
    (ExpiresAs.SECONDS, "3600", HOUR),
    (ExpiresAs.SECONDS, " 3600 ", HOUR),
    (ExpiresAs.SECONDS, 3600.9, HOUR),
    (ExpiresAs.STRING, "3600", HOUR),
    (ExpiresAs.UNIX, int(HOUR.timestamp()), HOUR),
    (ExpiresAs.UNIX, str(int(HOUR.timestamp())), HOUR),
    (ExpiresAs.UNIX_MS, int(HOUR.timestamp()) * 1000, HOUR),
    (ExpiresAs.DATETIME, "2026-11-20T13:00:00Z", HOUR),
    (ExpiresAs.DATETIME, "2026-11-20T15:00:00+02:00", HOUR),
    (ExpiresAs.DATETIME, "2026-11-20T13:00:00", HOUR),
    (ExpiresAs.ABSENT, 3600, None),
    *((way, value, None) for way in (ExpiresAs.SECONDS, ExpiresAs.UNIX, ExpiresAs.UNIX_MS, ExpiresAs.DATETIME)
      for value in (None, "", 0, -1, "-1", 1e99, "1e99", "NaN", "Infinity", "-inf", True, False, [], {}, "soon", "9" * 5000)),
    (ExpiresAs.SECONDS, 1_795_000_000, None),
    (ExpiresAs.UNIX, int(AT.timestamp()) - 1, None),
    (ExpiresAs.DATETIME, "2020-01-01T00:00:00Z", None),
]  # fmt: skip


@pytest.mark.parametrize(("way", "value", "expected"), EXPIRY)
def test_exchange_reads_when_a_token_ends(provider, way, value, expected):
    serve(provider, "/token", answer(expires_in=value))

    token = exchanged(an_app(provider, token=TokenAnswer(expires_as=way)))

    assert token.expires_at == expected
    assert token.access_token == Masked("canary-access")


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 6000])
def test_exchange_reads_past_numbers_that_are_none(provider, number):
    serve(provider, "/token", b'{"access_token": "a", "expires_in": ' + number + b"}")

    assert exchanged(an_app(provider)).expires_at is None


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-8", "text/plain"]
)
def test_exchange_reads_a_form(provider, kind):
    serve(provider, "/token", b"access_token=a%2Fb&scope=read&expires_in=3600&token_type=bearer", content_type=kind)
    app = an_app(provider, token=TokenAnswer(format=Body.FORM if kind == "text/plain" else Body.JSON))

    token = exchanged(app)

    assert (token.access_token, token.scopes, token.expires_at) == (Masked("a/b"), ("read",), HOUR)


KEEPS = (
    Keep(path="instance_url", name="instance", pattern=r"https://[a-z]+\.acme\.example", required=True),
    Keep(path="team.id", name="team", pattern="[A-Z0-9]+"),
    Keep(path="domain", name="domain", pattern="[a-z]+", default="us"),
)


def test_exchange_keeps_what_the_catalog_names(provider):
    serve(provider, "/token", answer(instance_url="https://na.acme.example", team={"id": "T1"}))

    token = exchanged(an_app(provider, response_keep=KEEPS), kept={"realm": "9"})

    assert token.kept == {"realm": "9", "instance": "https://na.acme.example", "team": "T1", "domain": "us"}


@pytest.mark.parametrize(
    "members", [{}, {"instance_url": "https://evil.example"}, {"instance_url": ["https://na.acme.example"]}]
)
def test_exchange_refuses_what_does_not_fit_its_pattern(provider, members):
    serve(provider, "/token", answer(**members))

    with pytest.raises(TokenError) as failure:
        exchanged(an_app(provider, response_keep=KEEPS))

    assert failure.value.code is Fault.MISMATCH


BAD = {
    "invalid_grant": (400, {"error": "invalid_grant"}, Fault.GRANT_ENDED),
    "invalid_grant 200": (200, {"error": "invalid_grant"}, Fault.GRANT_ENDED),
    "INVALID_GRANT": (400, {"error": "INVALID_GRANT"}, Fault.GRANT_ENDED),
    "invalid_client": (401, {"error": "invalid_client"}, Fault.MISCONFIGURED),
    "redirect": (400, {"error": "redirect_uri_mismatch"}, Fault.MISCONFIGURED),
    "own": (400, {"error": "own_words"}, Fault.ERROR),
    "error beside token": (200, answer(error="own_words"), Fault.ERROR),
    "error object": (400, {"error": {"type": "OAuthException", "code": 190}}, Fault.ERROR),
    "error object kin": (400, {"error": {"code": "invalid_grant"}}, Fault.GRANT_ENDED),
    "error list": (400, {"error": [1]}, Fault.ERROR),
    "error true": (200, answer(error=True), Fault.ERROR),
    "rate": (429, {"error": "x"}, Fault.LIMITED),
    "rate html": (429, b"<html>", Fault.LIMITED),
    "rate 200": (200, {"error": "rate_limited"}, Fault.LIMITED),
    "500 grant": (500, {"error": "invalid_grant"}, Fault.UNAVAILABLE),
    "503": (503, b"", Fault.UNAVAILABLE),
    "502 html": (502, b"<html>Bad gateway</html>", Fault.UNAVAILABLE),
    "temporarily": (400, {"error": "temporarily_unavailable"}, Fault.UNAVAILABLE),
    "400 without error": (400, {"message": "no"}, Fault.GARBAGE),
    "400 with token": (400, PLAIN, Fault.GARBAGE),
    "302": (302, b"", Fault.GARBAGE),
    "html 200": (200, b"<html>canary</html>", Fault.GARBAGE),
    "empty": (200, b"", Fault.GARBAGE),
    "not utf-8": (200, b'{"access_token": "\xff\xfe"}', Fault.GARBAGE),
    "latin-1": (200, b'{"access_token": "a", "name": "\xe9"}', Fault.GARBAGE),
    "array": (200, [PLAIN], Fault.GARBAGE),
    "string": (200, "token", Fault.GARBAGE),
    "null": (200, None, Fault.GARBAGE),
    "deep": (200, b'{"a":' * 50_000, Fault.GARBAGE),
    "twice": (200, b'{"access_token": "a", "access_token": "b"}', Fault.GARBAGE),
    "no token": (200, {"token_type": "bearer"}, Fault.GARBAGE),
    "empty token": (200, answer(access_token=""), Fault.GARBAGE),
    "null token": (200, answer(access_token=None), Fault.GARBAGE),
    "number token": (200, answer(access_token=7), Fault.GARBAGE),
    "token with break": (200, answer(access_token="a\r\nX: y"), Fault.GARBAGE),
    "token with space": (200, answer(access_token="a b"), Fault.GARBAGE),
    "token beyond ascii": (200, answer(access_token="é"), Fault.GARBAGE),
    "huge token": (200, answer(access_token="a" * 20_000), Fault.GARBAGE),
    "dpop": (200, answer(token_type="DPoP"), Fault.GARBAGE),
    "mac": (200, answer(token_type="mac"), Fault.GARBAGE),
    "ten megabytes": (200, b'{"access_token": "a", "x": "' + b"y" * 10_000_000 + b'"}', Fault.GARBAGE),
}


@pytest.mark.parametrize("case", BAD)
def test_exchange_fails_with_a_code_of_ours(provider, case):
    status, document, code = BAD[case]
    serve(provider, "/token", document, status=status)

    with pytest.raises(TokenError) as failure:
        exchanged(an_app(provider))

    assert failure.value.code is code
    assert failure.value.retryable is (code in {Fault.LIMITED, Fault.UNAVAILABLE, Fault.GARBAGE})
    assert failure.value.ends_grant is (code is Fault.GRANT_ENDED)
    assert str(failure.value) == code.value


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"error=bad_verification_code&error_description=x", Fault.GRANT_ENDED),
        (b"error=incorrect_client_credentials", Fault.MISCONFIGURED),
        (b"access_token=a&access_token=b", Fault.GARBAGE),
        (b"access_token", Fault.GARBAGE),
        (b"hello=1", Fault.GARBAGE),
        (b"&".join(b"a%d=1" % n for n in range(500)), Fault.GARBAGE),
    ],
)
def test_exchange_fails_for_a_form_that_holds_no_token(provider, body, code):
    serve(provider, "/token", body, content_type="application/x-www-form-urlencoded")

    with pytest.raises(TokenError) as failure:
        exchanged(an_app(provider, token=TokenAnswer(format=Body.FORM, grant_ended=("bad_verification_code",))))

    assert failure.value.code is code


@pytest.mark.parametrize("document", [answer(ok=False, error="x"), answer(), answer(ok="true"), answer(ok=1)])
def test_exchange_believes_no_200_whose_flag_says_no(provider, document):
    serve(provider, "/token", document)

    with pytest.raises(TokenError):
        exchanged(an_app(provider, token=TokenAnswer(ok=Condition(path="ok", equals=True))))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        ("Fri, 20 Nov 2026 12:02:00 GMT", 120),
        ("Fri, 20 Nov 2026 11:00:00 GMT", 0),
        ("9" * 30, 86400),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_exchange_passes_on_when_to_try_again(provider, header, seconds):
    serve(provider, "/token", b"", status=429, **{"Retry-After": header})

    with pytest.raises(TokenError) as failure:
        exchanged(an_app(provider))

    assert failure.value.retry_after == seconds


def test_exchange_tells_silence_from_a_refused_address(provider):
    app = an_app(provider)

    with pytest.raises(TokenError) as silent:
        exchanged(app, ends=replace(ends_of(app), token="http://127.0.0.1:1025/token"))
    with pytest.raises(TokenError) as refused:
        exchanged(app, ends=replace(ends_of(app), token="https://10.0.0.1/token"))

    assert (silent.value.code, silent.value.retryable) == (Fault.UNAVAILABLE, True)
    assert (refused.value.code, refused.value.retryable) == (Fault.MISCONFIGURED, False)


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


# What must not leak


def test_exchange_logs_no_secret_even_if_the_provider_echoes_it(provider, caplog):
    caplog.set_level(logging.DEBUG)
    echoed = f"code canary-code verifier {'v' * 64} secret canary-client-secret"
    for path, document in (
        ("/a", {"error": "x", "error_description": echoed}),
        ("/b", {"error": {"message": echoed}}),
        ("/c", echoed.encode()),
    ):
        serve(provider, path, document, status=400)
        with pytest.raises(TokenError):
            exchanged(an_app(provider, token_url=provider.url_for(path)))

    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert logged.count("app=acme status=400") == 3
    assert "canary" not in logged
    assert "vvvv" not in logged


def test_token_hides_its_secrets(provider):
    serve(provider, "/token", answer(refresh_token="canary-refresh", id_token="canary.id.token", custom="canary-extra"))

    token = exchanged(an_app(provider))

    assert "canary" not in repr(token)
    assert "canary" not in f"{token}"
    assert token.answer["custom"] == "canary-extra"


def test_exchange_mixes_up_no_flows_of_many_threads(provider):
    def own(call):
        sent = dict(call.form)
        return Response(
            json.dumps({"access_token": f"{sent['code']}.{sent['code_verifier']}"}), content_type="application/json"
        )

    provider.expect_request("/token").respond_with_handler(own)
    app = an_app(provider)
    ends, start = ends_of(app), Barrier(8)

    def one(number: int) -> bool:
        if number < 8:
            start.wait(5)
        flow = begin(app, CLIENT, redirect_uri=REDIRECT, scopes=(), fields={})
        token = exchange(
            app,
            CLIENT,
            ends,
            code=Masked(f"code-{number}"),
            verifier=flow.code_verifier,
            redirect_uri=REDIRECT,
            fields={},
            kept={},
            scopes=(),
            at=datetime.now(UTC),
        )
        return token.access_token.reveal() == f"code-{number}.{flow.code_verifier.reveal()}"

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(one, range(120)))

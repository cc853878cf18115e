"""What comes back for a code, over the table of all that providers answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from app.catalog.protocol import (
    Body,
    Condition,
    ExpiresAs,
    Reported,
    ScopeAs,
    TokenAnswer,
)
from app.oauth import Fault, TokenError
from app.vault import Masked
from tests.oauth.factories import AT, HOUR, KEEPS, PLAIN, an_app, answer, ends_of, exchanged, serve

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

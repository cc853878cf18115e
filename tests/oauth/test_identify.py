"""Whose account it is, by a call or by what the token came with."""

from __future__ import annotations

import json

import pytest

from app.catalog.protocol import Condition, Identity, Keep, Source
from app.catalog.schema import Api, Field
from app.oauth import Fault, IdentityError, Token
from app.vault import Masked
from tests.oauth.factories import an_app, echo, identified, serve

# By a call


def test_identify_asks_the_app_with_its_own_authorization(provider):
    calls = echo(provider, "/me", {"id": 12345678901234567890, "name": "Jo Doe", "email": "jo@client.test"})
    api = Api(
        base_url=provider.url_for("/"),
        auth="Token {access_token}",
        headers={"X-Version": "3", "X-Client": "{client_id}"},
    )
    app = an_app(
        provider, api=api, identity=Identity(url=provider.url_for("/me"), id=("id",), label=("name",), email="email")
    )

    who = identified(app)

    assert (who.issuer, who.id, who.label, who.email) == (
        provider.url_for("/").rstrip("/"),
        "12345678901234567890",
        "Jo Doe",
        "jo@client.test",
    )
    assert calls[0].headers["Authorization"] == "Token canary-access"
    assert (calls[0].headers["X-Version"], calls[0].headers["X-Client"]) == ("3", "client-1")


@pytest.mark.parametrize("name", ["email_verified", "verified_email", "verified"])
@pytest.mark.parametrize(
    ("said", "is_told"), [(True, True), ("true", True), (None, True), (False, False), ("false", False)]
)
@pytest.mark.parametrize("place", ["", "user"])
def test_identify_gives_no_address_that_the_provider_calls_unproven(provider, name, said, is_told, place):
    person = {"id": "7", "email": "jo@client.test", name: said}
    echo(provider, "/me", {"id": "7", place: person} if place else person)
    path = f"{place}.email".lstrip(".")
    way = Identity(url=provider.url_for("/me"), id=("id",), label=(path,), email=path)

    who = identified(an_app(provider, identity=way))

    assert (who.label, who.email) == ("jo@client.test", "jo@client.test" if is_told else "")


def test_identify_posts_graphql(provider):
    calls = echo(provider, "/graphql", {"data": {"viewer": {"id": "u1", "name": "Jo"}}})
    way = Identity(
        url=provider.url_for("/graphql"),
        method="POST",
        graphql="{ viewer { id name } }",
        id=("data.viewer.id",),
        label=("data.viewer.name",),
    )

    who = identified(an_app(provider, identity=way))

    assert (who.id, who.label) == ("u1", "Jo")
    assert json.loads(calls[0].get_data()) == {"query": "{ viewer { id name } }"}


def test_identify_posts_a_form_without_authorization(provider):
    calls = echo(provider, "/me", {"id": "u1"})
    way = Identity(
        url=provider.url_for("/me"),
        method="POST",
        auth="",
        params={"token": "{access_token}", "secret": "{client_secret}"},
        id=("id",),
    )

    assert identified(an_app(provider, identity=way)).label == "u1"
    assert dict(calls[0].form) == {"token": "canary-access", "secret": "canary-client-secret"}
    assert "Authorization" not in calls[0].headers


def test_identify_calls_a_kept_host_with_the_token_in_the_path_and_reads_lists(provider):
    calls = echo(provider, "/eu/tokens/canary-access", [{"accounts": [{"id": "A1"}, {"id": "A2"}]}][0])
    place = Keep(path="location", name="location", pattern="eu|us")
    way = Identity(
        url=provider.url_for("/").rstrip("/") + "/{location}/tokens/{access_token}",
        id=("accounts.1.id", "{location}"),
        label=("none", "accounts.0.id"),
    )
    app = an_app(provider, identity=way, callback_keep=(place,))

    who = identified(app, Token(access_token=Masked("canary-access"), kept={"location": "eu"}))

    assert (who.id, who.label) == ("A2:eu", "A1")
    assert len(calls) == 1


def test_identify_joins_ids_so_that_no_two_accounts_meet(provider):
    way = Identity(url=provider.url_for("/me"), id=("a", "b"))
    seen = set()
    for pair in (("x:y", "z"), ("x", "y:z"), ("x%3Ay", "z")):
        provider.clear()
        serve(provider, "/me", {"a": pair[0], "b": pair[1]})
        seen.add(identified(an_app(provider, identity=way)).id)

    assert len(seen) == 3


def test_identify_keeps_what_the_call_tells(provider):
    serve(provider, "/me", {"id": "u1", "cloud": {"id": "c1"}})
    way = Identity(
        url=provider.url_for("/me"),
        id=("id", "{cloud}"),
        keep=(Keep(path="cloud.id", name="cloud", pattern="[a-z0-9]+", required=True),),
    )

    who = identified(an_app(provider, identity=way))

    assert (who.id, who.kept) == ("u1:c1", {"cloud": "c1"})
    provider.clear()
    serve(provider, "/me", {"id": "u1", "cloud": {"id": "../x"}})
    with pytest.raises(IdentityError) as failure:
        identified(an_app(provider, identity=way))
    assert failure.value.code is Fault.MISMATCH


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("  Jo \n\t Doe ", "Jo Doe"),
        ("Jo\u202eeoD", "JoeoD"),
        ("Jo\x00\x1b[31m", "Jo[31m"),
        ("Jo\u200b", "Jo"),
        ("e\u0301", "é"),
        ("<b>Jo</b>", "<b>Jo</b>"),
        ("y" * 500, "y" * 200),
        ("", "u1"),
        ("\u200b", "u1"),
        (None, "u1"),
        (["x"], "u1"),
    ],
)
def test_identify_makes_labels_fit_to_show(provider, said, shown):
    serve(provider, "/me", {"id": "u1", "name": said})

    assert identified(an_app(provider)).label == shown


@pytest.mark.parametrize(
    ("status", "document", "code"),
    [
        (401, {"error": "canary"}, Fault.CREDENTIAL),
        (401, {"error": "rate limited"}, Fault.CREDENTIAL),
        (403, b"<html>", Fault.REFUSED),
        (403, {"error": "insufficient_scope"}, Fault.REFUSED),
        (403, {"error": "invalid_token"}, Fault.CREDENTIAL),
        (403, {"message": "Access token has been revoked"}, Fault.CREDENTIAL),
        (403, {"message": "API rate limit exceeded. Authenticated callers get more."}, Fault.LIMITED),
        (403, {"message": "You have exceeded a secondary rate limit"}, Fault.LIMITED),
        (403, {"errors": [{"reason": "userRateLimitExceeded"}]}, Fault.LIMITED),
        (403, {"reason": "quotaExceeded"}, Fault.LIMITED),
        (403, {"message": "Temporarily blocked"}, Fault.UNAVAILABLE),
        (404, b"", Fault.ERROR),
        (429, b"", Fault.LIMITED),
        (500, b"", Fault.UNAVAILABLE),
        (302, b"", Fault.GARBAGE),
        (200, b"<html>", Fault.GARBAGE),
        (200, [], Fault.GARBAGE),
        (200, {}, Fault.GARBAGE),
        (200, {"id": None}, Fault.GARBAGE),
        (200, {"id": ""}, Fault.GARBAGE),
        (200, {"id": "  "}, Fault.GARBAGE),
        (200, {"id": True}, Fault.GARBAGE),
        (200, {"id": 1.5}, Fault.GARBAGE),
        (200, {"id": {"x": 1}}, Fault.GARBAGE),
        (200, {"id": "a\nb"}, Fault.GARBAGE),
        (200, {"id": "x" * 256}, Fault.GARBAGE),
        (200, b'{"id": "a", "id": "b"}', Fault.GARBAGE),
        (200, b'{"id": "' + b"x" * 2_000_000 + b'"}', Fault.GARBAGE),
    ],
)
def test_identify_fails_where_nobody_is_named(provider, status, document, code):
    serve(provider, "/me", document, status=status)

    with pytest.raises(IdentityError) as failure:
        identified(an_app(provider))

    assert failure.value.code is code


SLACK_DEAD = ["invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"]


def test_identify_believes_no_200_that_says_no(provider):
    serve(provider, "/me", {"ok": False, "id": "u1"})
    way = Identity(url=provider.url_for("/me"), id=("id",), ok=Condition(path="ok", equals=True))
    with pytest.raises(IdentityError) as flagged:
        identified(an_app(provider, identity=way))
    serve(provider, "/graphql", {"data": {"id": "u1"}, "errors": [{"message": "no"}]})
    way = Identity(url=provider.url_for("/graphql"), method="POST", graphql="{ id }", id=("data.id",))
    with pytest.raises(IdentityError) as graphql:
        identified(an_app(provider, identity=way))

    assert (flagged.value.code, graphql.value.code) == (Fault.REFUSED, Fault.REFUSED)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        *(({"ok": False, "error": error}, Fault.CREDENTIAL) for error in SLACK_DEAD),
        ({"ok": False, "error": "internal_error"}, Fault.UNAVAILABLE),
        ({"ok": False, "error": "fatal_error"}, Fault.UNAVAILABLE),
        ({"ok": False, "error": "service_unavailable"}, Fault.UNAVAILABLE),
        ({"ok": False, "error": "request_timeout"}, Fault.UNAVAILABLE),
        ({"ok": False, "error": "ratelimited"}, Fault.LIMITED),
        ({"ok": False, "error": "missing_scope"}, Fault.REFUSED),
        ({"ok": False, "active": False}, Fault.CREDENTIAL),
        ({"ok": False, "code": 40105, "message": "Access token is incorrect or has been revoked."}, Fault.CREDENTIAL),
        ({"ok": False, "errors": [{"message": "Not authenticated"}]}, Fault.CREDENTIAL),
        ({"ok": False, "errors": [{"extensions": {"code": "AUTHENTICATION_ERROR"}}]}, Fault.CREDENTIAL),
        ({"ok": False, "errors": [{"message": "Internal server error"}]}, Fault.UNAVAILABLE),
    ],
)
def test_identify_takes_a_refusal_for_what_it_says(provider, document, code):
    """Only what is about the token ends a connection."""
    serve(provider, "/me", document)
    way = Identity(url=provider.url_for("/me"), id=("id",), ok=Condition(path="ok", equals=True))

    with pytest.raises(IdentityError) as failure:
        identified(an_app(provider, identity=way))

    assert failure.value.code is code


@pytest.mark.parametrize(
    ("headers", "code", "pause"),
    [
        ({"Retry-After": "60"}, Fault.LIMITED, 60),
        ({"WWW-Authenticate": 'Bearer error="invalid_token"'}, Fault.CREDENTIAL, None),
        ({"WWW-Authenticate": 'Bearer error="insufficient_scope"'}, Fault.REFUSED, None),
    ],
)
def test_identify_reads_the_headers_of_a_refusal(provider, headers, code, pause):
    serve(provider, "/me", {}, status=403, **headers)

    with pytest.raises(IdentityError) as failure:
        identified(an_app(provider))

    assert (failure.value.code, failure.value.retry_after) == (code, pause)


def test_identify_logs_no_token(provider, caplog):
    serve(provider, "/me", {"error": "canary-access and canary-client-secret"}, status=401)

    with pytest.raises(IdentityError):
        identified(an_app(provider))

    assert "app=acme" in caplog.text
    assert "canary-" not in caplog.text


# By the token answer


def test_identify_reads_the_token_answer_and_calls_nobody(provider):
    way = Identity(source=Source.TOKEN_RESPONSE, id=("team.id", "authed_user.id"), label=("team.name",))
    token = Token(access_token=Masked("a"), answer={"team": {"id": "T1", "name": "Acme"}, "authed_user": {"id": "U1"}})

    who = identified(an_app(provider, identity=way), token)

    assert (who.id, who.label) == ("T1:U1", "Acme")
    assert not provider.log


def test_identify_asks_the_apps_own_function(provider):
    app = an_app(provider, identity=Identity(source=Source.TOKEN_RESPONSE, special="etsy_user"))

    assert identified(app, Token(access_token=Masked("a"), answer={"access_token": "123.abc"})).id == "123"
    with pytest.raises(IdentityError):
        identified(app, Token(access_token=Masked("a"), answer={"access_token": "abc"}))


def test_identify_tells_apart_the_same_id_at_two_hosts(provider):
    field = Field(name="sub", label="Sub", pattern="[a-z]+")
    way = Identity(source=Source.TOKEN_RESPONSE, id=("id",))
    app = an_app(provider, fields=(field,), identity=way, token_url="https://{sub}.acme.example/token")
    token = Token(access_token=Masked("a"), answer={"id": 1})

    assert {identified(app, token, fields={"sub": sub}).issuer for sub in ("a", "b")} == {
        "https://a.acme.example",
        "https://b.acme.example",
    }

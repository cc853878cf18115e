"""Whose account it is."""

from __future__ import annotations

import base64
import json

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from app.catalog.protocol import Condition, Identity, Keep, OAuth2, Source
from app.catalog.schema import Api, Field
from app.oauth import Endpoints, Fault, IdentityError, Token, identify
from app.oauth.endpoints import resolve
from app.vault import Masked
from tests.oauth.factories import AT, CLIENT, an_app, echo, serve

NOW = int(AT.timestamp())
TOKEN = Token(access_token=Masked("canary-access"))


def identified(app, token=TOKEN, *, nonce=None, fields=None, ends=None):
    fields = fields or {}
    return identify(app, ends or resolve(app, fields), token, nonce=nonce, fields=fields, client=CLIENT, at=AT)


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
        (403, b"<html>", Fault.CREDENTIAL),
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


def test_identify_believes_no_200_that_says_no(provider):
    serve(provider, "/me", {"ok": False, "id": "u1"})
    way = Identity(url=provider.url_for("/me"), id=("id",), ok=Condition(path="ok", equals=True))
    with pytest.raises(IdentityError) as flagged:
        identified(an_app(provider, identity=way))
    serve(provider, "/graphql", {"data": {"id": "u1"}, "errors": [{"message": "no"}]})
    way = Identity(url=provider.url_for("/graphql"), method="POST", graphql="{ id }", id=("data.id",))
    with pytest.raises(IdentityError) as graphql:
        identified(an_app(provider, identity=way))

    assert (flagged.value.code, graphql.value.code) == (Fault.CREDENTIAL, Fault.CREDENTIAL)


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


# By the id_token

RSA = RSAKey.generate_key(2048, {"kid": "r1", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "e1"})
STRANGER = RSAKey.generate_key(2048, {"kid": "r1"})
CLAIMS = {
    "iss": "https://issuer.example",
    "aud": "client-1",
    "sub": "u1",
    "exp": NOW + 300,
    "iat": NOW,
    "nonce": "n",
    "email": "jo@client.test",
}
BY_ID_TOKEN = Identity(source=Source.ID_TOKEN, id=("sub",), label=("email",), email="email")


def publish(provider, *keys, path="/keys"):
    serve(provider, path, {"keys": [key.as_dict(private=False) for key in keys]})


def signed(claims=None, key=RSA, alg="RS256", **header):
    return jwt.encode({"alg": alg, "kid": key.kid, **header}, {**CLAIMS, **(claims or {})}, key, algorithms=[alg])


def by_id_token(provider, raw, *, nonce="n", algorithms=("RS256", "ES256"), issuer="https://issuer.example"):
    app = an_app(provider, identity=BY_ID_TOKEN, id_token_algorithms=algorithms)
    base = provider.url_for("/").rstrip("/")
    ends = Endpoints(authorize=f"{base}/a", token=f"{base}/t", refresh=f"{base}/t", issuer=issuer, jwks=f"{base}/keys")
    token = Token(access_token=Masked("a"), id_token=Masked(raw) if raw is not None else None)
    return identified(app, token, nonce=nonce, ends=ends)


def without(*names):
    return {name: value for name, value in CLAIMS.items() if name not in names}


@pytest.mark.parametrize(("key", "alg"), [(RSA, "RS256"), (EC, "ES256")])
def test_identify_trusts_a_good_id_token(provider, key, alg):
    publish(provider, RSA, EC)

    who = by_id_token(provider, signed(key=key, alg=alg))

    assert (who.issuer, who.id, who.label, who.email) == (
        "https://issuer.example",
        "u1",
        "jo@client.test",
        "jo@client.test",
    )


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW - 60},  # within the leeway of two clocks
        {"iat": NOW + 60},
        {"aud": ["client-1"]},
        {"aud": ["client-1", "other"], "azp": "client-1"},
        {"azp": "client-1"},
        {"nbf": NOW},
        {"exp": NOW + 0.5},
    ],
)
def test_identify_trusts_what_core_allows(provider, claims):
    publish(provider, RSA)

    assert by_id_token(provider, signed(claims)).id == "u1"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"iss": "https://issuer.example/"},
        {"iss": None},
        {"iss": ["https://issuer.example"]},
        {"aud": "other"},
        {"aud": []},
        {"aud": None},
        {"aud": "client-1 "},
        {"aud": ["client-1", "other"]},
        {"aud": ["client-1", "other"], "azp": "other"},
        {"azp": "other"},
        {"exp": NOW - 121},
        {"exp": None},
        {"exp": "9999999999"},
        {"exp": True},
        {"nbf": NOW + 121},
        {"iat": NOW + 121},
        {"iat": "x"},
        {"nonce": "other"},
        {"nonce": None},
        {"nonce": ["n"]},
        {"sub": ""},
        {"sub": None},
        {"sub": 7},
        {"sub": "x" * 256},
    ],
)
def test_identify_refuses_an_id_token_that_is_not_for_us_now(provider, claims):
    publish(provider, RSA)

    with pytest.raises(IdentityError) as failure:
        by_id_token(provider, signed(claims))

    assert failure.value.code is Fault.MISMATCH


def unsigned(header, claims):
    parts = (json.dumps(part).encode() for part in (header, claims))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."


def test_identify_refuses_signatures_that_prove_nothing(provider):
    publish(provider, RSA, EC)
    good = signed()
    head, body, signature = good.split(".")
    public = RSA.as_pem(private=False)
    forged = [
        signed(key=STRANGER),
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{head}.{signed({'sub': 'u2'}).split('.')[1]}.{signature}",
        unsigned({"alg": "none"}, CLAIMS),
        unsigned({"alg": "None", "kid": "r1"}, CLAIMS),
        jwt.encode(
            {"alg": "HS256", "kid": "r1"},
            CLAIMS,
            OctKey.import_key(base64.urlsafe_b64encode(public)),
            algorithms=["HS256"],
        ),
        signed(alg="RS512"),
        signed(alg="PS256"),
        "",
        "a.b.c",
        "....",
        good + ".x.y",
        good.replace(".", " "),
    ]
    for raw in forged:
        with pytest.raises(IdentityError) as failure:
            by_id_token(provider, raw)
        assert failure.value.code is Fault.MISMATCH


def test_identify_never_takes_a_shared_secret_for_a_key(provider):
    secret = OctKey.import_key("canary-client-secret-of-some-length")
    serve(provider, "/keys", {"keys": [{**secret.as_dict(private=True), "kid": "s1"}]})
    raw = jwt.encode({"alg": "HS256", "kid": "s1"}, CLAIMS, secret, algorithms=["HS256"])

    with pytest.raises(IdentityError) as failure:
        by_id_token(provider, raw, algorithms=("HS256", "none"))

    assert failure.value.code is Fault.MISCONFIGURED


def test_identify_looks_for_an_unknown_key_again_but_not_for_every_stranger(provider, monkeypatch):
    from app.oauth import documents

    publish(provider, EC)
    with pytest.raises(IdentityError):
        by_id_token(provider, signed())
    assert len(provider.log) == 1
    provider.clear()
    publish(provider, RSA)
    with pytest.raises(IdentityError):
        by_id_token(provider, signed())
    assert not provider.log

    monkeypatch.setattr(documents, "MIN_AGE", 0.0)

    assert by_id_token(provider, signed()).id == "u1"
    assert len(provider.log) == 1


def test_identify_takes_no_key_that_is_for_encryption(provider):
    serve(provider, "/keys", {"keys": [{**RSA.as_dict(private=False), "use": "enc"}]})

    with pytest.raises(IdentityError):
        by_id_token(provider, signed())


def test_identify_asks_for_keys_once(provider):
    publish(provider, RSA)

    for _ in range(5):
        by_id_token(provider, signed())

    assert len(provider.log) == 1


def test_identify_passes_over_keys_it_cannot_read(provider):
    odd = [
        {"kty": "AKP", "kid": "pq"},
        {"kty": "RSA", "kid": "r1", "n": "!", "e": "AQAB"},
        {"kty": "RSA", "kid": "r1", "use": "enc"},
        "x",
        None,
        {"kid": "r1"},
    ]
    serve(provider, "/keys", {"keys": [*odd, RSA.as_dict(private=False)]})

    assert by_id_token(provider, signed()).id == "u1"


@pytest.mark.parametrize(
    ("keys", "code"),
    [(b"<html>", Fault.GARBAGE), ({"keys": "x"}, Fault.MISMATCH), ({}, Fault.MISMATCH), ([], Fault.GARBAGE)],
)
def test_identify_fails_without_keys(provider, keys, code):
    serve(provider, "/keys", keys)

    with pytest.raises(IdentityError) as failure:
        by_id_token(provider, signed())

    assert failure.value.code is code


def test_identify_wants_the_id_token_it_was_promised(provider):
    with pytest.raises(IdentityError) as failure:
        by_id_token(provider, None)

    assert failure.value.code is Fault.GARBAGE


def test_identify_takes_a_microsoft_issuer_for_its_tenant_alone(provider):
    publish(provider, RSA)
    tenant, issuer = "72f988bf-86f1-41af-91ab-2d7cd011db47", "https://login.example/{tenantid}/v2.0"

    who = by_id_token(provider, signed({"iss": f"https://login.example/{tenant}/v2.0", "tid": tenant}), issuer=issuer)

    assert who.issuer == f"https://login.example/{tenant}/v2.0"
    for claims in (
        {"iss": f"https://login.example/{tenant}/v2.0"},
        {"iss": "https://login.example/x/v2.0", "tid": "x"},
        {"iss": issuer, "tid": "{tenantid}"},
        {"iss": f"https://login.example/{tenant}/v2.0", "tid": [tenant]},
    ):
        with pytest.raises(IdentityError):
            by_id_token(provider, signed(claims), issuer=issuer)


def test_oauth2_allows_no_weak_algorithm_by_default():
    assert OAuth2().id_token_algorithms == ("RS256",)

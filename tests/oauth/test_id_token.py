"""Whose account it is, by an id_token."""

from __future__ import annotations

import base64
import json

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from app.catalog.protocol import Identity, OAuth2, Source
from app.oauth import Endpoints, Fault, IdentityError, Token
from app.vault import Masked
from tests.oauth.factories import NOW, an_app, identified, serve

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

"""Reading a callback."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import urlencode

import pytest

from app.catalog.protocol import Keep
from app.catalog.schema import Field
from app.oauth import CallbackRefused, Endpoints, Fault, ProviderDenied, ProviderError, read, state_of
from tests.oauth.factories import CLIENT, an_app

ENDS = Endpoints(authorize="https://a.example/a", token="https://a.example/t", refresh="https://a.example/t")
ISSUER = Endpoints(authorize=ENDS.authorize, token=ENDS.token, refresh=ENDS.refresh, issuer="https://a.example")
PROMISED = Endpoints(
    authorize=ENDS.authorize, token=ENDS.token, refresh=ENDS.refresh, issuer="https://a.example", iss_required=True
)


def reading(app, *pairs, ends=ENDS, fields=None):
    return read(app, pairs, ends, client=CLIENT, fields=fields or {})


def test_read_takes_the_code_and_hides_it(provider):
    params = reading(an_app(provider), ("code", "4/0Ab cd~"), ("state", "s"), ("scope", "a b"))

    assert params.code.reveal() == "4/0Ab cd~"
    assert params.kept == {}
    assert "0Ab" not in repr(params)


@pytest.mark.parametrize(
    "pairs",
    [
        (),
        (("state", "s"),),
        (("code", ""),),
        (("code", "a"), ("code", "b")),
        (("code", "a"), ("code", "a")),
        (("code", "a"), ("state", "s"), ("state", "s")),
        (("code", "a"), ("state", "s"), ("state", "t")),
        (("code", "a"), ("iss", "https://a.example"), ("iss", "https://a.example")),
        (("code", "a"), ("unknown", "1"), ("unknown", "2")),
        (("code", "a"), ("error", "access_denied")),
        (("error", "access_denied"), ("error", "server_error")),
        (("code", "a\nb"),),
        (("code", "a\0b"),),
        (("code", "é"),),
        (("code", "x" * 8193),),
    ],
)
def test_read_refuses_what_is_repeated_contradictory_or_no_code(provider, pairs):
    with pytest.raises(CallbackRefused) as refusal:
        reading(an_app(provider), *pairs)

    assert refusal.value.code is Fault.MISMATCH
    assert not refusal.value.retryable


@pytest.mark.parametrize(
    "issuer", ["https://a.example/", "https://A.example", "https://b.example", "", "a.example", "https://a.example "]
)
@pytest.mark.parametrize("ends", [ISSUER, PROMISED])
def test_read_refuses_another_issuer_even_with_an_error(provider, issuer, ends):
    for pairs in ((("code", "a"),), (("error", "access_denied"),)):
        with pytest.raises(CallbackRefused):
            reading(an_app(provider), *pairs, ("iss", issuer), ends=ends)


def test_read_wants_the_issuer_where_it_is_promised(provider):
    app = an_app(provider)

    with pytest.raises(CallbackRefused):
        reading(app, ("code", "a"), ends=PROMISED)
    with pytest.raises(CallbackRefused):
        reading(app, ("error", "access_denied"), ends=PROMISED)
    assert reading(app, ("code", "a"), ("iss", "https://a.example"), ends=PROMISED).code
    assert reading(app, ("code", "a"), ends=ISSUER).code
    assert reading(app, ("code", "a"), ("iss", "https://anything.example"), ends=ENDS).code


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        ("access_denied", ProviderDenied, Fault.DENIED),
        ("user_cancelled_authorize", ProviderDenied, Fault.DENIED),
        ("temporarily_unavailable", ProviderError, Fault.UNAVAILABLE),
        ("server_error", ProviderError, Fault.UNAVAILABLE),
        ("invalid_scope", ProviderError, Fault.MISCONFIGURED),
        ("unauthorized_client", ProviderError, Fault.MISCONFIGURED),
        ("something_of_their_own", ProviderError, Fault.ERROR),
        ("<script>alert(1)</script>", ProviderError, Fault.ERROR),
    ],
)
def test_read_maps_the_providers_errors_to_ours(provider, error, kind, code):
    with pytest.raises(kind) as failure:
        reading(an_app(provider), ("error", error), ("error_description", "Their own words"), ("state", "s"))

    assert failure.value.code is code
    assert str(failure.value) == code.value


def test_read_understands_an_error_of_another_name(provider):
    with pytest.raises(ProviderError):
        reading(an_app(provider), ("error_code", "1349187"), ("error_message", "Closed"))


def test_read_logs_two_hundred_printable_characters_of_theirs(provider, caplog):
    with pytest.raises(ProviderError):
        reading(an_app(provider), ("error", "x"), ("error_description", "bad\r\n\x1b[31m" + "y" * 500))

    (said,) = (record.getMessage() for record in caplog.records)
    assert "\x1b" not in said
    assert "\n" not in said
    assert "y" * 180 in said
    assert "y" * 201 not in said


KEEPS = (
    Keep(path="realmId", name="realm_id", pattern=r"\d{1,20}", required=True),
    Keep(
        path="accounts-server",
        name="accounts",
        pattern=r"https://accounts\.acme\.(com|eu)",
        default="https://accounts.acme.com",
    ),
    Keep(path="location", name="location", pattern="[a-z]+"),
)


def test_read_keeps_what_the_catalog_names(provider):
    app = an_app(provider, callback_keep=KEEPS)

    full = reading(
        app, ("code", "a"), ("realmId", "12"), ("accounts-server", "https://accounts.acme.eu"), ("location", "eu")
    )
    least = reading(app, ("code", "a"), ("realmId", "12"))

    assert full.kept == {"realm_id": "12", "accounts": "https://accounts.acme.eu", "location": "eu"}
    assert least.kept == {"realm_id": "12", "accounts": "https://accounts.acme.com"}


@pytest.mark.parametrize(
    "pairs",
    [
        (),
        (("realmId", ""),),
        (("realmId", "12; DROP"),),
        (("realmId", "12\n"),),
        (("realmId", "1" * 21),),
        (("realmId", "1"), ("accounts-server", "https://accounts.evil.example")),
        (("realmId", "1"), ("accounts-server", "https://accounts.acme.com.evil.example")),
        (("realmId", "1"), ("location", "EU!")),
    ],
)
def test_read_refuses_what_does_not_fit_its_pattern(provider, pairs):
    with pytest.raises(CallbackRefused):
        reading(an_app(provider, callback_keep=KEEPS), ("code", "a"), *pairs)


def test_read_refuses_another_shop_than_the_one_typed(provider):
    field = Field(name="shop", label="Shop", pattern="[a-z-]+", suffix=".shop.example")
    app = an_app(
        provider, fields=(field,), callback_keep=(Keep(path="shop", name="seen", pattern="[a-zA-Z-]+", same_as="shop"),)
    )

    assert reading(app, ("code", "a"), ("shop", "Acme"), fields={"shop": "acme"}).kept == {"seen": "Acme"}
    with pytest.raises(CallbackRefused):
        reading(app, ("code", "a"), ("shop", "evil"), fields={"shop": "acme"})


def test_read_runs_the_apps_own_check(provider):
    app = an_app(provider, callback_check="shopify_hmac")
    params = {"code": "a", "shop": "acme.myshopify.com", "state": "s", "timestamp": "1"}
    message = urlencode(sorted(params.items()))
    good = hmac.new(b"canary-client-secret", message.encode(), hashlib.sha256).hexdigest()

    assert reading(app, *params.items(), ("hmac", good)).code.reveal() == "a"
    for bad in ("0" * 64, "", good.upper() + "0"):
        with pytest.raises(CallbackRefused):
            reading(app, *params.items(), ("hmac", bad))
    with pytest.raises(CallbackRefused):
        reading(app, *params.items())


def test_read_takes_the_code_under_another_name(provider):
    app = an_app(provider, callback_code="auth_code")

    assert reading(app, ("auth_code", "a")).code.reveal() == "a"
    with pytest.raises(CallbackRefused):
        reading(app, ("code", "a"))


def test_state_of_knows_only_what_we_could_have_made():
    state = secrets.token_urlsafe(32)

    assert state_of([("code", "a"), ("state", state)]) == state
    for pairs in (
        [],
        [("state", "")],
        [("state", "short")],
        [("state", state), ("state", state)],
        [("state", state + "=")],
        [("state", state[:-1] + "\n")],
    ):
        assert state_of(pairs) is None

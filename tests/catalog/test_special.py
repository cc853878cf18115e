import hashlib
import hmac

import pytest

from app.catalog.special import etsy_user, shopify_hmac

SECRET = "hush"
QUERY = {
    "code": "0907a61c",
    "shop": "acme.myshopify.com",
    "state": "0.67",
    "timestamp": "1337178173",
    "host": "YWJj/+==",
}


def signed(query: dict[str, str]) -> dict[str, str]:
    # Written out, so that it does not lean on what it tests.
    message = "code=0907a61c&host=YWJj%2F%2B%3D%3D&shop=acme.myshopify.com&state=0.67&timestamp=1337178173"
    return {**query, "hmac": hmac.new(SECRET.encode(), message.encode(), hashlib.sha256).hexdigest()}


def test_shopify_hmac_accepts_what_shopify_signed():
    assert shopify_hmac(signed(QUERY), SECRET)


@pytest.mark.parametrize(
    "changed",
    [{"shop": "evil.myshopify.com"}, {"extra": "1"}, {"hmac": ""}, {"hmac": "0" * 64}, {"hmac": "ä"}],
)
def test_shopify_hmac_refuses_what_was_changed(changed):
    assert not shopify_hmac({**signed(QUERY), **changed}, SECRET)


def test_shopify_hmac_refuses_what_has_no_signature_or_another_secret():
    assert not shopify_hmac(QUERY, SECRET)
    assert not shopify_hmac(signed(QUERY), "other")


def test_etsy_user_reads_the_number_before_the_dot():
    assert etsy_user({"access_token": "12345678.jKBPLnOiYt7vpWlsny"}) == ("12345678", "Etsy user 12345678")


@pytest.mark.parametrize("token", ["", "abc", "12345678", ".abc", "12a.abc", "²3.abc", None])
def test_etsy_user_is_nobody_without_a_number(token):
    assert etsy_user({"access_token": token}) == ("", "")

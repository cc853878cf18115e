import base64
import hashlib
import secrets
import threading
import time
from urllib.parse import urlencode, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.support.consent import ConsentFailed, consent
from tests.support.provider import Provider

CALLBACK = "http://localhost:9/oauth/callback/abc"
SCOPES = {"files.read": "See your files", "files.write": "Change your files", "people.read": "See people"}
VERIFIER = secrets.token_urlsafe(48)
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
CLIENT = ("shelf", "s3cret/:+ %")


@pytest.fixture
def shelf(provider: Provider) -> Provider:
    provider.register(*CLIENT, [CALLBACK], scopes=SCOPES, name="Agency’s Shelf")
    return provider


@pytest.fixture
def web():
    with httpx2.Client(trust_env=False) as client:
        yield client


def asked(url: str, *, scopes: str = "files.read files.write people.read", **changed: str | None) -> str:
    query = {
        "response_type": "code",
        "client_id": CLIENT[0],
        "redirect_uri": CALLBACK,
        "scope": scopes,
        "state": "xyz",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    } | changed
    return f"{url}?{urlencode({k: v for k, v in query.items() if v is not None})}"


def exchanged(web: httpx2.Client, provider: Provider, code: str, **changed: str | None) -> httpx2.Response:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
        "client_id": CLIENT[0],
        "client_secret": CLIENT[1],
    } | changed
    return web.post(provider.token_url, data={k: v for k, v in form.items() if v is not None})


def refreshed(web: httpx2.Client, provider: Provider, token: str) -> httpx2.Response:
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": CLIENT[0], "client_secret": CLIENT[1]}
    return web.post(provider.token_url, data=form)


@pytest.fixture
def tokens(web, shelf):
    back = consent(asked(shelf.authorize_url), shelf.people["ann"])
    return exchanged(web, shelf, back["code"]).json()


def test_whole_consent_gives_a_token_that_names_the_account(web, shelf):
    back = consent(asked(shelf.authorize_url), shelf.people["ann"])
    assert back == {"redirect_uri": CALLBACK, "state": "xyz", "iss": shelf.issuer, "code": back["code"]}

    tokens = exchanged(web, shelf, back["code"]).json()
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 3600
    assert set(tokens["scope"].split()) == set(SCOPES)

    status, account = shelf.call_api(tokens["access_token"])
    assert status == 200
    assert (account["id"], account["email"]) == (shelf.people["ann"].id, "ann@client.example")
    assert shelf.call_api("made up")[0] == 401


def test_partial_consent_grants_what_was_ticked_alone(web, shelf):
    back = consent(asked(shelf.authorize_url), shelf.people["ben"], grant={"files.read"})
    tokens = exchanged(web, shelf, back["code"]).json()

    assert tokens["scope"] == "files.read"
    assert shelf.call_api(tokens["access_token"])[1]["scopes"] == ["files.read"]


def test_consent_to_nothing_and_denial_come_back_as_denied(shelf):
    for answer in ({"grant": set()}, {"deny": True}):
        back = consent(asked(shelf.authorize_url), shelf.people["ann"], **answer)
        assert (back["error"], back["state"]) == ("access_denied", "xyz")


def test_code_is_good_once(web, shelf):
    back = consent(asked(shelf.authorize_url), shelf.people["ann"])
    assert exchanged(web, shelf, back["code"]).status_code == 200
    assert exchanged(web, shelf, back["code"]).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"code_verifier": "a" * 50}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_request"),
        ({"redirect_uri": f"{CALLBACK}/other"}, "invalid_request"),
        ({"client_secret": "wrong"}, "invalid_client"),
    ],
)
def test_exchange_refuses_what_does_not_belong_together(web, shelf, changed, error):
    back = consent(asked(shelf.authorize_url), shelf.people["ann"])
    assert exchanged(web, shelf, back["code"], **changed).json()["error"] == error


def test_authorize_refuses_a_foreign_callback_on_a_page_of_its_own(shelf):
    with pytest.raises(ConsentFailed, match="Mismatching redirect URI"):
        consent(asked(shelf.authorize_url, redirect_uri="http://evil.example/cb"), shelf.people["ann"])


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"scopes": "files.read unheard.of"}, "invalid_scope"),
    ],
)
def test_authorize_sends_back_requests_that_it_will_not_serve(web, shelf, changed, error):
    back = consent(asked(shelf.authorize_url, **changed), shelf.people["ann"])
    assert back["error"] == error


def test_client_registered_without_pkce_needs_none(web, provider):
    provider.register(*CLIENT, [CALLBACK], scopes=SCOPES, pkce=False)
    back = consent(
        asked(provider.authorize_url, code_challenge=None, code_challenge_method=None), provider.people["ann"]
    )
    assert exchanged(web, provider, back["code"], code_verifier=None).status_code == 200


def test_basic_authentication_with_reserved_characters(web, shelf):
    back = consent(asked(shelf.authorize_url), shelf.people["ann"])
    form = {"grant_type": "authorization_code", "code": back["code"], "redirect_uri": CALLBACK}
    answer = web.post(shelf.token_url, data=form | {"code_verifier": VERIFIER}, auth=("shelf", "s3cret%2F%3A%2B%20%25"))

    assert answer.status_code == 200
    (call,) = shelf.calls("token")
    assert (call.client_auth, call.client_id, call.grant_type) == ("basic", "shelf", "authorization_code")


def test_refresh_rotates_and_a_replay_ends_the_grant(web, shelf, tokens):
    fresh = refreshed(web, shelf, tokens["refresh_token"]).json()
    assert fresh["refresh_token"] != tokens["refresh_token"]
    assert shelf.call_api(tokens["access_token"])[0] == 401
    assert shelf.call_api(fresh["access_token"])[0] == 200

    assert refreshed(web, shelf, tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert refreshed(web, shelf, fresh["refresh_token"]).json()["error"] == "invalid_grant"
    assert shelf.call_api(fresh["access_token"])[0] == 401


def test_revocation_ends_both_tokens(web, shelf, tokens):
    form = {"token": tokens["refresh_token"], "client_id": CLIENT[0], "client_secret": CLIENT[1]}
    assert web.post(shelf.revoke_url, data=form).status_code == 200
    assert shelf.call_api(tokens["access_token"])[0] == 401
    assert refreshed(web, shelf, tokens["refresh_token"]).json()["error"] == "invalid_grant"


def test_introspection_tells_a_client_about_a_token(web, shelf, tokens):
    auth = ("shelf", "s3cret%2F%3A%2B%20%25")
    said = web.post(shelf.introspect_url, data={"token": tokens["access_token"]}, auth=auth).json()
    assert (said["active"], said["client_id"], said["username"]) == (True, "shelf", "ann@client.example")
    assert web.post(shelf.introspect_url, data={"token": "x"}, auth=auth).json() == {"active": False}


def test_openid_connect_signs_who_it_is(web, shelf):
    found = web.get(shelf.discovery_url).json()
    assert (found["issuer"], found["token_endpoint"]) == (shelf.issuer, shelf.token_url)
    back = consent(asked(found["authorization_endpoint"], scopes="openid files.read", nonce="n1"), shelf.people["cleo"])
    tokens = exchanged(web, shelf, back["code"]).json()

    keys = KeySet.import_key_set(web.get(found["jwks_uri"]).json())
    claims = jwt.decode(tokens["id_token"], keys, algorithms=["RS256"]).claims
    assert claims["iss"] == shelf.issuer
    assert (claims["aud"], claims["nonce"]) == ("shelf", "n1")
    assert (claims["sub"], claims["email"]) == (shelf.people["cleo"].id, "cleo@client.example")
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert web.get(shelf.userinfo_url, headers=bearer).json()["email"] == "cleo@client.example"


def test_start_redirects_to_the_other_origin(web, shelf):
    first = web.get(asked(shelf.start_url))
    assert urlsplit(str(first.url)).netloc != urlsplit(shelf.authorize_url).netloc
    assert first.headers["Location"] == asked(shelf.authorize_url)
    back = consent(asked(shelf.start_url), shelf.people["ann"])
    assert exchanged(web, shelf, back["code"]).status_code == 200


def test_tenant_addresses_name_an_account_of_their_own(web, shelf):
    tenant = f"{shelf.base_url}/t/acme"
    back = consent(asked(f"{tenant}/o/authorize/"), shelf.people["ann"])
    form = {"grant_type": "authorization_code", "code": back["code"], "redirect_uri": CALLBACK}
    secret = {"code_verifier": VERIFIER, "client_id": CLIENT[0], "client_secret": CLIENT[1]}
    tokens = web.post(f"{tenant}/o/token/", data=form | secret).json()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert web.get(f"{tenant}/api/me", headers=bearer).json()["id"] == f"acme-{shelf.people['ann'].id}"


def test_tokens_expire_and_grants_end_at_the_providers_end(web, shelf, tokens):
    assert shelf.expire_tokens(client_id="shelf") >= 1
    assert shelf.call_api(tokens["access_token"])[0] == 401
    fresh = refreshed(web, shelf, tokens["refresh_token"]).json()
    assert shelf.call_api(fresh["access_token"])[0] == 200

    assert shelf.revoke_grants(email="ann@client.example") >= 1
    assert shelf.call_api(fresh["access_token"])[0] == 401
    assert refreshed(web, shelf, fresh["refresh_token"]).json()["error"] == "invalid_grant"


def test_count_tells_calls_apart(web, shelf, tokens):
    refreshed(web, shelf, tokens["refresh_token"])
    shelf.call_api("x")
    count = shelf.count()
    assert (count["token.authorization_code"], count["token.refresh_token"], count["api"]) == (1, 1, 1)
    assert shelf.calls("token", "nobody") == []
    shelf.reset()
    assert not shelf.count()


def test_misbehave_spoils_answers_as_often_as_told(web, shelf, tokens):
    shelf.misbehave("token", status=503, body="<h1>Down</h1>", content_type="text/html", times=1)
    assert refreshed(web, shelf, tokens["refresh_token"]).status_code == 503
    fresh = refreshed(web, shelf, tokens["refresh_token"]).json()

    shelf.misbehave("token", status=502, after=True, times=1)
    assert refreshed(web, shelf, fresh["refresh_token"]).status_code == 502
    assert refreshed(web, shelf, fresh["refresh_token"]).json()["error"] == "invalid_grant"

    shelf.misbehave("api", status=0, delay=0.2, times=1)
    with pytest.raises(httpx2.ReadTimeout):
        web.get(shelf.api_url, timeout=0.05)


def test_a_call_that_ends_after_the_reset_is_forgotten_too(shelf):
    shelf.misbehave("api", status=0, delay=0.4, times=1)
    late = threading.Thread(target=shelf.call_api, args=["x"])
    late.start()
    time.sleep(0.2)
    shelf.reset()
    late.join()
    shelf.call_api("y")
    assert [call.endpoint for call in shelf.calls()] == ["api"]


def test_control_needs_its_token(web, shelf):
    assert web.post(f"{shelf.base_url}/control/reset", json={}).status_code == 403

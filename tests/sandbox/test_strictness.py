"""The sandbox refuses whatever differs from an app's declaration: one quirk taken away on the client's side, and the flow fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from app import oauth
from app.catalog.protocol import Body, ClientAuth, OAuth2, RevokeStyle
from app.errors import Refused
from app.oauth import Fault, OAuthError, RevokeOutcome, TokenError
from tests.sandbox.flow import PANEL, Connector, Flow
from tests.sandbox.person import Page, Person

Change = Callable[[OAuth2], OAuth2]


def without(**changes: Any) -> Change:
    return lambda ways: replace(ways, **changes)


def inside(part: str, **changes: Any) -> Change:
    return lambda ways: replace(ways, **{part: replace(getattr(ways, part), **changes)})


def changed(flow: Flow, change: Change) -> Flow:
    """The same flow in the hands of a client that holds another declaration."""
    flow.ways = change(flow.ways)
    flow.app = replace(flow.app, oauth2=flow.ways)
    return flow


BEFORE_CONSENT = {
    "PKCE missing": ("airtable", without(pkce=False)),
    "PKCE where it breaks": ("square", without(pkce=True)),
    "parameter missing": ("notion", without(authorize_params={})),
    "parameter of another value": ("dropbox", without(authorize_params={"token_access_type": "online"})),
    "another separator": ("slack", without(scope_separator=" ")),
    "response_mode missing": ("outlook", without(response_mode="")),
    "scope misnamed": ("slack-user", without(rename={"scope": "scopes"}, authorize_params={"user_scope": "nonsense"})),
    "another issuer": ("gmail", without(issuer="http://127.0.0.1:1/other")),
}


@pytest.mark.parametrize("case", BEFORE_CONSENT)
def test_authorize_sends_back_an_error(connect: Connector, person: Person, case: str) -> None:
    key, change = BEFORE_CONSENT[case]
    flow = changed(connect(key), change)
    begun = flow.begin()

    answer = person.open(begun.url)
    callback = answer if isinstance(answer, list) else person.approve(begun.url)

    with pytest.raises(OAuthError):
        oauth.read(flow.app, callback, begun.endpoints, client=flow.client, fields=flow.fields)


def test_authorize_shows_a_page_to_a_client_under_another_name(connect: Connector, person: Person) -> None:
    page = person.open(changed(connect("tiktok"), without(rename={})).begin().url)

    assert isinstance(page, Page)
    assert page.status == 400
    assert "client_id is called client_key here" in page.text


AT_THE_TOKEN = {
    "Basic missing": ("airtable", without(client_auth=ClientAuth.POST)),
    "Basic not wanted": ("discord", without(client_auth=ClientAuth.BASIC)),
    "secret of a public client": ("etsy", without(client_auth=ClientAuth.POST)),
    "secret missing": ("asana", without(client_auth=ClientAuth.NONE)),
    "form for JSON": ("zendesk", without(token_body=Body.FORM)),
    "JSON for a form": ("asana", without(token_body=Body.JSON)),
    "token parameter missing": ("shopify", without(token_params={})),
    "token elsewhere in the answer": ("tiktok-ads", inside("token", access_token="access_token")),
    "kept value missing": ("zoho-crm", without(callback_keep=())),
    "exchange under another name": ("facebook-pages", inside("exchange", params={"access_token": "{access_token}"})),
}


@pytest.mark.parametrize("case", AT_THE_TOKEN)
def test_token_is_not_given(connect: Connector, person: Person, case: str) -> None:
    key, change = AT_THE_TOKEN[case]
    flow = connect(key)
    begun = flow.begin()
    callback = person.approve(begun.url)

    with pytest.raises((OAuthError, Refused)):
        changed(flow, change).exchange(begun, callback)


def test_code_is_no_use_without_its_verifier(connect: Connector, person: Person) -> None:
    flow = connect("airtable")
    begun, other = flow.begin(), flow.begin()
    callback = person.approve(begun.url)

    with pytest.raises(TokenError) as caught:
        flow.exchange(replace(begun, code_verifier=other.code_verifier), callback)

    assert caught.value.code is Fault.GRANT_ENDED


def test_code_is_no_use_at_another_redirect_address(connect: Connector, person: Person) -> None:
    flow = connect("slack")
    begun = flow.begin()

    with pytest.raises(TokenError) as caught:
        flow.exchange(begun, person.approve(begun.url), redirect_uri=f"{PANEL}/oauth/callback/other")

    assert caught.value.code is Fault.GRANT_ENDED


def test_code_is_no_use_to_another_client(connect: Connector, person: Person) -> None:
    flow, other = connect("slack"), connect("slack", own=True)
    begun = flow.begin()

    with pytest.raises(TokenError) as caught:
        other.exchange(begun, person.approve(begun.url))

    assert caught.value.code is Fault.GRANT_ENDED


AT_THE_IDENTITY = {
    "another query": ("linear", inside("identity", graphql="{ viewer { id } }")),
    "another method": ("dropbox", inside("identity", method="GET")),
    "another header": ("mailchimp", inside("identity", auth=None)),
    "secret missing": ("hubspot", inside("identity", params={"token": "{access_token}"})),
    "elsewhere in the answer": ("zoom", inside("identity", id=("data.id",))),
}


@pytest.mark.parametrize("case", AT_THE_IDENTITY)
def test_identity_is_not_told(connect: Connector, person: Person, case: str) -> None:
    key, change = AT_THE_IDENTITY[case]
    flow = connect(key)
    begun = flow.begin()
    token = flow.exchange(begun, person.approve(begun.url))

    with pytest.raises(OAuthError):
        changed(flow, change).identify(begun, token)


AT_THE_REFRESH = {
    "at the token address": ("worksection", without(refresh_url="")),
    "client not proven": ("xero", without(client_auth=ClientAuth.NONE)),
}


@pytest.mark.parametrize("case", AT_THE_REFRESH)
def test_refresh_is_refused(connect: Connector, person: Person, case: str) -> None:
    key, change = AT_THE_REFRESH[case]
    flow = connect(key)
    begun, token, _ = flow.connect(person)
    assert token.refresh_token
    if not change(flow.ways).refresh_url:
        begun = replace(begun, endpoints=replace(begun.endpoints, refresh=begun.endpoints.token))

    with pytest.raises(OAuthError):
        changed(flow, change).refresh(begun, token.refresh_token)


AT_THE_REVOCATION = {
    "another method": ("github", inside("revoke", method="POST")),
    "client not proven": ("pipedrive", inside("revoke", auth="none")),
    "the other token": ("quickbooks", inside("revoke", token="access_token")),
    "another body": ("notion", inside("revoke", body=Body.FORM, style=RevokeStyle.RFC7009)),
    "another header": ("square", inside("revoke", headers={"Authorization": "Client nobody"})),
}


@pytest.mark.parametrize("case", AT_THE_REVOCATION)
def test_revocation_is_not_confirmed(connect: Connector, person: Person, case: str) -> None:
    key, change = AT_THE_REVOCATION[case]
    flow = connect(key)
    begun, token, _ = flow.connect(person)

    assert changed(flow, change).revoke(begun, token) is not RevokeOutcome.CONFIRMED
    assert flow.call_api(token).status_code == 200

"""The catalog's own apps against answers as their providers write them: what is declared there is what is done here."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from app.catalog import load
from app.catalog.protocol import Keep
from app.catalog.schema import App
from app.oauth import RevokeOutcome, begin, exchange, identify, missing, read, refresh, revoke
from tests.oauth.factories import AT, CLIENT, REDIRECT

CATALOG = load()
OAUTH = [app.key for app in CATALOG if app.oauth2 and not app.oauth2.discovery_url]
SUBJECT = RSAKey.generate_key(2048, {"kid": "k"})


@pytest.mark.parametrize("key", OAUTH)
def test_begin_makes_an_address_for_every_app(key):
    app = CATALOG.get(key)
    typed = {field.name: field.example or field.default for field in app.fields}

    flow = begin(app, CLIENT, redirect_uri=REDIRECT, scopes=app.scopes_for([app.actions[0].key]), fields=typed)

    address = urlsplit(flow.url)
    query = dict(parse_qsl(address.query, keep_blank_values=True))
    assert (address.scheme, address.username, address.fragment) == ("https", None, "")
    assert query["state"] == flow.state.reveal()
    assert query["redirect_uri"] == REDIRECT
    assert query[app.oauth2.rename.get("client_id", "client_id")] == "client-1"
    assert ("code_challenge" in query) is app.oauth2.pkce


# Whole flows: each app's hosts become paths of one server on loopback.


@dataclass
class Case:
    """What a provider answers: to the token address, to the identity call; and what must come of it."""

    token: object
    who: object = None
    account: str = ""
    label: str = ""
    typed: Mapping[str, str] = None
    back: Mapping[str, str] = None
    scopes: tuple[str, ...] | None = None
    sent: Mapping[str, str] = None
    kept: Mapping[str, str] = None
    ends: datetime | None = None
    refreshed: object = None
    form: bool = False


HOUR = AT + timedelta(hours=1)
CASES = {
    "slack": Case(
        {"ok": True, "access_token": "tok", "token_type": "bot", "scope": "chat:write,channels:read", "team": {"id": "T012AB", "name": "Acme"}, "authed_user": {"id": "U1"}},
        account="T012AB", label="Acme", scopes=("chat:write", "channels:read"), kept={"team_id": "T012AB"},
    ),
    "slack-user": Case(
        {"ok": True, "team": {"id": "T012AB"}, "authed_user": {"id": "U1", "access_token": "tok", "refresh_token": "r", "expires_in": 3600, "scope": "chat:write", "token_type": "user"}},
        {"ok": True, "team_id": "T012AB", "user_id": "U1", "user": "jo", "team": "Acme"},
        account="T012AB:U1", label="jo", ends=HOUR, scopes=("chat:write",),
        refreshed={"ok": True, "access_token": "tok2", "refresh_token": "r2", "expires_in": 3600},
    ),
    "github": Case(
        "access_token=tok&scope=repo%2Cread%3Auser&token_type=bearer", {"id": 583231, "login": "octo", "email": None},
        account="583231", label="octo", form=True,
    ),
    "notion": Case(
        {"access_token": "tok", "token_type": "bearer", "workspace_id": "9" * 32, "workspace_name": "Acme", "owner": {"type": "user", "user": {"id": "u1", "name": "Jo"}}},
        account="9" * 32 + ":u1", label="Acme", sent={"grant_type": "authorization_code", "code": "the-code"},
    ),
    "tiktok": Case(
        {"access_token": "tok", "expires_in": 3600, "open_id": "o1", "refresh_expires_in": 31536000, "refresh_token": "r", "scope": "user.info.basic,video.list", "token_type": "Bearer"},
        {"data": {"user": {"open_id": "o1", "display_name": "Jo"}}, "error": {"code": "ok", "message": ""}},
        account="o1", label="Jo", sent={"client_key": "client-1"}, ends=HOUR,
    ),
    "tiktok-ads": Case(
        {"code": 0, "message": "OK", "data": {"access_token": "tok", "advertiser_ids": ["1"]}},
        {"code": 0, "data": {"core_user_id": 77, "display_name": "Acme", "email": "a@acme.example"}},
        account="77", label="a@acme.example", back={"auth_code": "the-code", "code": "other"},
        sent={"app_id": "client-1", "secret": "canary-client-secret", "auth_code": "the-code"},
    ),
    "shopify": Case(
        {"access_token": "tok", "scope": "write_products", "expires_in": 3600, "refresh_token": "r", "refresh_token_expires_in": 7776000},
        {"data": {"shop": {"id": "gid://shopify/Shop/1", "name": "Acme", "email": "a@acme.example", "myshopifyDomain": "acme.myshopify.com"}}},
        account="gid://shopify/Shop/1", label="Acme", typed={"shop": "acme"}, back={"shop": "acme.myshopify.com", "timestamp": "1"},
        kept={"shop_domain": "acme.myshopify.com"}, sent={"expiring": "1"}, ends=HOUR,
    ),
    "quickbooks": Case(
        {"access_token": "tok", "token_type": "bearer", "expires_in": 3600, "refresh_token": "r", "x_refresh_token_expires_in": 8640000},
        {"CompanyInfo": {"CompanyName": "Acme"}}, account="123456789", label="Acme", back={"realmId": "123456789"}, kept={"realm_id": "123456789"},
    ),
    "salesforce": Case(
        {"access_token": "tok", "refresh_token": "r", "instance_url": "https://acme.my.salesforce.com", "issued_at": "1", "scope": "api refresh_token", "token_type": "Bearer"},
        {"organization_id": "00D", "user_id": "005", "email": "jo@acme.example"},
        account="00D:005", label="jo@acme.example", typed={"domain": "acme.my"}, kept={"instance_url": "https://acme.my.salesforce.com"},
    ),
    "zoho-crm": Case(
        {"access_token": "tok", "refresh_token": "r", "api_domain": "https://www.zohoapis.eu", "token_type": "Bearer", "expires_in": 3600},
        {"users": [{"id": "44", "email": "jo@acme.example"}]}, account="44", label="jo@acme.example",
        back={"accounts-server": "https://accounts.zoho.eu", "location": "eu"},
        kept={"accounts_server": "https://accounts.zoho.eu", "api_domain": "https://www.zohoapis.eu"},
    ),
    "facebook-pages": Case(
        {"access_token": "tok", "token_type": "bearer", "expires_in": 3600}, {"id": "10", "name": "Jo"}, account="10", label="Jo", ends=HOUR,
    ),
    "monday": Case(
        {"access_token": "tok", "token_type": "Bearer", "scope": "me:read boards:read"},
        {"data": {"me": {"id": "2", "name": "Jo", "email": "jo@acme.example"}}}, account="2", label="jo@acme.example",
    ),
    "mailchimp": Case(
        {"access_token": "tok", "expires_in": 0, "scope": None},
        {"dc": "us6", "api_endpoint": "https://us6.api.mailchimp.com", "accountname": "Acme", "user_id": 8}, account="8", label="Acme",
    ),
    "hubspot": Case(
        {"access_token": "tok", "refresh_token": "r", "expires_in": 3600, "scopes": ["oauth", "crm.objects.contacts.read"]},
        {"active": True, "hub_id": 5, "user_id": 6, "user": "jo@acme.example"}, account="5:6", label="jo@acme.example", ends=HOUR,
    ),
    "dropbox": Case(
        {"access_token": "tok", "expires_in": 3600, "token_type": "bearer", "scope": "account_info.read files.content.write", "refresh_token": "r"},
        {"account_id": "dbid:A", "email": "jo@acme.example"}, account="dbid:A", label="jo@acme.example",
    ),
    "square": Case(
        {"access_token": "tok", "token_type": "bearer", "expires_at": "2026-11-20T13:00:00Z", "merchant_id": "MLABCDE", "refresh_token": "r"},
        {"merchant": {"id": "MLABCDE", "business_name": "Acme"}}, account="MLABCDE", label="Acme", ends=HOUR,
    ),
    "jira": Case(
        {"access_token": "tok", "expires_in": 3600, "scope": "read:jira-work", "refresh_token": "r"},
        [{"id": "1" * 36, "name": "acme", "url": "https://acme.atlassian.net"}], account="1" * 36, label="acme",
    ),
    "etsy": Case({"access_token": "123.tok", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "123.r"}, account="123", label="Etsy user 123"),
    "worksection": Case(
        {"access_token": "tok", "refresh_token": "r", "expires_in": 3600, "account_url": "https://acme.worksection.com"},
        {"id": "9", "email": "jo@acme.example", "account_url": "https://acme.worksection.com"},
        account="https%3A%2F%2Facme.worksection.com:9", label="jo@acme.example", refreshed={"access_token": "tok2", "refresh_token": "r2"},
    ),
    "gmail": Case(
        {"access_token": "tok", "expires_in": 3600, "token_type": "Bearer", "scope": "https://www.googleapis.com/auth/userinfo.email openid https://www.googleapis.com/auth/gmail.send"},
        account="108", label="jo@acme.example", back={"iss": "https://accounts.google.com"},
    ),
}  # fmt: skip


def moved(value: Any, server: str) -> Any:
    """The same declaration with every host made a path of the test's server."""
    if isinstance(value, str):
        found = re.fullmatch(r"https://([^/?]+)(.*)", value)
        return f"{server}/{found[1]}{found[2]}" if found else value
    if is_dataclass(value) and not isinstance(value, Keep):
        return replace(
            value,
            **{one.name: moved(getattr(value, one.name), server) for one in fields(value) if one.name != "issuer"},
        )
    return value


class Provider:
    """One server as all providers: it answers by what is asked of it, and remembers the calls."""

    def __init__(self, server: HTTPServer, app: App, case: Case) -> None:
        self.case, self.calls, self.nonce = case, {}, None
        self.base = server.url_for("/").rstrip("/")
        ways = moved(app.oauth2, self.base)
        for name, value in (case.kept or {}).items():
            if value.startswith("https://"):
                ways = settled(ways, f"{{{name}}}", f"{self.base}/{value.removeprefix('https://')}")
        self.app = replace(app, oauth2=ways, loopback_http=True, api=moved(app.api, self.base))
        server.expect_request(re.compile(".*")).respond_with_handler(self.answer)

    def answer(self, call: Request) -> Response:
        call.get_data()
        sent = dict(call.args) | dict(call.form) | (call.get_json(silent=True) or {})
        kind = "who"
        if sent.get("grant_type") in {"refresh_token", "authorization_code", "fb_exchange_token"}:
            kind = sent["grant_type"]
        elif re.search("revo|/permissions$|/applications/", call.path):
            kind = "revoke"
        elif re.search("keys|certs|jwks", call.path):
            return Response(json.dumps({"keys": [SUBJECT.as_dict(private=False)]}))
        self.calls[kind] = (call, sent)
        body = {
            "authorization_code": self.token(),
            "fb_exchange_token": self.case.token,
            "refresh_token": self.case.refreshed or self.case.token,
            "revoke": {"ok": True, "code": 0},
            "who": self.case.who,
        }[kind]
        return Response(
            body if isinstance(body, str) else json.dumps(body),
            content_type="application/x-www-form-urlencoded"
            if self.case.form and kind != "who"
            else "application/json",
        )

    def token(self) -> object:
        if self.nonce is None or not isinstance(self.case.token, dict):
            return self.case.token
        claims = {"iss": self.app.oauth2.issuer, "aud": "client-1", "sub": self.case.account, "email": self.case.label}
        times = {"exp": int(AT.timestamp()) + 600, "iat": int(AT.timestamp()), "nonce": self.nonce}
        return self.case.token | {"id_token": jwt.encode({"alg": "RS256", "kid": "k"}, claims | times, SUBJECT)}


def settled(value: Any, place: str, filled: str) -> Any:
    """The same declaration with a kept host put where its place was."""
    if isinstance(value, str) and place in value:
        return value.replace(place, filled)
    if is_dataclass(value) and not isinstance(value, Keep):
        return replace(value, **{one.name: settled(getattr(value, one.name), place, filled) for one in fields(value)})
    return value


@pytest.mark.parametrize("key", CASES)
def test_a_flow_of_the_app_goes_as_its_file_says(httpserver, key):
    case = CASES[key]
    provider = Provider(httpserver, CATALOG.get(key), case)
    app, typed = provider.app, dict(case.typed or {})
    wanted = app.scopes_for([app.actions[0].key])

    flow = begin(app, CLIENT, redirect_uri=REDIRECT, scopes=wanted, fields=typed)
    provider.nonce = flow.nonce
    back = {"code": "the-code", "state": flow.state.reveal(), **(case.back or {})}
    if app.oauth2.callback_check:
        message = urlencode(sorted(back.items()))
        back["hmac"] = hmac.new(CLIENT.secret.encode(), message.encode(), hashlib.sha256).hexdigest()
    params = read(app, back.items(), flow.endpoints, client=CLIENT, fields=typed)
    token = exchange(
        app, CLIENT, flow.endpoints, code=params.code, verifier=flow.code_verifier, redirect_uri=REDIRECT,
        fields=typed, kept=params.kept, scopes=flow.scopes, at=AT,
    )  # fmt: skip
    who = identify(app, flow.endpoints, token, nonce=flow.nonce, fields=typed, client=CLIENT, at=AT)

    assert token.access_token.reveal().endswith("tok")
    assert (who.id, who.label) == (case.account, case.label)
    assert dict(token.kept) == {**token.kept, **(case.kept or {})}
    sent = provider.calls["authorization_code"][1]
    assert {**sent, **(case.sent or {})} == sent
    if case.ends:
        assert token.expires_at == case.ends
    if case.scopes:
        assert token.scopes == case.scopes
    if token.scopes is not None:
        assert set(missing(flow.scopes, token.scopes, app)) <= set(wanted)

    values = {**typed, **token.kept, **who.kept}
    if token.refresh_token:
        again = refresh(
            app, CLIENT, flow.endpoints, refresh_token=token.refresh_token, fields=values, scopes=flow.scopes, at=AT
        )
        assert again.access_token.reveal().endswith(("tok", "tok2"))
        assert again.refresh_token
    outcome = revoke(
        app, CLIENT, flow.endpoints, access_token=token.access_token, refresh_token=token.refresh_token, fields=values
    )
    assert outcome is (RevokeOutcome.CONFIRMED if app.oauth2.revoke else RevokeOutcome.UNSUPPORTED)

"""Every quirk that the catalog must be able to say, with an app that ships and has it."""

from collections.abc import Callable

import pytest

from app.catalog import App, addresses
from app.catalog.protocol import Body, ClientAuth, ExpiresAs, OAuth2, RevokeAuth, RevokeStyle, ScopeAs, Source


def ways(app: App) -> OAuth2:
    assert app.oauth2
    return app.oauth2


def kept(app: App, *names: str) -> bool:
    return set(names) <= {one.path for one in app.keeps()}


QUIRKS: dict[str, tuple[str, Callable[[App], object]]] = {
    "scopes apart by commas": ("slack", lambda app: ways(app).scope_separator == ","),
    "Basic client authentication": ("xero", lambda app: ways(app).client_auth is ClientAuth.BASIC),
    "the client in the form": ("slack", lambda app: ways(app).client_auth is ClientAuth.POST),
    "no client authentication": ("etsy", lambda app: ways(app).client_auth is ClientAuth.NONE and ways(app).pkce),
    "a JSON token body": ("notion", lambda app: ways(app).token_body is Body.JSON),
    "Basic with a JSON token body": ("notion", lambda app: ways(app).client_auth is ClientAuth.BASIC),
    "PKCE on": ("airtable", lambda app: ways(app).pkce),
    "PKCE off": ("tiktok", lambda app: not ways(app).pkce),
    "authorize parameters: access_type, prompt": (
        "gmail",
        lambda app: (
            ways(app).authorize_params["access_type"] == "offline" and ways(app).authorize_params["prompt"] == "consent"
        ),
    ),
    "authorize parameters: audience": (
        "jira",
        lambda app: ways(app).authorize_params["audience"] == "api.atlassian.com",
    ),
    "authorize parameters: owner": ("notion", lambda app: ways(app).authorize_params["owner"] == "user"),
    "authorize parameters: token_access_type": (
        "dropbox",
        lambda app: ways(app).authorize_params["token_access_type"] == "offline",
    ),
    "token parameters": ("shopify", lambda app: ways(app).token_params == {"expiring": "1"}),
    "renamed parameters: client_key": ("tiktok", lambda app: ways(app).rename == {"client_id": "client_key"}),
    "renamed parameters: user_scope": ("slack-user", lambda app: ways(app).rename == {"scope": "user_scope"}),
    "the code under another name": ("tiktok-ads", lambda app: ways(app).callback_code == "auth_code"),
    "a host built from a field": ("zendesk", lambda app: "subdomain" in addresses.in_host(ways(app).token_url)),
    "a host with a fallback": (
        "salesforce",
        lambda app: app.expand(ways(app).token_url).startswith("https://login.salesforce.com/"),
    ),
    "a region with a fallback": ("mailgun", lambda app: app.expand(app.api.base_url) == "https://api.mailgun.net/v3"),
    "callback data kept: realmId": ("quickbooks", lambda app: kept(app, "realmId")),
    "callback data kept: accounts-server": (
        "zoho-crm",
        lambda app: kept(app, "accounts-server") and addresses.leading(ways(app).token_url) == "accounts_server",
    ),
    "token data kept: instance_url": (
        "salesforce",
        lambda app: kept(app, "instance_url") and app.api.base_url == "{instance_url}",
    ),
    "token data kept: team.id": ("slack", lambda app: kept(app, "team.id")),
    "token data kept: api_domain": ("pipedrive", lambda app: kept(app, "api_domain")),
    "identity data kept": ("mailchimp", lambda app: kept(app, "api_endpoint")),
    "a nested token: authed_user": (
        "slack-user",
        lambda app: ways(app).token.access_token == "authed_user.access_token",
    ),
    "a nested token: data": ("tiktok-ads", lambda app: ways(app).token.access_token == "data.access_token"),
    "HTTP 200 with an error: ok": ("slack", lambda app: ways(app).token.ok and ways(app).token.ok.equals is True),
    "HTTP 200 with an error: a number": (
        "tiktok-ads",
        lambda app: ways(app).token.ok and ways(app).token.ok.equals == 0,
    ),
    "form-encoded token answers": ("github", lambda app: ways(app).token.format is Body.FORM),
    "a separate refresh address": ("worksection", lambda app: ways(app).refresh_url not in {"", ways(app).token_url}),
    "an exchange for a long-lived token": (
        "facebook-pages",
        lambda app: ways(app).exchange and "{access_token}" in ways(app).exchange.params.values(),
    ),
    "expires_in missing": ("salesforce", lambda app: ways(app).token.expires_as is ExpiresAs.ABSENT),
    "expires_in a string": ("github", lambda app: ways(app).token.expires_as is ExpiresAs.STRING),
    "expiry absolute": ("square", lambda app: ways(app).token.expires_as is ExpiresAs.DATETIME),
    "scopes reported with another separator": (
        "github",
        lambda app: ways(app).reported.separator == "," and ways(app).scope_separator == " ",
    ),
    "scopes reported as a list": ("hubspot", lambda app: ways(app).reported.scope_as is ScopeAs.LIST),
    "scopes reported under another name": (
        "google-drive",
        lambda app: ways(app).reported.aliases["https://www.googleapis.com/auth/userinfo.email"] == "email",
    ),
    "scopes reported with a prefix": (
        "outlook",
        lambda app: ways(app).reported.prefix == "https://graph.microsoft.com/",
    ),
    "scopes that include others": (
        "shopify",
        lambda app: "read_products" in ways(app).reported.covered(["write_products"]),
    ),
    "scopes granted in silence": ("jira", lambda app: "offline_access" in ways(app).reported.unreported),
    "scopes not reported": ("asana", lambda app: ways(app).reported.scope_as is ScopeAs.NONE),
    "identity by GET": (
        "zendesk",
        lambda app: ways(app).identity.source is Source.API and ways(app).identity.method == "GET",
    ),
    "identity by POST": ("dropbox", lambda app: ways(app).identity.method == "POST" and not ways(app).identity.graphql),
    "identity by POST of a form": ("worksection", lambda app: "access_token" in ways(app).identity.params),
    "identity by GraphQL": ("monday", lambda app: "me" in ways(app).identity.graphql),
    "identity from the id_token": (
        "google-sheets",
        lambda app: ways(app).identity.source is Source.ID_TOKEN and ways(app).jwks_url,
    ),
    "identity from the token response": ("notion", lambda app: ways(app).identity.source is Source.TOKEN_RESPONSE),
    "identity from what was kept": ("quickbooks", lambda app: ways(app).identity.id == ("{realm_id}",)),
    "identity by a function": ("etsy", lambda app: ways(app).identity.special == "etsy_user"),
    "a callback that is signed": ("shopify", lambda app: ways(app).callback_check == "shopify_hmac"),
    "revocation by RFC 7009": ("xero", lambda app: ways(app).revoke and ways(app).revoke.style is RevokeStyle.RFC7009),
    "revocation without the client": (
        "gmail",
        lambda app: ways(app).revoke and ways(app).revoke.auth is RevokeAuth.NONE,
    ),
    "revocation by DELETE with the token in the path": (
        "trello",
        lambda app: (
            app.api_key
            and app.api_key.revoke
            and (app.api_key.revoke.method, app.api_key.revoke.body) == ("DELETE", Body.NONE)
            and "/{token}" in app.api_key.revoke.url
        ),
    ),
    "revocation by Basic with a JSON body": (
        "github",
        lambda app: (
            ways(app).revoke
            and (ways(app).revoke.auth, ways(app).revoke.body, ways(app).revoke.method)
            == (RevokeAuth.BASIC, Body.JSON, "DELETE")
        ),
    ),
    "revocation under the token itself": (
        "dropbox",
        lambda app: ways(app).revoke and ways(app).revoke.auth is RevokeAuth.BEARER,
    ),
    "revocation with a header of its own": (
        "square",
        lambda app: ways(app).revoke and "Authorization" in ways(app).revoke.headers,
    ),
    "no revocation": ("mailchimp", lambda app: ways(app).revoke is None and app.revoke_help),
    "revocation that breaks siblings": ("hubspot", lambda app: ways(app).revoke and ways(app).revoke.breaks_siblings),
    "rotation of refresh tokens": ("calendly", lambda app: ways(app).rotation),
    "no rotation": ("google-sheets", lambda app: not ways(app).rotation),
    "a grant's known lifetime": ("facebook-pages", lambda app: ways(app).grant_lifetime_days == 60),
    "a grant's life unused": ("xero", lambda app: ways(app).unused_lifetime_days == 60),
    "a grant's life told in the answer": (
        "quickbooks",
        lambda app: ways(app).token.refresh_expires == "x_refresh_token_expires_in",
    ),
    "other words for the end of a grant": ("slack", lambda app: "token_revoked" in ways(app).token.grant_ended),
    "scopes that add up": ("google-drive", lambda app: ways(app).incremental),
    "scopes that do not add up": ("hubspot", lambda app: not ways(app).incremental),
    "iss in the callback": (
        "gmail",
        lambda app: ways(app).iss_required and ways(app).issuer == "https://accounts.google.com",
    ),
    "response_mode=query": ("outlook", lambda app: ways(app).response_mode == "query"),
    "a nonce": ("xero", lambda app: ways(app).nonce),
    "no scopes at all": ("mailchimp", lambda app: not app.scopes and not ways(app).default_scopes),
    "another authorization header": ("zoho-crm", lambda app: app.api.auth == "Zoho-oauthtoken {access_token}"),
    "another header altogether": ("shopify", lambda app: app.api.headers and not app.api.auth),
    "OAuth and an API key": ("zendesk", lambda app: app.methods == ("oauth2", "api_key")),
}


@pytest.mark.parametrize("quirk", QUIRKS)
def test_a_shipped_app_has_the_quirk(shipped, quirk):
    key, has = QUIRKS[quirk]

    assert has(shipped.get(key))


@pytest.mark.parametrize(
    "quirk", ["a nonce", "PKCE off", "no client authentication", "response_mode=query", "iss in the callback"]
)
def test_a_quirk_is_told_from_its_absence(deskly, quirk):
    assert not QUIRKS[quirk][1](deskly)

"""What holds for every app that ships."""

import re
from urllib.parse import urlsplit

import pytest

from app.catalog import App, load, special
from app.catalog.protocol import Source

APPS = list(load())
OAUTH = [app for app in APPS if app.oauth2]
TYPED = [app for app in APPS if app.api_key]


def by_key(app: App) -> str:
    return app.key


def test_there_are_apps_enough_and_some_know_keys_alone():
    assert len(OAUTH) >= 24
    assert len([app for app in APPS if not app.eligible_for_clients]) >= 2


@pytest.mark.parametrize("app", APPS, ids=by_key)
def test_an_app_has_actions_and_a_way_to_take_access_back(app):
    assert 2 <= len(app.actions) <= 5
    assert app.revoke_help


@pytest.mark.parametrize("app", OAUTH, ids=by_key)
def test_an_oauth_app_says_how_a_client_is_registered(app):
    assert app.oauth2.register_url
    assert len(app.oauth2.steps) >= 3
    assert any("redirect address" in step for step in app.oauth2.steps)


@pytest.mark.parametrize("app", TYPED, ids=by_key)
def test_a_key_app_says_where_the_key_is_and_proves_it(app):
    assert app.api_key.url
    assert app.api_key.steps
    assert app.api_key.identity
    assert any(field.secret for field in app.api_key.fields)


@pytest.mark.parametrize("app", APPS, ids=by_key)
def test_texts_are_sentences_in_plain_language(app):
    steps = (*(app.oauth2.steps if app.oauth2 else ()), *(app.api_key.steps if app.api_key else ()))
    for step in steps:
        assert step.endswith(".")
    for label in app.scopes.values():
        assert label[0].isupper()
        assert not label.endswith(".")
        assert not re.search(r"[_{}]|https?:", label)


@pytest.mark.parametrize("app", OAUTH, ids=by_key)
def test_all_calls_of_an_oauth_app_go_to_its_provider(app):
    """A slip of the pen in one address would send codes and secrets to a stranger."""
    ways = app.oauth2
    found = [ways.authorize_url, ways.token_url, ways.refresh_url, ways.identity.url, ways.jwks_url, app.api.base_url]
    found += [ways.revoke.url] if ways.revoke else []
    found += [ways.exchange.url] if ways.exchange else []
    hosts = {urlsplit(address).netloc.rpartition("}.")[2] for address in found if address.startswith("https://")}

    assert {".".join(host.split(".")[-2:]) for host in hosts} <= PROVIDERS.get(
        app.key, {".".join(urlsplit(app.website).netloc.split(".")[-2:])}
    )


GOOGLE = {"google.com", "googleapis.com"}
PROVIDERS = {
    "discord": {"discord.com"},
    "dropbox": {"dropbox.com", "dropboxapi.com"},
    "facebook-pages": {"facebook.com"},
    "gmail": GOOGLE,
    "google-calendar": GOOGLE,
    "google-drive": GOOGLE,
    "google-sheets": GOOGLE,
    "hubspot": {"hubspot.com", "hubapi.com"},
    "jira": {"atlassian.com"},
    "notion": {"notion.com"},
    "outlook": {"microsoftonline.com", "microsoft.com"},
    "quickbooks": {"intuit.com"},
    "shopify": {"myshopify.com"},
    "tiktok": {"tiktok.com", "tiktokapis.com"},
    "tiktok-ads": {"tiktok.com"},
}


@pytest.mark.parametrize(
    ("key", "action", "scopes"),
    [
        ("typeform", "New response", {"responses:read"}),
        ("hubspot", "Create contact", {"crm.objects.contacts.write"}),
        ("hubspot", "Create deal", {"crm.objects.deals.write"}),
        ("google-sheets", "Add row", {"https://www.googleapis.com/auth/spreadsheets"}),
        ("zendesk", "Create ticket", {"read", "tickets:write"}),
        ("slack", "Send channel message", {"chat:write", "channels:read"}),
        ("mailchimp", "Add subscriber", set()),
        ("calendly", "Find event", {"scheduled_events:read"}),
        ("xero", "Create invoice", {"accounting.invoices", "accounting.contacts"}),
        ("twilio", "Send SMS", set()),
    ],
)
def test_the_actions_of_the_demo_are_there(shipped, key, action, scopes):
    found = next(one for one in shipped.get(key).actions if one.name == action)

    assert set(found.scopes) == scopes


def test_special_functions_are_few_and_used():
    checks = {app.oauth2.callback_check for app in OAUTH} - {""}
    identities = {app.oauth2.identity.special for app in OAUTH} - {""}

    assert checks == set(special.CALLBACK_CHECKS)
    assert identities == set(special.IDENTITIES)
    assert len(checks | identities) <= 6


@pytest.mark.parametrize("app", OAUTH, ids=by_key)
def test_who_is_asked_for_an_id_token_is_sent_a_nonce(app):
    ways = app.oauth2
    assert (ways.identity.source is Source.ID_TOKEN) is ways.nonce

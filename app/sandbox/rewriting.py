"""The catalog as the sandbox serves it: the same apps at other addresses."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from app.catalog import Catalog
from app.catalog.addresses import placeholders
from app.catalog.protocol import Identity, OAuth2, Revoke
from app.catalog.schema import ApiKey, App

WELL_KNOWN = ".well-known/openid-configuration"


class Step(StrEnum):
    """What an address of a provider is for; the value is its place below the app's key."""

    AUTHORIZE = "authorize"
    TOKEN = "token"  # noqa: S105 - a place in an address
    REFRESH = "refresh"
    EXCHANGE = "exchange"
    REVOKE = "revoke"
    IDENTITY = "identity"
    JWKS = "jwks"
    API = "api"
    KEY = "key"
    KEY_REVOKE = "key-revoke"


def rewrite(catalog: Catalog, base_url: str) -> Catalog:
    """Return the same apps with every address at the sandbox; what stood in an address travels in its path."""
    return Catalog({app.key: rewritten(app, base_url) for app in catalog})


def rewritten(app: App, base_url: str) -> App:
    """Return one app at the sandbox."""
    base = issuer_of(app, base_url)
    return replace(
        app,
        api=replace(app.api, base_url=_moved(base, Step.API, app.api.base_url)),
        oauth2=_oauth2(app.oauth2, base) if app.oauth2 else None,
        api_key=_api_key(app.api_key, base) if app.api_key else None,
        loopback_http=True,
    )


def issuer_of(app: App, base_url: str) -> str:
    """Return an app's root at the sandbox, which is its issuer too."""
    return f"{base_url.rstrip('/')}/{app.key}"


def _oauth2(ways: OAuth2, base: str) -> OAuth2:
    return replace(
        ways,
        authorize_url=_moved(base, Step.AUTHORIZE, ways.authorize_url),
        token_url=_moved(base, Step.TOKEN, ways.token_url),
        refresh_url=_moved(base, Step.REFRESH, ways.refresh_url),
        discovery_url=f"{base}/{WELL_KNOWN}" if ways.discovery_url else "",
        issuer=base if ways.issuer else "",
        jwks_url=_moved(base, Step.JWKS, ways.jwks_url),
        identity=_identity(ways.identity, base, Step.IDENTITY),
        exchange=replace(ways.exchange, url=_moved(base, Step.EXCHANGE, ways.exchange.url)) if ways.exchange else None,
        revoke=_revoke(ways.revoke, base, Step.REVOKE),
    )


def _api_key(way: ApiKey, base: str) -> ApiKey:
    return replace(
        way,
        identity=_identity(way.identity, base, Step.KEY) if way.identity else None,
        revoke=_revoke(way.revoke, base, Step.KEY_REVOKE),
    )


def _identity(identity: Identity, base: str, step: Step) -> Identity:
    return replace(identity, url=_moved(base, step, identity.url))


def _revoke(revoke: Revoke | None, base: str, step: Step) -> Revoke | None:
    return replace(revoke, url=_moved(base, step, revoke.url)) if revoke else None


def _moved(base: str, step: Step, template: str) -> str:
    """Return the sandbox's address for one of the provider's, its query kept; an empty one, which discovery fills, stays empty."""
    if not template:
        return ""
    path, mark, query = template.partition("?")
    return "/".join((base, step, *(f"{{{name}}}" for name in dict.fromkeys(placeholders(path))))) + mark + query

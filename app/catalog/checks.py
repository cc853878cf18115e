"""What must hold in an app beyond the types of its values."""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.catalog import addresses, places, special
from app.catalog.lines import Path
from app.catalog.protocol import ClientAuth, Identity, Keep, OAuth2, Source
from app.catalog.schema import CREDENTIALS, App, Field

Problem = tuple[Path, str]

KEY = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
NAME = re.compile(r"[a-z][a-z0-9_]*")
LONGEST = {"name": 60, "category": 40}
SHOWN = ("label", "example", "help", "prefix", "suffix")
IN_AUTHORIZE = frozenset(
    {"client_id", "redirect_uri", "state", "scope", "nonce", "code_challenge", "code_challenge_method", "response_mode"}
)
IN_TOKEN = frozenset({"client_id", "client_secret", "code", "redirect_uri", "code_verifier", "refresh_token"})
RENAMABLE = IN_AUTHORIZE | IN_TOKEN | {"grant_type", "response_type"}


def problems(app: App) -> Iterator[Problem]:
    """Yield what is wrong with an app whose types are right, each with its path."""
    yield from _about(app)
    yield from _shown(app)
    yield from _fields(app)
    yield from _actions(app)
    yield from _methods(app)
    yield from places.problems(app)
    if app.oauth2:
        yield from _oauth2(app.oauth2)


def _about(app: App) -> Iterator[Problem]:
    if not KEY.fullmatch(app.key) or len(app.key) > 40:
        yield ("key",), "key must be small letters, digits and single hyphens, 40 at most"
    for name, most in LONGEST.items():
        text = getattr(app, name)
        if not text.strip() or len(text) > most or not text.isprintable():
            yield (name,), f"{name} must be 1 to {most} printable characters"


def _shown(app: App) -> Iterator[Problem]:
    """Text that is shown holds no control or format characters: they could make it read as something else."""
    texts: list[tuple[Path, str]] = [(("scopes", scope), label) for scope, label in app.scopes.items()]
    texts += [(("actions", place, "name"), action.name) for place, action in enumerate(app.actions)]
    typed = app.api_key.fields if app.api_key else ()
    for place, one in enumerate((*app.fields, *typed)):
        own = place < len(app.fields)
        here: Path = ("fields", place) if own else ("api_key", "fields", place - len(app.fields))
        texts += [((*here, name), getattr(one, name)) for name in SHOWN]
    for name, method in (("oauth2", app.oauth2), ("api_key", app.api_key)):
        if method:
            texts += [((name, "steps"), step) for step in (*method.steps, method.instructions)]
    for path, text in texts:
        if not text.isprintable():
            yield path, "this text holds a line break or a character that does not show"


def _methods(app: App) -> Iterator[Problem]:
    if not app.methods:
        yield (), "an app needs a table [oauth2], [api_key] or both"
    if app.api_key and not app.api_key.fields:
        yield ("api_key",), "api_key.fields is missing: what is to be typed?"


def _fields(app: App) -> Iterator[Problem]:
    seen: set[str] = set()
    groups: list[tuple[Path, tuple[Field | Keep, ...]]] = [(("fields",), app.fields)]
    if app.api_key:
        groups.append((("api_key", "fields"), app.api_key.fields))
    if app.oauth2:
        groups.append((("oauth2", "callback_keep"), app.oauth2.callback_keep))
        groups.append((("oauth2", "response_keep"), app.oauth2.response_keep))
        groups.append((("oauth2", "identity", "keep"), app.oauth2.identity.keep))
    for path, group in groups:
        for place, one in enumerate(group):
            here: Path = (*path, place)
            if not NAME.fullmatch(one.name):
                yield (*here, "name"), f"the name “{one.name}” must be small letters, digits and underscores"
            if one.name in seen or (one.name in CREDENTIALS and path != ("api_key", "fields")):
                yield (*here, "name"), f"the name “{one.name}” is taken"
            seen.add(one.name)
            yield from _pattern(one, here)
            if isinstance(one, Keep) and one.same_as and one.same_as not in {known.name for known in app.fields}:
                yield (*here, "same_as"), f"same_as names “{one.same_as}”, which is no field of this app"


def _pattern(one: Field | Keep, here: Path) -> Iterator[Problem]:
    try:
        pattern = re.compile(one.pattern)
    except re.error as error:
        yield (*here, "pattern"), f"the pattern is no regular expression: {error}"
        return
    for what in ("example", "default"):
        value = getattr(one, what, "")
        if value and one.pattern and not pattern.fullmatch(value):
            yield (*here, what), f"the {what} “{value}” does not match the pattern"


def _actions(app: App) -> Iterator[Problem]:
    if not app.actions:
        yield (), "an app needs at least one [[actions]]"
    seen: set[str] = set()
    for place, action in enumerate(app.actions):
        if not NAME.fullmatch(action.key):
            yield ("actions", place, "key"), f"the key “{action.key}” must be small letters, digits and underscores"
        if action.key in seen:
            yield ("actions", place, "key"), f"the key “{action.key}” is taken"
        seen.add(action.key)
        if action.scopes and not app.oauth2:
            yield ("actions", place, "scopes"), "scopes need [oauth2]"
        for scope in action.scopes:
            yield from _plain(app, scope, ("actions", place, "scopes"))
    for scope in app.oauth2.default_scopes if app.oauth2 else ():
        yield from _plain(app, scope, ("oauth2", "default_scopes"))


def _plain(app: App, scope: str, path: Path) -> Iterator[Problem]:
    label = app.scopes.get(scope, "").strip()
    if not label or label == scope:
        yield path, f"the scope “{scope}” has no plain language under [scopes]"


def _oauth2(oauth2: OAuth2) -> Iterator[Problem]:
    here: Path = ("oauth2",)
    if bool(oauth2.discovery_url) == bool(oauth2.authorize_url and oauth2.token_url):
        yield here, "oauth2 needs either discovery_url, or authorize_url and token_url"
    if oauth2.client_auth is ClientAuth.NONE and not oauth2.pkce:
        yield (*here, "pkce"), "without client authentication, PKCE can't be off"
    if oauth2.iss_required and not (oauth2.issuer or oauth2.discovery_url):
        yield (*here, "iss_required"), "iss_required needs oauth2.issuer"
    if not oauth2.scope_separator or oauth2.scope_separator.isalnum():
        yield (*here, "scope_separator"), "oauth2.scope_separator must be a space, a comma or the like"
    if oauth2.callback_check and oauth2.callback_check not in special.CALLBACK_CHECKS:
        yield (*here, "callback_check"), f"there is no callback check “{oauth2.callback_check}”"
    yield from _params(oauth2)
    yield from _identity(oauth2, oauth2.identity)


def _params(oauth2: OAuth2) -> Iterator[Problem]:
    here: Path = ("oauth2",)
    for name in ("grant_lifetime_days", "unused_lifetime_days"):
        days = getattr(oauth2, name)
        if days is not None and days < 1:
            yield (*here, name), f"oauth2.{name} must be at least 1"
    for name, ours in (("authorize_params", IN_AUTHORIZE), ("token_params", IN_TOKEN), ("refresh_params", IN_TOKEN)):
        for param in sorted(ours & getattr(oauth2, name).keys()):
            yield (*here, name, param), f"oauth2.{name} can't set {param}: it is set for every flow"
    for param in sorted(oauth2.rename.keys() - RENAMABLE):
        yield (*here, "rename", param), f"oauth2.rename knows no parameter {param}"


def _identity(oauth2: OAuth2, identity: Identity) -> Iterator[Problem]:
    here: Path = ("oauth2", "identity")
    if identity.special:
        if identity.special not in special.IDENTITIES or identity.source is not Source.TOKEN_RESPONSE:
            yield (*here, "special"), f"there is no identity “{identity.special}” in a token_response"
    elif not identity.id:
        yield here, "oauth2.identity.id is missing: whose account is it?"
    if identity.source is Source.API and not identity.url and not oauth2.discovery_url:
        yield here, "oauth2.identity.url is missing"
    if identity.source is Source.ID_TOKEN or oauth2.nonce:
        if "openid" not in oauth2.default_scopes:
            yield ("oauth2", "default_scopes"), "an id_token needs openid among oauth2.default_scopes"
        if not oauth2.discovery_url and not (oauth2.issuer and oauth2.jwks_url):
            yield ("oauth2",), "an id_token needs oauth2.issuer and oauth2.jwks_url, or discovery_url"
    for path in (*identity.id, *identity.label):
        found = addresses.placeholders(path)
        if found and path != f"{{{found[0]}}}":
            yield here, f"“{path}” is neither a dotted path nor a kept value in braces"

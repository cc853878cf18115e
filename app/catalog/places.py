"""The addresses and templates of an app: what may stand in which, and whether the outcome can be called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from app.catalog import addresses
from app.catalog.lines import Path
from app.catalog.protocol import Identity, Keep, OAuth2, Revoke, RevokeStyle
from app.catalog.schema import ApiKey, App, Field

Problem = tuple[Path, str]
Known = Mapping[str, Field | Keep | None]

SERVERS = ("https://", "http://127.0.0.1")  # the second can be called only where plain http to this machine is allowed
CLIENT = ("client_id", "client_secret")
TOKENS = ("access_token", "refresh_token", "token")


def problems(app: App) -> Iterator[Problem]:
    """Yield every address and template that can't be filled or called."""
    for path, address in (
        (("website",), app.website),
        (("revoke_help",), app.revoke_help),
        (("oauth2", "register_url"), app.oauth2.register_url if app.oauth2 else ""),
        (("api_key", "url"), app.api_key.url if app.api_key else ""),
    ):
        if address or path == ("website",):
            yield from _address(app, path, address, _known(app.fields))
    fields = _known(app.fields)
    kept = {**fields, **_known(app.keeps())}
    typed = {**kept, **_known(app.api_key.fields if app.api_key else ())}
    yield from _address(app, ("api", "base_url"), app.api.base_url, typed)
    yield from _texts(("api", "headers"), app.api.headers, {**typed, **_secrets(*CLIENT, *TOKENS)})
    usable = _secrets(*CLIENT, *TOKENS) if app.oauth2 else {}
    if app.oauth2 or (app.api_key and app.api_key.auth is None):
        yield from _text(("api", "auth"), app.api.auth, {**typed, **usable})
    if app.oauth2:
        yield from _oauth2(app, app.oauth2, fields, kept)
    if app.api_key:
        yield from _api_key(app, app.api_key, {**fields, **_known(app.api_key.fields)})


def _oauth2(app: App, oauth2: OAuth2, fields: Known, kept: Known) -> Iterator[Problem]:
    here: Path = ("oauth2",)
    called_back = {**fields, **_known(oauth2.callback_keep)}
    answered = {**called_back, **_known(oauth2.response_keep)}
    for name, known in (
        ("authorize_url", fields),
        ("discovery_url", fields),
        ("issuer", fields),
        ("jwks_url", fields),
        ("token_url", called_back),
        ("refresh_url", kept),
    ):
        address = getattr(oauth2, name)
        if address:
            yield from _address(app, (*here, name), address, known)
    yield from _texts((*here, "authorize_params"), oauth2.authorize_params, fields)
    yield from _texts((*here, "token_params"), oauth2.token_params, {**called_back, **_secrets(*CLIENT)})
    yield from _texts((*here, "refresh_params"), oauth2.refresh_params, {**kept, **_secrets(*CLIENT)})
    if oauth2.exchange:
        secrets = _secrets(*CLIENT, "access_token")
        yield from _address(app, (*here, "exchange", "url"), oauth2.exchange.url, {**answered, **secrets})
        yield from _texts((*here, "exchange", "params"), oauth2.exchange.params, {**answered, **secrets})
    yield from _identity(app, oauth2.identity, (*here, "identity"), {**answered, **_secrets(*CLIENT, *TOKENS)}, kept)
    if oauth2.revoke:
        yield from _revoke(app, oauth2.revoke, (*here, "revoke"), {**kept, **_secrets(*CLIENT, *TOKENS)})


def _api_key(app: App, method: ApiKey, known: Known) -> Iterator[Problem]:
    here: Path = ("api_key",)
    if method.auth is not None:
        yield from _text((*here, "auth"), method.auth, known)
    yield from _texts((*here, "headers"), method.headers, known)
    if method.identity:
        yield from _identity(app, method.identity, (*here, "identity"), known, known)
    if method.revoke:
        yield from _revoke(app, method.revoke, (*here, "revoke"), {**known, **_secrets("token")})


def _identity(app: App, identity: Identity, here: Path, known: Known, kept: Known) -> Iterator[Problem]:
    if identity.url:
        yield from _address(app, (*here, "url"), identity.url, known)
    yield from _text((*here, "auth"), identity.auth or "", known)
    yield from _texts((*here, "headers"), identity.headers, known)
    yield from _texts((*here, "params"), identity.params, known)
    for path in (*identity.id, *identity.label):
        yield from _text((*here, "id"), path, kept)


def _revoke(app: App, revoke: Revoke, here: Path, known: Known) -> Iterator[Problem]:
    yield from _address(app, (*here, "url"), revoke.url, known)
    yield from _texts((*here, "params"), revoke.params, known)
    yield from _texts((*here, "headers"), revoke.headers, known)
    if revoke.style is RevokeStyle.DELETE_PATH and "token" not in addresses.placeholders(revoke.url):
        yield (*here, "url"), "style delete_path wants {token} in the address"


def _address(app: App, path: Path, template: str, known: Known) -> Iterator[Problem]:
    wrong = list(_text(path, template, known))
    if not wrong:
        faults = [_place(name, known[name], template, path) for name in addresses.placeholders(template)]
        fault = next(filter(None, [*faults, _whole(app, template, known)]), "")
        wrong = [(path, fault)] if fault else []
    yield from wrong


def _place(name: str, one: Field | Keep | None, template: str, path: Path) -> str:
    """Return why a value can't stand where it does, or an empty text."""
    if one is None:
        return f"{{{name}}} can't stand in a host" if name in addresses.in_host(template) else ""
    if isinstance(one, Keep):
        return ""
    if not one.pattern:
        return f"{{{name}}} stands in an address: its field needs a pattern"
    if not (one.required or one.default):
        return f"{{{name}}} stands in an address: its field needs a default, or can't be optional"
    if path[0] == "oauth2" and name == addresses.whole_host(template):
        return f"{{{name}}} is all of the host: whoever types it would choose where the client's secret goes"
    return ""


def _whole(app: App, template: str, known: Known) -> str:
    """Return why an address can't be called whatever its values are, or an empty text."""
    if not addresses.holds_its_places(template):
        return f"in “{template}” a value could change the host: it must be all of it, or end before a fixed domain"
    start = addresses.leading(template)
    one = known.get(start)
    if start and not (isinstance(one, Keep) and one.pattern.startswith(SERVERS)):
        return f"{{{start}}} begins an address: only a kept value whose pattern begins with https:// can"
    sample = template.replace(f"{{{start}}}", "https://sample.example", 1) if start else template
    fault = addresses.fault(addresses.PLACEHOLDER.sub("sample", sample), loopback_http=app.loopback_http)
    return f"the address “{template}” {fault}" if fault else ""


def _texts(path: Path, templates: Mapping[str, str], known: Known) -> Iterator[Problem]:
    for name, template in templates.items():
        yield from _text((*path, name), template, known)


def _text(path: Path, template: str, known: Known) -> Iterator[Problem]:
    for name in addresses.placeholders(template):
        if name not in known:
            yield path, f"{{{name}}} is neither a field nor a kept value that is known here"
            return
    if any(bracket in addresses.PLACEHOLDER.sub("", template) for bracket in "{}"):
        yield path, f"“{template}” has a brace without its partner"


def _known(group: Iterable[Field | Keep]) -> dict[str, Field | Keep | None]:
    return {one.name: one for one in group}


def _secrets(*names: str) -> dict[str, Field | Keep | None]:
    return dict.fromkeys(names)

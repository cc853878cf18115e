"""The shape of an app in the catalog; `protocol` holds the OAuth 2 part."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from app.catalog import addresses
from app.catalog.protocol import NOTHING, Identity, Keep, OAuth2, Revoke, nothing
from app.errors import NotFound, Refused
from app.i18n import _

CREDENTIALS = frozenset({"access_token", "refresh_token", "token", "client_id", "client_secret"})  # from the caller


class ActionKind(StrEnum):
    """Whether a node does something or waits for something."""

    ACTION = "action"
    TRIGGER = "trigger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Something asked of a person before connecting; its value stands in addresses as `{name}`."""

    name: str
    label: str
    example: str = ""
    pattern: str = ""
    help: str = ""
    prefix: str = ""  # shown before the input, as https:// may be
    suffix: str = ""  # shown behind it: .zendesk.com
    default: str = ""  # used where the person leaves it empty
    secret: bool = False
    optional: bool = False

    @property
    def required(self) -> bool:
        """Whether something must be typed."""
        return not (self.optional or self.default)

    def clean(self, text: str) -> str:
        """Return what was typed without outer spaces and what the page already shows around it, checked; Refused."""
        value = text.strip()
        if not self.secret and (self.suffix or self.prefix):
            value = value.lower().removeprefix("https://").removeprefix("http://").rstrip("/")
            host = re.split(r"[/?#]", value, maxsplit=1)[0]  # of an address that was pasted with the page that was open
            value = (host if self.suffix and host.endswith(self.suffix) else value).removesuffix(self.suffix)
        value = value or self.default
        if not value and self.required:
            raise Refused(_("%(label)s is needed.", label=self.label), field=self.name)
        if value and self.pattern and not re.fullmatch(self.pattern, value):
            message = _("This does not look right.")
            if self.example:
                message = _("This does not look right. For example: %(example)s", example=self.example)
            raise Refused(message, field=self.name)
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What a node can do with an app, and the scopes that it needs."""

    key: str
    name: str
    kind: ActionKind = ActionKind.ACTION
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """The method of typing a key: its fields, where to find them, and a call that proves them."""

    fields: tuple[Field, ...] = ()
    auth: str | None = None  # where it differs from `Api.auth`
    headers: Mapping[str, str] = field(default_factory=nothing)
    identity: Identity | None = None
    revoke: Revoke | None = None
    instructions: str = ""
    url: str = ""  # where the key is found
    steps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """How a caller uses the credential. `auth` is the Authorization header; what follows `Basic ` is base64-encoded."""

    base_url: str
    auth: str = "Bearer {access_token}"
    headers: Mapping[str, str] = field(default_factory=nothing)


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An app that Gatehouse knows how to connect."""

    key: str
    name: str
    category: str
    website: str
    api: Api
    revoke_help: str = ""
    fields: tuple[Field, ...] = ()
    oauth2: OAuth2 | None = None
    api_key: ApiKey | None = None
    scopes: Mapping[str, str] = field(default_factory=nothing)
    actions: tuple[Action, ...] = ()
    loopback_http: bool = False  # set by the loader, never by a file

    @property
    def eligible_for_clients(self) -> bool:
        """Whether a client can be asked for it: clients never type keys."""
        return self.oauth2 is not None

    @property
    def methods(self) -> tuple[str, ...]:
        """Return the ways to connect it: `oauth2`, `api_key` or both."""
        return tuple(name for name in ("oauth2", "api_key") if getattr(self, name) is not None)

    def known_action(self, key: str) -> Action:
        """Return an action, or a stand-in for one that the catalog no longer has: workflows may still name it."""
        found = next((action for action in self.actions if action.key == key), None)
        return found or Action(key=key, name=key.replace("_", " ").capitalize())

    def action(self, key: str) -> Action:
        """Find an action or trigger; NotFound."""
        for action in self.actions:
            if action.key == key:
                return action
        raise NotFound(_("%(app)s has no such action.", app=self.name))

    def scope_label(self, scope: str) -> str:
        """Say a scope in plain language; one that the catalog does not know stays as it is."""
        return self.scopes.get(scope, scope)

    def scopes_for(self, action_keys: Iterable[str]) -> tuple[str, ...]:
        """Return the scopes that these actions need together, in the catalog's order (`OAuth2.asked` adds the default ones)."""
        needed = {scope for key in action_keys for scope in self.known_action(key).scopes}
        return tuple(scope for scope in self.scopes if scope in needed)

    def ordered(self, scopes: Iterable[str]) -> tuple[str, ...]:
        """Sort scopes into the catalog's order, unknown ones last."""
        wanted = dict.fromkeys(scopes)
        return (*(scope for scope in self.scopes if scope in wanted), *(s for s in wanted if s not in self.scopes))

    def keeps(self) -> tuple[Keep, ...]:
        """Return all that is kept beside the fields: from the callback, the token answer and the identity call."""
        if self.oauth2 is None:
            return ()
        return (*self.oauth2.callback_keep, *self.oauth2.response_keep, *self.oauth2.identity.keep)

    def expand(self, template: str, values: Mapping[str, str] = NOTHING) -> str:
        """Fill an address from fields, kept values and credentials, each checked against its pattern; Refused."""
        wanted = addresses.placeholders(template)
        filled = {name: self.value(name, values) for name in wanted}
        return addresses.expand(template, filled, loopback_http=self.loopback_http)

    def value(self, name: str, values: Mapping[str, str]) -> str:
        """Return the checked value for one place: as given, else its default; Refused if it does not fit or is missing."""
        given = values.get(name, "")
        if name in CREDENTIALS and given:
            return given
        for known in (*self.fields, *(self.api_key.fields if self.api_key else ())):
            if known.name == name:
                return given if not given and known.optional else known.clean(given)
        for kept in self.keeps():
            if kept.name == name:
                value = given or kept.default
                if re.fullmatch(kept.pattern, value):
                    return value
        raise Refused(_("A part of this address is missing or does not fit."), field=name)

    def headers(self, values: Mapping[str, str], *, auth: str | None = None) -> dict[str, str]:
        """Return the headers that authorize a call to the app; `auth` takes the place of the app's own."""
        template = self.api.auth if auth is None else auth
        filled = {name: addresses.fill(text, values) for name, text in self.api.headers.items()}
        if template:
            scheme, _, credential = addresses.fill(template, values).partition(" ")
            if scheme == "Basic":
                credential = base64.b64encode(credential.encode()).decode("ascii")
            filled["Authorization"] = f"{scheme} {credential}".strip()
        return filled


def departed(key: str) -> App:
    """Return a stand-in for an app that has left the catalog: it has a name to be shown by, and nothing else."""
    name = key.replace("-", " ").title()
    return App(key=key, name=name, category="", website="", api=Api(base_url=""))

"""What can differ between one provider's OAuth 2 and another's, as data (RFC 6749 and its kin are the defaults)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

NOTHING: Mapping[str, str] = MappingProxyType({})


def nothing() -> Mapping[str, str]:
    """Return the empty mapping that fields default to."""
    return NOTHING


class ClientAuth(StrEnum):
    """How a client proves itself at the token address (RFC 6749, section 2.3)."""

    POST = "post"
    BASIC = "basic"
    NONE = "none"


class Body(StrEnum):
    """How parameters travel in the body of a call; `none` sends no body."""

    FORM = "form"
    JSON = "json"
    NONE = "none"


class ExpiresAs(StrEnum):
    """How a token answer says when the access token ends."""

    SECONDS = "seconds"
    STRING = "string"  # seconds again, but in quotation marks
    UNIX = "unix"
    UNIX_MS = "unix_ms"
    DATETIME = "datetime"  # RFC 3339
    ABSENT = "absent"


class ScopeAs(StrEnum):
    """How a token answer reports the scopes granted; `none` means not at all: what was asked is taken as granted."""

    TEXT = "text"
    LIST = "list"
    NONE = "none"


class Source(StrEnum):
    """Where the identity of the connected account is read."""

    API = "api"
    ID_TOKEN = "id_token"  # noqa: S105 - the name of a place, no secret
    TOKEN_RESPONSE = "token_response"  # noqa: S105


class RevokeStyle(StrEnum):
    """The shapes of a revocation call; see `Revoke` for what each of them sets."""

    RFC7009 = "rfc7009"
    DELETE_PATH = "delete_path"
    BASIC_JSON = "basic_json"
    BEARER = "bearer"


class RevokeAuth(StrEnum):
    """What a revocation call proves itself with: the client, as at the token address or not, or the token itself."""

    CLIENT = "client"
    BASIC = "basic"
    POST = "post"
    BEARER = "bearer"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A place in an answer, and the value that it has when all went well."""

    path: str
    equals: str | int | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """A value that is kept with the connection and may stand in its addresses as `{name}`.

    `path` is a query parameter of the callback, or a dotted path in an answer. The value must match `pattern` whole.
    Where it is missing: `default` if there is one, a failed connection if `required`, else nothing is kept.
    `same_as` names a field that it must equal.
    """

    path: str
    name: str
    pattern: str
    default: str = ""
    required: bool = False
    same_as: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAnswer:
    """Where things are in a token answer: dotted paths, and how an error shows when the status says 200."""

    format: Body = Body.JSON  # form: an answer of application/x-www-form-urlencoded (JSON is taken too)
    access_token: str = "access_token"  # noqa: S105
    refresh_token: str = "refresh_token"  # noqa: S105
    id_token: str = "id_token"  # noqa: S105
    expires: str = "expires_in"
    expires_as: ExpiresAs = ExpiresAs.SECONDS
    refresh_expires: str = ""  # where the rest of the grant's life stands, in seconds
    error: str = "error"
    ok: Condition | None = None
    grant_ended: tuple[str, ...] = ("invalid_grant",)  # the error codes that mean: ask the person again


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """How granted scopes are reported and spelt."""

    path: str = "scope"
    scope_as: ScopeAs = ScopeAs.TEXT
    separator: str = " "
    prefix: str = ""  # the provider leaves this off the scopes it reports
    aliases: Mapping[str, str] = field(default_factory=nothing)  # as reported → as asked
    implies: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    unreported: tuple[str, ...] = ()  # granted in silence

    def read(self, value: object, *, asked: Iterable[str]) -> frozenset[str]:
        """Return what a token answer's value grants, spelt as it was asked; with nothing reported, what was asked."""
        wanted = frozenset(asked)
        if self.scope_as is ScopeAs.NONE or value is None:
            return wanted
        if isinstance(value, str):
            named = value.replace(self.separator, " ").split()
        else:
            named = [str(item) for item in value] if isinstance(value, list | tuple) else []
        granted = frozenset(self._spelt(scope, wanted) for scope in named)
        return granted | (wanted & (self.covered(granted) | frozenset(self.unreported)))

    def covered(self, scopes: Iterable[str]) -> frozenset[str]:
        """Return the scopes together with all that they include."""
        found: set[str] = set()
        todo = list(scopes)
        while todo:
            scope = todo.pop()
            if scope not in found:
                found.add(scope)
                todo.extend(self.implies.get(scope, ()))
        return frozenset(found)

    def _spelt(self, scope: str, asked: frozenset[str]) -> str:
        known = self.aliases.get(scope, scope)
        if known in asked or not self.prefix:
            return known
        other = known.removeprefix(self.prefix) if known.startswith(self.prefix) else self.prefix + known
        return other if other in asked else known


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A second call that trades the fresh token for a long-lived one; values may hold `{access_token}`, `{client_id}`, `{client_secret}`."""

    url: str
    method: str = "GET"
    params: Mapping[str, str] = field(default_factory=nothing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke:
    """How a grant is given back.

    `style` sets what is left out: rfc7009 → POST, a form, authenticated as the client is; delete_path → DELETE with
    `{token}` in the address and no body; basic_json → JSON body under Basic; bearer → POST under the token, no body.
    `token` says which token is given; `token_param` its name in the body.
    """

    url: str
    style: RevokeStyle = RevokeStyle.RFC7009
    method: str = "POST"
    auth: RevokeAuth = RevokeAuth.CLIENT
    body: Body = Body.FORM
    token: str = "refresh_token"  # noqa: S105 - which of the two; the other stands in where it is missing
    token_param: str = "token"  # noqa: S105
    params: Mapping[str, str] = field(default_factory=nothing)
    headers: Mapping[str, str] = field(
        default_factory=nothing
    )  # in place of `auth`; values as in `Exchange`, and {token}
    ok: Condition | None = None
    breaks_siblings: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose account it is. The paths of `id` together are the stable id; of `label` the first that is there is shown.

    For `api`: a call of `method` to `url` with the app's own authorization (or `auth`; an empty one sends none), its
    `headers`, and `params` as a form or `graphql` as the query of a JSON body. Address, headers and params may hold
    credentials (`{access_token}`, `{client_id}`, `{client_secret}`). A path step that is a number picks from a list;
    a path in braces (`{realm_id}`) is a value kept with the connection. Without `id` the call proves only that the
    credential works.
    """

    source: Source = Source.API
    url: str = ""
    method: str = "GET"
    auth: str | None = None
    headers: Mapping[str, str] = field(default_factory=nothing)
    params: Mapping[str, str] = field(default_factory=nothing)
    graphql: str = ""
    ok: Condition | None = None
    id: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    email: str = ""
    keep: tuple[Keep, ...] = ()
    special: str = ""  # a function of `special.IDENTITIES` reads the token answer instead


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2:
    """One provider's authorization-code grant: its addresses and its ways.

    Parameters are named as in RFC 6749 and then renamed by `rename` in every call to authorize, token and refresh
    addresses (`client_id` → `client_key`). Extra parameters may hold `{field}` and, at the token address, `{client_id}`.
    """

    authorize_url: str = ""
    token_url: str = ""
    refresh_url: str = ""
    discovery_url: str = ""
    issuer: str = ""
    jwks_url: str = ""
    id_token_algorithms: tuple[str, ...] = ("RS256",)
    scope_separator: str = " "
    default_scopes: tuple[str, ...] = ()
    client_auth: ClientAuth = ClientAuth.POST
    token_body: Body = Body.FORM
    pkce: bool = True
    nonce: bool = False
    response_mode: str = ""
    iss_required: bool = False
    incremental: bool = False
    rotation: bool = False
    grant_lifetime_days: int | None = None
    unused_lifetime_days: int | None = None
    authorize_params: Mapping[str, str] = field(default_factory=nothing)
    token_params: Mapping[str, str] = field(default_factory=nothing)
    refresh_params: Mapping[str, str] = field(default_factory=nothing)
    rename: Mapping[str, str] = field(default_factory=nothing)
    callback_code: str = "code"
    callback_keep: tuple[Keep, ...] = ()
    response_keep: tuple[Keep, ...] = ()
    callback_check: str = ""  # a function of `special.CALLBACK_CHECKS`
    token: TokenAnswer = TokenAnswer()
    reported: Reported = Reported()
    identity: Identity = Identity()
    exchange: Exchange | None = None
    revoke: Revoke | None = None
    instructions: str = ""
    register_url: str = ""  # where a client is registered with the provider
    steps: tuple[str, ...] = ()  # and how

    def asked(self, scopes: Iterable[str]) -> tuple[str, ...]:
        """Return what the authorize address carries: the default scopes and then these, each once."""
        return tuple(dict.fromkeys((*self.default_scopes, *scopes)))

    def scope_text(self, scopes: Iterable[str]) -> str:
        """Join scopes as this provider wants them."""
        return self.scope_separator.join(scopes)

"""Finding out whose account was connected: its issuer and stable id, and what to call it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from app import egress
from app.catalog import addresses, protocol, special
from app.catalog.protocol import Source
from app.catalog.schema import App
from app.egress import EgressError, Response
from app.errors import Refused
from app.oauth import id_tokens, paths
from app.oauth.client import ClientCredentials, ways_of
from app.oauth.endpoints import Endpoints, origin
from app.oauth.faults import Fault, OAuthError, note_answer, of_egress, of_status, wait
from app.oauth.token import Token
from app.vault import Masked

LONGEST_LABEL = 200
LONGEST_ID = 255
VERIFIED = ("email_verified", "verified_email", "verified")  # beside the address
_TOO_OFTEN = re.compile(r"rate[ _-]?limit|too[ _-]many|too[ _-]often|throttl|quota|slow[ _-]?down", re.IGNORECASE)
_DEAD = re.compile(
    r"(invalid|expired|revoked|bad)[ _-]?(access[ _-]?|bearer[ _-]?|oauth[ _-]?)?(token|auth|credential)"
    r"|token[ _-](has |is |was |been )*(invalid|incorrect|expired|revoked)"
    r"|not[ _-]?auth(ed\b|enticated)|unauthenticated|authentication[ _-](error|failed|required)|account[ _-]inactive",
    re.IGNORECASE,
)
_PASSING = re.compile(r"internal|fatal|tempora|unavailable|time[ds]?[ _-]?out|maintenance|try again", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """An account at a provider; issuer and id together never change and belong to nobody else."""

    issuer: str
    id: str
    label: str
    email: str = ""
    kept: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class IdentityError(OAuthError):
    """The account could not be told: code credential if the token does not work, mismatch if the answer is not for us."""


def identify(
    app: App,
    endpoints: Endpoints,
    token: Token,
    *,
    nonce: str | None,
    fields: Mapping[str, str],
    client: ClientCredentials,
    at: datetime,
) -> Identity:
    """Say whose token this is, by its id_token, a call to the app, or the token answer; raises IdentityError.

    `fields` are those typed; what the token kept is added to them.
    """
    values = {**fields, **token.kept}
    try:
        document = _document(app, endpoints, token, nonce=nonce, values=values, client=client, at=at)
        if ways_of(app).identity.source is Source.ID_TOKEN:
            issuer = str(document["iss"])
        else:
            issuer = endpoints.issuer or origin(app.expand(endpoints.token, values))
        return _read(ways_of(app).identity, issuer, document, values)
    except Refused:
        raise IdentityError(Fault.MISCONFIGURED) from None
    except EgressError as error:
        raise IdentityError(of_egress(error)) from None
    except OAuthError as error:
        raise IdentityError(error.code, retry_after=error.retry_after) from None


def _read(way: protocol.Identity, issuer: str, document: Any, values: Mapping[str, str]) -> Identity:
    """Find the account in the answer. Several ids are joined so that no two accounts can read the same."""
    kept = paths.keep(way.keep, lambda path: paths.pick(document, path), values)
    if way.special:
        stable, label = special.IDENTITIES[way.special](document)
        return _identity(issuer, stable, label, "", kept)
    known = {**values, **kept}
    parts = [_part(document, path, known) for path in way.id]
    stable = parts[0] if len(parts) == 1 else ":".join(quote(part, safe="") for part in parts if all(parts))
    label = next((found for path in way.label if (found := _part(document, path, known))), "")
    return _identity(issuer, stable, label, _address(document, way.email, known), kept)


def _address(document: Any, path: str, values: Mapping[str, str]) -> str:
    """Whose account it is, by e-mail; none where the provider says that the address is not proven (OpenID Connect Core 5.1)."""
    place = path.rpartition(".")[0]
    said = (paths.pick(document, f"{place}.{name}".lstrip(".")) for name in VERIFIED)
    return "" if any(str(each).lower() == "false" for each in said) else _part(document, path, values)


def _identity(issuer: str, stable: str, label: str, email: str, kept: Mapping[str, str]) -> Identity:
    if not stable or len(stable) > LONGEST_ID or not stable.isprintable():
        raise IdentityError(Fault.GARBAGE)
    return Identity(issuer=issuer, id=stable, label=_shown(label) or stable, email=_shown(email), kept=kept)


def _document(
    app: App,
    endpoints: Endpoints,
    token: Token,
    *,
    nonce: str | None,
    values: Mapping[str, str],
    client: ClientCredentials,
    at: datetime,
) -> Any:
    ways = ways_of(app)
    if ways.identity.source is Source.TOKEN_RESPONSE:
        return token.answer
    if ways.identity.source is Source.API:
        hide = (token.access_token, client.client_secret)
        return call(app, ways.identity, endpoints.userinfo, {**values, **_credentials(token, client)}, at=at, hide=hide)
    if token.id_token is None:
        raise IdentityError(Fault.GARBAGE)
    return id_tokens.verify(
        token.id_token,
        endpoints,
        client_id=client.client_id,
        nonce=nonce,
        algorithms=ways.id_token_algorithms,
        at=at,
    )


def call(
    app: App,
    way: protocol.Identity,
    template: str,
    values: Mapping[str, str],
    *,
    at: datetime,
    hide: tuple[Masked | None, ...],
    auth: str | None = None,
) -> Any:
    """Ask an app who it is that calls, under the credential in `values`; raises Refused, EgressError or IdentityError."""
    headers = app.headers(values, auth=way.auth if way.auth is not None else auth)
    headers |= {name: addresses.fill(text, values) for name, text in way.headers.items()}
    params = {name: addresses.fill(text, values) for name, text in way.params.items()}
    sent: dict[str, Any] = {"params" if way.method == "GET" else "data": params} if params else {}
    if way.graphql:
        sent = {"json": {"query": way.graphql}}
    answer = egress.current().request(way.method, app.expand(template, values), headers=headers, **sent)
    document = answer.json() if answer.ok else None
    if isinstance(document, dict | list) and paths.holds(way.ok, document) and not _has_errors(way, document):
        return document
    note_answer(
        "oauth.identity_refused",
        app.key,
        answer.body[:1024].decode("utf-8", "replace"),
        hide=hide,
        status=answer.status,
    )
    raise IdentityError(_fault(answer, document), retry_after=wait(answer.headers.get("Retry-After"), at))


def _has_errors(way: protocol.Identity, document: Any) -> bool:
    """GraphQL says 200 and then lists what went wrong (GraphQL over HTTP 6.4)."""
    return bool(way.graphql and paths.pick(document, "errors"))


def _fault(answer: Response, document: object) -> Fault:
    """Say why nobody was named. Only 401, or a word that the token is no good, is about the token for sure (RFC 6750 3.1)."""
    if answer.status == 401:
        return Fault.CREDENTIAL
    if answer.status == 403 or isinstance(document, dict | list):
        said = f"{answer.headers.get('WWW-Authenticate', '')} {answer.body[:4096].decode('utf-8', 'replace')}"
        if "Retry-After" in answer.headers or _TOO_OFTEN.search(said):
            return Fault.LIMITED
        if _DEAD.search(said) or (isinstance(document, dict) and document.get("active") is False):  # RFC 7662 2.2
            return Fault.CREDENTIAL
        return Fault.UNAVAILABLE if _PASSING.search(said) else Fault.REFUSED
    return Fault.ERROR if answer.status in {400, 404, 405, 410, 422} else of_status(answer.status)


def _credentials(token: Token, client: ClientCredentials) -> dict[str, str]:
    return {
        "access_token": token.access_token.reveal(),
        "token": token.access_token.reveal(),
        "refresh_token": token.refresh_token.reveal() if token.refresh_token else "",
        "client_id": client.client_id,
        "client_secret": client.secret,
    }


def _part(document: Any, path: str, values: Mapping[str, str]) -> str:
    """Follow a path in the answer, or take a kept value (`{realm_id}`)."""
    named = addresses.placeholders(path)
    return values.get(named[0], "") if named else paths.text(paths.pick(document, path)).strip()


def _shown(text: str) -> str:
    """Make what an account calls itself fit to show: one line, no control or format characters, 200 at most."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())[:LONGEST_LABEL]
    normal = unicodedata.normalize("NFC", text)
    kept = "".join(" " if character.isspace() else character for character in normal if _is_shown(character))
    return " ".join(kept.split())[:LONGEST_LABEL]


def _is_shown(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn"}

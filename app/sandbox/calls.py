"""Reading what a client sent, as strictly as the strictest provider would; what deviates is refused with the reason."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Any
from urllib.parse import parse_qsl, unquote, unquote_plus

from flask import request

from app.catalog.addresses import placeholders
from app.catalog.protocol import Body, ClientAuth, OAuth2
from app.catalog.schema import App
from app.sandbox.clients import Client, client
from app.sandbox.grants import Refusal

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Caller:
    """Values that a call proved to know, by the names that they have in templates."""

    known: dict[str, str] = field(default_factory=dict, repr=False)

    def take(self, template: str, text: str | None, where: str) -> None:
        """Read the values out of `text`, which must be `template` filled; what is known already must be the same."""
        found = captured(template, text or "")
        if found is None:
            raise Refusal("invalid_request", f"{where} is not “{template}”.")
        for name, value in found.items():
            if not compare_digest(self.known.setdefault(name, value).encode(), value.encode()):
                raise Refusal("invalid_request", f"{name} in {where} is not the one known.")


def captured(template: str, text: str) -> dict[str, str] | None:
    """Return the values that fill a template so that it becomes `text`; None if none do."""
    seen: set[str] = set()
    pattern = ""
    for place, part in enumerate(re.split(r"\{([^{}]*)\}", template)):  # literal text and names in turn
        if place % 2 == 0:
            pattern += re.escape(part)
        else:
            pattern += f"(?P={part})" if part in seen else f"(?P<{part}>.*?)"
            seen.add(part)
    match = re.fullmatch(pattern, text, re.DOTALL)
    return match.groupdict() if match else None


def in_address(template: str) -> dict[str, str]:
    """Return what travels in the present request's address: the values of the template's places, in their order.

    What the template has in its query must have come along.
    """
    path, _, fixed = template.partition("?")
    names = tuple(dict.fromkeys(placeholders(path)))
    raw = str(request.environ.get("REQUEST_URI") or request.environ.get("RAW_URI") or request.path)
    segments = raw.partition("?")[0].split("/")[3:]
    if len(segments) < len(names):
        raise Refusal("invalid_request", "The address is not whole.", status=404)
    caller = Caller(dict(zip(names, map(unquote, segments), strict=False)))
    check_params(dict(parse_qsl(fixed, keep_blank_values=True)), request.args, caller)
    return caller.known


def query() -> dict[str, str]:
    """Return the parameters of the present request's query."""
    return distinct(list(request.args.items(multi=True)))


def distinct(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Return parameters by name; one that comes twice is refused (RFC 6749 3.1)."""
    params = dict(pairs)
    if len(params) != len(pairs):
        raise Refusal("invalid_request", "A parameter comes twice.")
    return params


def body_of(body: Body) -> dict[str, str]:
    """Return the parameters of the present request's body, which must be written as the app wants it."""
    wanted = {Body.FORM: FORM, Body.JSON: JSON}.get(body)
    if wanted is None:
        if request.get_data():
            raise Refusal("invalid_request", "No body is expected here.")
        return {}
    if request.mimetype != wanted:
        raise Refusal("invalid_request", f"The body must be {wanted}.")
    return _json_members() if body is Body.JSON else distinct(list(request.form.items(multi=True)))


def _json_members() -> dict[str, str]:
    members = json_body()
    if not all(isinstance(value, str) for value in members.values()):
        raise Refusal("invalid_request", "The members of the body must be text.")
    return members


def json_body() -> dict[str, Any]:
    """Return the object in the present request's body."""
    try:
        members = json.loads(request.get_data())
    except ValueError:
        members = None
    if not isinstance(members, dict):
        raise Refusal("invalid_request", "The body must be a JSON object.")
    return members


def ours(ways: OAuth2, params: Mapping[str, str]) -> dict[str, str]:
    """Call parameters what RFC 6749 calls them."""
    theirs = {theirs: ours for ours, theirs in ways.rename.items()}
    misnamed = sorted(params.keys() & (ways.rename.keys() - theirs.keys()))
    if misnamed:
        raise Refusal("invalid_request", f"{misnamed[0]} is called {ways.rename[misnamed[0]]} here.")
    return {theirs.get(name, name): value for name, value in params.items()}


def in_our_terms(ways: OAuth2, templates: Mapping[str, str]) -> dict[str, str]:
    """Return templates of parameters by the names of RFC 6749."""
    theirs = {theirs: ours for ours, theirs in ways.rename.items()}
    return {theirs.get(name, name): template for name, template in templates.items()}


def basic_pair(*, encoded: bool) -> tuple[str, str]:
    """Return the pair of a Basic header; `encoded` as RFC 6749 2.3.1 wants it, form-encoded inside."""
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    try:
        pair = base64.b64decode(credential, validate=True).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, ValueError):
        pair = ""
    name, colon, secret = pair.partition(":")
    if not colon:
        raise Refusal("invalid_client", "A Basic header is missing.", status=401)
    return (unquote_plus(name), unquote_plus(secret)) if encoded else (name, secret)


def check_params(expected: Mapping[str, str], params: Mapping[str, str], caller: Caller) -> None:
    """Refuse a call that lacks one of the app's extra parameters."""
    for name, template in expected.items():
        caller.take(template, params.get(name), f"The parameter {name}")


def authenticated(app: App, ways: OAuth2, params: Mapping[str, str], how: ClientAuth | None = None) -> Client:
    """Return the client that proved itself in the way that the app wants; raises Refusal("invalid_client")."""
    way = how or ways.client_auth
    if way is ClientAuth.BASIC:
        if "client_secret" in params:
            raise Refusal("invalid_client", "The secret belongs in the header.", status=401)
        client_id, secret = basic_pair(encoded=True)
    else:
        if "Authorization" in request.headers:
            raise Refusal("invalid_client", "The client is not to use a header.", status=401)
        client_id, secret = params.get("client_id", ""), params.get("client_secret", "")
    known = client(app, client_id)
    expected = "" if way is ClientAuth.NONE or known is None else known.secret
    if known is None or not compare_digest(secret.encode(), expected.encode()):
        raise Refusal("invalid_client", "The client id or its secret is wrong.", status=401)
    return known


def check_authorization(app: App, auth: str | None, caller: Caller) -> None:
    """Read the values in the Authorization header, whose template is `auth` or else the app's own; an empty one wants none."""
    template = app.api.auth if auth is None else auth
    if template.startswith("Basic "):
        caller.take(template.removeprefix("Basic "), ":".join(basic_pair(encoded=False)), "The Authorization header")
    elif template:
        check_headers({"Authorization": template}, caller)


def check_headers(templates: Mapping[str, str], caller: Caller) -> None:
    """Read the values in headers."""
    for name, template in templates.items():
        caller.take(template, request.headers.get(name), f"The header {name}")

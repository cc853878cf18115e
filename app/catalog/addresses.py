"""Addresses with places to fill: what a person or a provider gives can never move a call to another host."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote, urlsplit

from app.errors import Refused
from app.i18n import _

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
HOST = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
LOOPBACK_NAME = "localhost"
_FORBIDDEN = re.compile(r"[^\x21-\x7e]|[\\\"<>^`{|}]")
_AUTHORITY = re.compile(r"([a-z]+://)([^/?#]*)(.*)", re.DOTALL)
_LONGEST = 2048
_PLACE = r"\{[^{}]*\}"
_HELD = re.compile(rf"({_PLACE}|[A-Za-z0-9.-]*{_PLACE}((\.[A-Za-z0-9-]+){{2,}}|\.localhost))(:[0-9]+)?")


def placeholders(template: str) -> tuple[str, ...]:
    """Return the names that a template wants, in order, repeats included."""
    return tuple(PLACEHOLDER.findall(template))


def leading(template: str) -> str:
    """Return the name that a template begins with (it stands for scheme and host), or an empty text."""
    found = PLACEHOLDER.match(template)
    return found[1] if found else ""


def in_host(template: str) -> frozenset[str]:
    """Return the names that stand in a template's host."""
    found = _AUTHORITY.fullmatch(template)
    return frozenset(placeholders(found[2])) if found else frozenset()


def whole_host(template: str) -> str:
    """Return the name that is all of a template's host, or an empty text."""
    found = _AUTHORITY.fullmatch(template)
    place = PLACEHOLDER.match(found[2]) if found else None
    return place[1] if found and place and found[2][place.end() : place.end() + 1] in {"", ":"} else ""


def holds_its_places(template: str) -> bool:
    """Whether values can only do what they are for: be all of the host, or what stands before its fixed domain."""
    if leading(template):
        return PLACEHOLDER.sub("", template, count=1)[:1] in {"", "/", "?"}
    found = _AUTHORITY.fullmatch(template)
    return found is None or not placeholders(found[2]) or _HELD.fullmatch(found[2]) is not None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by name or by number."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == LOOPBACK_NAME or host.endswith(f".{LOOPBACK_NAME}")


def fault(address: str, *, loopback_http: bool = False) -> str:
    """Return why a filled address can't be called, or an empty text: https only, a plain host, nobody's name in it."""
    if len(address) > _LONGEST or _FORBIDDEN.search(address):
        return "has a character that addresses can't hold, or is too long"
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return "is not an address"
    host = parts.hostname or ""
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback_http and is_loopback(host)):
        return "must begin with https://"
    if "@" in parts.netloc or not (HOST.fullmatch(host) or (loopback_http and is_loopback(host))):
        return "needs a plain host name"
    return "has no such port" if port == 0 else ""


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put values into a header or a parameter as they are; a control character is refused."""

    def value(found: re.Match[str]) -> str:
        text = values.get(found[1], "")
        if any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
            raise Refused(_("A value can't hold line breaks or control characters."), field=found[1])
        return text

    return PLACEHOLDER.sub(value, template)


def expand(template: str, values: Mapping[str, str], *, loopback_http: bool = False) -> str:
    """Put values into an address: names in the host, percent-encoded in path and query, and check what came out.

    A value at the very beginning stands for scheme and host (`https://eu.example`) and must be just that.
    """
    if "{" not in template and _can_be_called(template, loopback_http=loopback_http):
        return template
    start = leading(template)
    if start:
        origin, rest = _origin(start, values.get(start, ""), loopback_http=loopback_http), template[len(start) + 2 :]
        if rest[:1] not in {"", "/", "?"}:
            raise Refused(_("This address can't be used."), field=start)
    else:
        found = _AUTHORITY.fullmatch(template)
        if found is None:
            raise Refused(_("This address can't be used."))
        origin, rest = found[1] + PLACEHOLDER.sub(lambda place: _host(place[1], values), found[2]), found[3]
    address = origin + PLACEHOLDER.sub(lambda place: _encoded(place[1], values), rest)
    if fault(address, loopback_http=loopback_http):
        raise Refused(_("This address can't be used."))
    return address


@lru_cache(1024)
def _can_be_called(address: str, *, loopback_http: bool) -> bool:
    """Whether an address without places is fine; the same ones come again and again."""
    return _AUTHORITY.fullmatch(address) is not None and not fault(address, loopback_http=loopback_http)


def _origin(name: str, value: str, *, loopback_http: bool) -> str:
    origin = value.removesuffix("/")
    parts = urlsplit(origin) if not fault(origin, loopback_http=loopback_http) else None
    if parts is None or parts.path or parts.query or parts.fragment or "?" in origin or "#" in origin:
        raise Refused(_("This is not the address of a server."), field=name)
    return origin


def _host(name: str, values: Mapping[str, str]) -> str:
    value = values.get(name, "")
    if not HOST.fullmatch(value):
        raise Refused(_("Only letters, digits and hyphens can stand here."), field=name)
    return value


def _encoded(name: str, values: Mapping[str, str]) -> str:
    value = values.get(name, "")
    if value in {".", ".."}:
        raise Refused(_("This can't be part of an address."), field=name)
    return quote(value, safe="")

"""Which addresses a server may be sent to: globally reachable unicast, by the IANA special-purpose registries (RFC 6890)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpx2

from app.egress.errors import EgressRefused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_SPECIAL_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_UNICAST_V6 = IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "3fff::/20",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = 0x5EFE  # RFC 5214 6.1: an IPv4 address in the last 32 bits of any prefix
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def parse(text: str) -> Address:
    """Read an address as the resolver writes it; IPv4-mapped IPv6 is the IPv4 address it stands for (RFC 4291 2.5.5.2)."""
    try:
        address = ip_address(text)
    except ValueError:
        raise EgressRefused("address") from None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise EgressRefused("address")
        return address.ipv4_mapped or address
    return address


def is_public(address: Address) -> bool:
    """Whether an address is a globally reachable unicast one, whatever it is wrapped in."""
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _SPECIAL_V4)
    if address in _NAT64:  # RFC 6052: what a resolver on an IPv6-only network makes of an IPv4 host
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    if (int(address) >> 32) & 0xFCFFFFFF == _ISATAP:
        return False
    return address.is_global and address in _UNICAST_V6 and not any(address in network for network in _SPECIAL_V6)


def checked(addresses: Iterable[str], allow: tuple[Network, ...], *, plain: bool) -> list[Address]:
    """Return the addresses of one name; one bad address condemns the name, plain http needs all of them in `allow`."""
    found = [parse(text) for text in addresses]
    for address in found:
        if any(address in network for network in allow):
            continue
        if plain or not is_public(address):
            raise EgressRefused("scheme" if plain and is_public(address) else "address")
    return found


def check_url(url: httpx2.URL) -> None:
    """Refuse an address that is not plainly scheme, host, port and path, before anything is resolved."""
    if url.scheme not in {"https", "http"}:
        raise EgressRefused("scheme")
    if url.userinfo:
        raise EgressRefused("userinfo")
    if url.port is not None and not _usual_port(url.port, url.scheme):
        raise EgressRefused("port")
    _check_host(url.raw_host.decode("ascii"))


def _usual_port(port: int, scheme: str) -> bool:
    """System ports (RFC 6335) belong to other protocols, which a crafted exchange could speak to."""
    return 1024 <= port <= 65535 or port == (443 if scheme == "https" else 80)


def _check_host(host: str) -> None:
    if ":" in host:  # an IPv6 literal: brackets are gone already
        parse(host)
        return
    if not _NAME.fullmatch(host):
        raise EgressRefused("host")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        # WHATWG URL 3.5: a host that ends in a number is an address; only dotted decimals are one to everybody.
        try:
            IPv4Address(host)
        except ValueError:
            raise EgressRefused("host") from None

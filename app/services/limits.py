"""How often a visitor may try: counted in the database, so that all processes share the count."""

import hashlib
import re
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address

from app.errors import RateLimited
from app.extensions import db
from app.i18n import _
from app.services import counters

IPV6_SITE = 64  # bits: what one household or server holds
NOWHERE = "unknown"
WITH_PORT = re.compile(r"(\d+\.\d+\.\d+\.\d+):\d+|\[([^\]]+)\](?::\d+)?")  # as some proxies forward an address


def visitor() -> str:
    """The network address that this request comes from: IPv4 however it is written, IPv6 by its /64, all else one."""
    address = _parsed(str(db.session().info.get("address") or ""))
    if address is None:
        return NOWHERE
    if isinstance(address, IPv4Address):
        return str(address)
    return f"{int(address) >> (128 - IPV6_SITE):x}/{IPV6_SITE}"


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """The address in a text; behind a socket for both families (RFC 4291, section 2.5.5.2) an IPv4 one is IPv4 again."""
    forwarded = WITH_PORT.fullmatch(text)
    try:
        address = ip_address((forwarded[1] or forwarded[2]) if forwarded else text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def digest(text: str) -> str:
    """A name for a counter that does not show what it counts."""
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def spend(key: str, *, at: datetime, window: timedelta, limit: int) -> None:
    """Count one try under the key; raises RateLimited once the window at hand has had `limit` of them."""
    if not counters.hit(key, at=at, window=window, limit=limit):
        raise _too_many(counters.seconds_left(at=at, window=window))


def spend_lately(key: str, *, at: datetime, window: timedelta, limit: int) -> None:
    """The same for the time up to now, so that no edge of a window lets twice as many through."""
    if not counters.hit_lately(key, at=at, window=window, limit=limit):
        raise _too_many(counters.seconds_to_wait(key, at=at, window=window, limit=limit))


def _too_many(retry_after: int) -> RateLimited:
    return RateLimited(_("Too many tries. Wait a little, then try again."), retry_after=retry_after)

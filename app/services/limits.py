"""How often a visitor may try: counted in the database, so that all processes share the count."""

import hashlib
from datetime import datetime, timedelta
from ipaddress import ip_address

from app.errors import RateLimited
from app.extensions import db
from app.i18n import _
from app.services import counters

IPV6_SITE = 64  # bits: what one household or server holds


def visitor() -> str:
    """The network address that this request comes from; IPv6 by its /64."""
    text = db.session().info.get("address") or "unknown"
    try:
        address = ip_address(text)
    except ValueError:
        return str(text)[:64]
    if address.version == 4:
        return str(address)
    return f"{int(address) >> (128 - IPV6_SITE):x}/{IPV6_SITE}"


def digest(text: str) -> str:
    """A name for a counter that does not show what it counts."""
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def spend(key: str, *, at: datetime, window: timedelta, limit: int) -> None:
    """Count one try under the key; raises RateLimited once the window at hand has had `limit` of them."""
    if not counters.hit(key, at=at, window=window, limit=limit):
        raise RateLimited(
            _("Too many tries. Wait a little, then try again."),
            retry_after=counters.seconds_left(at=at, window=window),
        )

"""How an agency looks and signs: name, logo, accent, sender, support address, time zone."""

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import available_timezones

from sqlalchemy import select
from sqlalchemy.orm import undefer

from app import clock
from app.database import lock, transaction
from app.errors import NotFound, Refused
from app.extensions import db
from app.i18n import _
from app.models import Agency, Staff
from app.services import addresses, audit, colours, logos, senders
from app.services.colours import Palette


@dataclass(frozen=True)
class Look:
    """A branding that may not be saved: what an agency has, with what was typed since. `draft` is a logo that is not, a PNG."""

    name: str
    sender_name: str
    sender_address: str
    support_email: str
    accent: str
    timezone: str
    saved_logo_url: str | None = None
    draft: bytes | None = None
    remove_logo: bool = False

    @property
    def logo_url(self) -> str | None:
        """Where the logo is that saving would leave; one that is not saved yet is in the address itself."""
        if self.draft:
            return f"data:image/png;base64,{self.picture}"
        return None if self.remove_logo else self.saved_logo_url

    @property
    def picture(self) -> str:
        """The logo that is not saved yet, in Base64; empty if there is none."""
        return base64.b64encode(self.draft).decode("ascii") if self.draft else ""


def look_of(agency: Agency) -> Look:
    """How the agency looks as it is saved."""
    return Look(
        agency.name,
        agency.sender_name,
        agency.sender_address or "",
        agency.support_email,
        agency.accent,
        agency.timezone,
        saved_logo_url=logo_url(agency),
    )


def palette(agency: Agency) -> Palette:
    """The agency's accent in both themes."""
    return colours.palette(agency.accent)


def sheet(accent: str) -> str:
    """The stylesheet that an agency's pages load after the theme: its accent and nothing else."""
    used = colours.palette(accent)
    return (
        ".gh-branded, .gh-brand-scope { "
        f"--gh-accent: light-dark({used.light}, {used.dark}); "
        f"--gh-on-accent: light-dark({used.on_light}, {used.on_dark}); }}\n"
    )


@lru_cache(maxsize=512)
def sheet_name(accent: str) -> str:
    """What names a sheet: the accent, and a hash of the sheet, so that it can be made from its name and kept for ever."""
    return accent.removeprefix("#") + hashlib.sha256(sheet(accent).encode()).hexdigest()[:10]


def sheet_of(name: str) -> str:
    """The sheet of that name; NotFound for one that we would not have named."""
    if not re.fullmatch(r"[0-9a-f]{16}", name) or sheet_name(f"#{name[:6]}") != name:
        raise NotFound
    return sheet(f"#{name[:6]}")


def sheet_url(look: Agency | Look) -> str:
    """Where the sheet of a look is, on this installation."""
    return f"/brand/{sheet_name(look.accent)}.css"


def logo_url(agency: Agency) -> str | None:
    """Where the agency's logo is, on this installation; None if it has none."""
    return f"/brand/{agency.logo_digest}.png" if agency.logo_digest else None


def logo_of(digest: str) -> bytes:
    """The logo of that digest; NotFound. A logo is public, whoever's it is."""
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise NotFound
    found = db.session.scalar(select(Agency).where(Agency.logo_digest == digest).options(undefer(Agency.logo)).limit(1))
    if found is None or found.logo is None:
        raise NotFound
    return found.logo


def time_zones() -> list[str]:
    """The zones that an agency can choose."""
    places = {
        zone for zone in available_timezones() if "/" in zone and not zone.startswith(("Etc/", "posix/", "right/"))
    }
    return ["UTC", *sorted(places)]


def save(
    agency: Agency,
    *,
    name: str,
    sender_name: str,
    support_email: str,
    sender_address: str = "",
    accent: str,
    timezone: str,
    logo: bytes | None = None,
    remove_logo: bool = False,
    hands_over: bool | None = None,
    by: Staff,
) -> None:
    """Change what is given; Refused for what can't be accepted, each with its field. `logo` is the uploaded file."""
    at = clock.now()
    values: dict[str, object] = {
        "name": addresses.clean_name(name),
        "sender_name": addresses.clean_name(sender_name, field="sender_name"),
        "support_email": addresses.normalise(support_email, field="support_email"),
        "sender_address": senders.checked(sender_address, agency=agency),
        "accent": colours.parse(accent),
        "timezone": time_zone(timezone),
        "hands_over": agency.hands_over if hands_over is None else hands_over,
    }
    if logo is not None:
        drawn = logos.redraw(logo)
        values |= {"logo": drawn.png, "logo_digest": drawn.digest}
    elif remove_logo:
        values |= {"logo": None, "logo_digest": None}
    with transaction():
        lock(agency)
        changed = [key for key, value in values.items() if key != "logo" and getattr(agency, key) != value]
        if not changed:
            return
        for key, value in values.items():
            setattr(agency, key, value)
        audit.record("branding.changed", agency, by=by, at=at, changed=changed)


def time_zone(text: str) -> str:
    """One of the zones that can be chosen; Refused."""
    if text not in time_zones():
        raise Refused(_("Choose a time zone from the list."), field="timezone")
    return text

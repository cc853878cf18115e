"""How branded pages look: what the templates need to know of an agency."""

from dataclasses import dataclass

from app.models import Agency
from app.services import branding


@dataclass(frozen=True)
class Brand:
    """Name, colours, logo and the address for questions."""

    name: str
    sheet_url: str
    logo_url: str | None
    support_email: str


def brand_of(agency: Agency) -> Brand:
    """The agency's look."""
    return Brand(agency.name, branding.sheet_url(agency), branding.logo_url(agency), agency.support_email)

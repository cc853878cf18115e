"""Whose address an agency's mails may come from: agencies that share a server must not pass for one another."""

from sqlalchemy import or_, select

from app import runtime
from app.errors import Refused
from app.extensions import db
from app.i18n import _
from app.models import Agency, Staff
from app.services import addresses
from app.tenancy import across_tenants

FIELD = "sender_address"


def checked(text: str, *, agency: Agency | None = None) -> str | None:
    """The address typed for an agency, or for one yet to be made; None, the server's own, if empty. Refused.

    An only agency may write from any address. Several must keep to the domain that the server sends from, and to
    addresses that no other of them uses. An address that was taken stays good.
    """
    if not text.strip():
        return None
    address = addresses.normalise(text, field=FIELD)
    keeps = agency is not None and address == agency.sender_address
    if not keeps and _has_neighbours(agency):
        _refuse_foreign(address, agency)
    return address


def _has_neighbours(agency: Agency | None) -> bool:
    others = select(Agency.id).where(Agency.id != agency.id) if agency else select(Agency.id)
    return db.session.scalar(others.limit(1)) is not None


def _refuse_foreign(address: str, agency: Agency | None) -> None:
    own = (runtime.current().config.mail_from or "").lower()
    if not own:
        raise Refused(_("Several agencies share this server, which sends no mail yet. Leave this empty."), field=FIELD)
    if address == own:
        return
    domain = addresses.domain(own)
    if addresses.domain(address) != domain:
        message = _("Several agencies share this server, so this has to be an address at %(domain)s.", domain=domain)
        raise Refused(message, field=FIELD)
    if _is_anothers(address, agency):
        raise Refused(_("Another agency on this server uses this address."), field=FIELD)


def _is_anothers(address: str, agency: Agency | None) -> bool:
    own = agency.id if agency else None
    writes = select(Agency.id).where(or_(Agency.sender_address == address, Agency.support_email == address))
    reads = select(Staff.agency_id).where(Staff.email == address)
    with across_tenants("an address may be any agency's"):
        return bool({*db.session.scalars(writes), *db.session.scalars(reads)} - {own})

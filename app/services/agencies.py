"""Agencies: the tenants, each with its first owner."""

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app import clock
from app.database import transaction
from app.errors import Conflict, Refused
from app.extensions import db
from app.i18n import _
from app.models import Agency, Role, Staff
from app.services import addresses, audit, passwords, senders
from app.services.audit import SYSTEM, Actor
from app.services.staff import ADDRESS_TAKEN
from app.tenancy import across_tenants

SLUG_LENGTH = 50


def exist() -> bool:
    """Whether this installation has been set up."""
    return db.session.scalar(select(Agency.id).limit(1)) is not None


def by_slug(slug: str) -> Agency | None:
    """The agency whose addresses carry this slug."""
    return db.session.scalar(select(Agency).where(Agency.slug == slug))


def of_id(agency_id: int | None) -> Agency | None:
    """The agency of that id; none for none."""
    return db.session.get(Agency, agency_id) if agency_id is not None else None


def only_one() -> Agency | None:
    """The agency of an installation that has just one."""
    found = db.session.scalars(select(Agency).limit(2)).all()
    return found[0] if len(found) == 1 else None


@dataclass(frozen=True)
class NewAgency:
    """What somebody typed to have an agency and its owner made; what may be left out may be empty."""

    name: str
    owner_name: str
    owner_email: str
    password: str = field(repr=False)
    support_email: str = ""
    sender_address: str = ""

    def checked(self) -> "NewAgency":
        """The same fit to be stored, with the owner's address for support if need be; Refused, each with its field."""
        email = addresses.normalise(self.owner_email, field="owner_email")
        checked = NewAgency(
            name=addresses.clean_name(self.name),
            owner_name=addresses.clean_name(self.owner_name, field="owner_name"),
            owner_email=email,
            password=self.password,
            support_email=addresses.normalise(self.support_email.strip() or email, field="support_email"),
            sender_address=senders.checked(self.sender_address) or "",
        )
        passwords.check(self.password)
        return checked


def create(typed: NewAgency, *, by: Actor = SYSTEM) -> Staff:
    """Make an agency and its owner, who is returned. Refused, Conflict."""
    at, given = clock.now(), typed.checked()
    stored = passwords.hashed(given.password)
    try:
        with across_tenants("a new agency is nobody's yet"), transaction() as session:
            if session.scalar(select(Staff.id).where(Staff.email == given.owner_email)):
                raise Refused(str(ADDRESS_TAKEN), field="owner_email")
            agency = _stored(session, given, at)
            owner = Staff(
                agency_id=agency.id,
                email=given.owner_email,
                name=given.owner_name,
                role=Role.OWNER,
                password_hash=stored,
                created_at=at,
            )
            session.add(owner)
            session.flush()
            audit.record("agency.created", agency, by=by, at=at, name=agency.name)
            audit.record("staff.added", owner, by=by, at=at, email=owner.email, role=Role.OWNER.value)
            session.flush()  # here, where the guard lets it
    except IntegrityError:
        raise Conflict(_("Somebody did the same at this very moment. Look at what is there, then try again.")) from None
    return owner


def _stored(session: Session, given: NewAgency, at: datetime) -> Agency:
    agency = Agency(
        name=given.name,
        slug=_free_slug(session, given.name),
        created_at=at,
        sender_name=given.name,
        sender_address=given.sender_address or None,
        support_email=given.support_email,
    )
    session.add(agency)
    session.flush()
    return agency


def _free_slug(session: Session, name: str) -> str:
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    wanted = re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")[:SLUG_LENGTH].strip("-") or "agency"
    taken = set(session.scalars(select(Agency.slug).where(Agency.slug.startswith(wanted, autoescape=True))))
    number = 1
    slug = wanted
    while slug in taken:
        number += 1
        slug = f"{wanted}-{number}"
    return slug

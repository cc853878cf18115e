"""Agencies: the tenants, each with its first owner."""

import re
import unicodedata

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app import clock
from app.database import across_tenants, transaction
from app.errors import Conflict, Refused
from app.extensions import db
from app.i18n import _
from app.models import Agency, Role, Staff
from app.services import addresses, audit, passwords
from app.services.audit import SYSTEM, Actor
from app.services.staff import ADDRESS_TAKEN

SLUG_LENGTH = 50


def exist() -> bool:
    """Whether this installation has been set up."""
    return db.session.scalar(select(Agency.id).limit(1)) is not None


def by_slug(slug: str) -> Agency | None:
    """The agency whose addresses carry this slug."""
    return db.session.scalar(select(Agency).where(Agency.slug == slug))


def only_one() -> Agency | None:
    """The agency of an installation that has just one."""
    found = db.session.scalars(select(Agency).limit(2)).all()
    return found[0] if len(found) == 1 else None


def create(
    *,
    name: str,
    owner_name: str,
    owner_email: str,
    password: str,
    support_email: str | None = None,
    sender_address: str | None = None,
    by: Actor = SYSTEM,
) -> Staff:
    """Make an agency and its owner, who is returned; Refused for what can't be accepted, each with its field."""
    at = clock.now()
    name = addresses.clean_name(name)
    owner_name = addresses.clean_name(owner_name, field="owner_name")
    email = addresses.normalise(owner_email, field="owner_email")
    support = addresses.normalise(support_email, field="support_email") if support_email else email
    sender = addresses.normalise(sender_address, field="sender_address") if sender_address else None
    passwords.check(password)
    stored = passwords.hashed(password)
    try:
        with across_tenants("a new agency is nobody's yet"), transaction() as session:
            if session.scalar(select(Staff.id).where(Staff.email == email)):
                raise Refused(str(ADDRESS_TAKEN), field="owner_email")
            agency = Agency(
                name=name,
                slug=_free_slug(session, name),
                created_at=at,
                sender_name=name,
                sender_address=sender,
                support_email=support,
            )
            session.add(agency)
            session.flush()
            owner = Staff(
                agency_id=agency.id,
                email=email,
                name=owner_name,
                role=Role.OWNER,
                password_hash=stored,
                created_at=at,
            )
            session.add(owner)
            session.flush()
            audit.record("agency.created", agency, by=by, at=at, name=name)
            audit.record("staff.added", owner, by=by, at=at, email=email, role=Role.OWNER.value)
            session.flush()  # here, where the guard lets it
    except IntegrityError:
        raise Conflict(_("Somebody did the same at this very moment. Look at what is there, then try again.")) from None
    return owner


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

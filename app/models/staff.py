from datetime import datetime
from enum import StrEnum

from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.schema import ForeignKey

from app.database import Model, enum_column, new_public_id
from app.models.agency import Agency
from app.tenancy import StaffOfAgency


class Role(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"


class Staff(StaffOfAgency, Model):
    """A person of the agency, who uses the panel. The e-mail address is theirs alone over the whole installation."""

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(20), unique=True, default=new_public_id)
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(String(80))
    role: Mapped[Role] = mapped_column(enum_column(Role))
    password_hash: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]

    agency: Mapped[Agency] = relationship()

    @property
    def manages(self) -> bool:
        """Whether they may change the agency itself: its people, apps and branding."""
        return self.role in (Role.OWNER, Role.ADMIN)


class StaffSession(StaffOfAgency, Model):
    """A signed-in browser of a member of staff, known by the SHA-256 of its cookie."""

    id: Mapped[int] = mapped_column(primary_key=True)
    id_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"), index=True)
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    address: Mapped[str | None] = mapped_column(String(64))
    user_agent: Mapped[str | None] = mapped_column(String(255))

    staff: Mapped[Staff] = relationship()

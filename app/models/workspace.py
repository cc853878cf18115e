from datetime import datetime

from sqlalchemy import Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, validates

from app.database import Model, new_public_id
from app.tenancy import ClientOfAgency, InWorkspace


class Workspace(ClientOfAgency, Model):
    """One client of the agency, with its workflows, connections and members."""

    __table_args__ = (
        UniqueConstraint("agency_id", "name_key"),
        Index("ix_workspace_active", "agency_id", "active_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(20), unique=True, default=new_public_id)
    name: Mapped[str] = mapped_column(String(80))
    name_key: Mapped[str] = mapped_column(String(240))  # casefold() may treble a letter
    created_at: Mapped[datetime]
    active_at: Mapped[datetime]
    archived_at: Mapped[datetime | None]

    @validates("name")
    def _name_changed(self, _attribute: str, name: str) -> str:
        self.name_key = name.strip().casefold()
        return name


class Member(InWorkspace, Model):
    """A person of the client with a portal login for that workspace."""

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(20), unique=True, default=new_public_id)
    email: Mapped[str] = mapped_column(index=True)
    name: Mapped[str] = mapped_column(String(80))
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]


Index(
    "uq_member_current",
    Member.workspace_id,
    Member.email,
    unique=True,
    sqlite_where=Member.removed_at.is_(None),
    postgresql_where=Member.removed_at.is_(None),
)

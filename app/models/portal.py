from datetime import datetime

from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.schema import ForeignKey

from app.database import Model, new_public_id


class PortalCode(Model):
    """A sign-in to the portal in the making. Code and button are made anew from `nonce`, and stored nowhere.

    `browser_hash` is the SHA-256 of the session that asked: nobody else can use either, and it has one at a time. It is
    written for unknown addresses just as for known ones.
    """

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(20), unique=True, default=new_public_id)
    agency_id: Mapped[int | None] = mapped_column(ForeignKey("agency.id"))
    email: Mapped[str]
    nonce: Mapped[bytes] = mapped_column(LargeBinary(16))
    browser_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    button_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    tries: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]


class PortalSession(Model):
    """A browser signed in to the portal as an address; what it may see is asked anew each time.

    `agency_id` confines it to the agency whose portal it signed in at; `workspace_id` is the one that was picked.
    """

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(20), unique=True, default=new_public_id)
    id_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    email: Mapped[str] = mapped_column(index=True)
    agency_id: Mapped[int | None] = mapped_column(ForeignKey("agency.id"))
    workspace_id: Mapped[int | None] = mapped_column(ForeignKey("workspace.id"))
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    address: Mapped[str | None] = mapped_column(String(64))
    user_agent: Mapped[str | None] = mapped_column(String(255))

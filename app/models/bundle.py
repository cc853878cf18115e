from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.schema import ForeignKey

from app.database import Model, enum_column, new_public_id
from app.models.workspace import Workspace
from app.tenancy import InWorkspace


class Channel(StrEnum):
    """How a recipient comes to their apps: a link without login, or the portal."""

    LINK = "link"
    PORTAL = "portal"

    @property
    def lifetime(self) -> timedelta:
        """How long a recipient has from when the mail leaves."""
        return timedelta(days=7) if self is Channel.LINK else timedelta(hours=4)


class Bundle(InWorkspace, Model):
    """All that one recipient is asked for in one workspace, behind one link.

    The link itself is stored nowhere: `nonce` and `epoch` make it anew, and `token_hash` is its SHA-256. A new epoch
    kills the old link. The clock starts when the epoch's mail is handed over; until then `expires_at` is provisional.
    """

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(20), unique=True, default=new_public_id)
    recipient: Mapped[str]
    channel: Mapped[Channel] = mapped_column(enum_column(Channel))
    nonce: Mapped[bytes] = mapped_column(LargeBinary(16))
    epoch: Mapped[int] = mapped_column(default=1)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    sent_by: Mapped[str] = mapped_column(String(80), default="")
    sent_at: Mapped[datetime]
    clock_started_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]
    opened_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]

    workspace: Mapped[Workspace] = relationship()

    def is_expired(self, at: datetime) -> bool:
        """Whether its link has lapsed by the clock."""
        return self.expires_at <= at


Index(
    "uq_bundle_open",
    Bundle.workspace_id,
    Bundle.recipient,
    unique=True,
    sqlite_where=Bundle.closed_at.is_(None),
    postgresql_where=Bundle.closed_at.is_(None),
)
Index(
    "ix_bundle_open",
    Bundle.agency_id,
    Bundle.expires_at,
    sqlite_where=Bundle.closed_at.is_(None),
    postgresql_where=Bundle.closed_at.is_(None),
)


class IntakeSession(InWorkspace, Model):
    """What a browser may reach after opening a link: one bundle, at the epoch of that link."""

    __table_args__ = (Index("uq_intake_session_browser", "id_hash", "bundle_id", unique=True),)

    id: Mapped[int] = mapped_column(primary_key=True)
    id_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    bundle_id: Mapped[int] = mapped_column(ForeignKey("bundle.id"), index=True)
    epoch: Mapped[int]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]

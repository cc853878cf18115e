from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.schema import ForeignKey

from app.database import Model, enum_column, new_public_id
from app.models.bundle import Bundle
from app.models.connection import Connection
from app.models.workflow import Slot, Workflow
from app.tenancy import InWorkspace


class Status(StrEnum):
    """What is stored of a request. Expired is not: a pending request is expired while the clock is past its link's expiry."""

    QUEUED = "queued"
    PENDING = "pending"
    FULFILLED = "fulfilled"
    DECLINED = "declined"
    REVOKED = "revoked"
    CANCELLED = "cancelled"

    @property
    def live(self) -> bool:
        """Whether it still asks for something, so that its slot can hold no other."""
        return self in (Status.QUEUED, Status.PENDING)

    @property
    def settled(self) -> bool:
        """Whether nothing more will come of it."""
        return self in (Status.FULFILLED, Status.REVOKED, Status.CANCELLED)


class Kind(StrEnum):
    """`connect` fills a slot; `reauthorize` mends a connection."""

    CONNECT = "connect"
    REAUTHORIZE = "reauthorize"


class Notice(StrEnum):
    """What the last try at the provider came to, said on the card in our own words."""

    DENIED = "denied"
    PROVIDER = "provider"
    TIMEOUT = "timeout"
    EXPIRED = "expired"
    PARTIAL = "partial"
    UNCONFIGURED = "unconfigured"
    OTHER_ACCOUNT = "other_account"
    THEIRS = "theirs"  # staff signed in with an account that a client gave


class ConnectionRequest(InWorkspace, Model):
    """An agency's request that a client connect one account.

    `generation` changes when what a running authorization would fulfil is no longer asked of the same person;
    `transition` counts the status changes, so that each writes its side effects once.
    """

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(20), unique=True, default=new_public_id)
    workflow_id: Mapped[int] = mapped_column(ForeignKey("workflow.id"))
    slot_id: Mapped[int | None] = mapped_column(ForeignKey("slot.id", ondelete="SET NULL"))
    bundle_id: Mapped[int | None] = mapped_column(ForeignKey("bundle.id"), index=True)
    connection_id: Mapped[int | None] = mapped_column(ForeignKey("connection.id"))
    app_key: Mapped[str] = mapped_column(String(60))
    kind: Mapped[Kind] = mapped_column(enum_column(Kind), default=Kind.CONNECT)
    status: Mapped[Status] = mapped_column(enum_column(Status), default=Status.QUEUED)
    transition: Mapped[int] = mapped_column(default=0)
    generation: Mapped[int] = mapped_column(default=0)

    recipient: Mapped[str]
    note: Mapped[str] = mapped_column(String(256), default="")
    expected_account: Mapped[str] = mapped_column(default="")
    sent_scopes: Mapped[list[str] | None]
    resends: Mapped[int] = mapped_column(default=0)
    handed_over_from: Mapped[str | None]
    handed_over_at: Mapped[datetime | None]
    hand_over_to: Mapped[str | None]  # whom the recipient named, while staff have not agreed
    hand_over_asked_at: Mapped[datetime | None]  # when they last named somebody
    hand_over_refused: Mapped[str | None]  # whom staff did not want asked, until somebody else is named

    notice: Mapped[Notice | None] = mapped_column(enum_column(Notice))
    granted_scopes: Mapped[list[str] | None]
    extra_scopes: Mapped[list[str] | None]
    typed_fields: Mapped[dict[str, str]] = mapped_column(default=dict)
    declined_reason: Mapped[str] = mapped_column(String(256), default="")
    other_account: Mapped[bool] = mapped_column(default=False)

    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("staff.id"))
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]
    declined_at: Mapped[datetime | None]

    workflow: Mapped[Workflow] = relationship()
    slot: Mapped[Slot | None] = relationship()
    bundle: Mapped[Bundle | None] = relationship()
    connection: Mapped[Connection | None] = relationship()

    def is_expired(self, at: datetime) -> bool:
        """Whether its link lapsed before the client connected."""
        return self.status is Status.PENDING and self.bundle is not None and self.bundle.is_expired(at)


_LIVE = ConnectionRequest.status.in_([Status.QUEUED, Status.PENDING])
_FILLS = _LIVE & ConnectionRequest.slot_id.is_not(None) & (ConnectionRequest.kind == Kind.CONNECT)
_MENDS = _LIVE & (ConnectionRequest.kind == Kind.REAUTHORIZE)
Index(
    "uq_connection_request_slot", ConnectionRequest.slot_id, unique=True, sqlite_where=_FILLS, postgresql_where=_FILLS
)
Index(
    "uq_connection_request_mends",
    ConnectionRequest.connection_id,
    unique=True,
    sqlite_where=_MENDS,
    postgresql_where=_MENDS,
)
_NOTED = ConnectionRequest.notice.is_not(None)
Index(
    "ix_connection_request_notice",
    ConnectionRequest.agency_id,
    ConnectionRequest.notice,
    sqlite_where=_NOTED,
    postgresql_where=_NOTED,
)
# Pages cost what they show, however long the history is: by workflow and slot the latest first, by agency what is open.
Index("ix_connection_request_workflow", ConnectionRequest.workflow_id, ConnectionRequest.id)
Index(
    "ix_connection_request_recipient",
    ConnectionRequest.workflow_id,
    ConnectionRequest.recipient,
    ConnectionRequest.id,
)
Index("ix_connection_request_standing", ConnectionRequest.workflow_id, ConnectionRequest.status)
Index("ix_connection_request_connection", ConnectionRequest.connection_id, ConnectionRequest.kind)
Index("ix_connection_request_slot", ConnectionRequest.slot_id, ConnectionRequest.id)
Index(
    "ix_connection_request_status",
    ConnectionRequest.agency_id,
    ConnectionRequest.status,
    ConnectionRequest.workspace_id,
    ConnectionRequest.workflow_id,
    ConnectionRequest.recipient,
)
_HANDED_OVER, _ASKS = ConnectionRequest.handed_over_from.is_not(None), ConnectionRequest.hand_over_to.is_not(None)
Index(
    "ix_connection_request_handed_over",
    ConnectionRequest.workspace_id,
    ConnectionRequest.handed_over_from,
    sqlite_where=_HANDED_OVER,
    postgresql_where=_HANDED_OVER,
)
Index("ix_connection_request_hand_over", ConnectionRequest.agency_id, sqlite_where=_ASKS, postgresql_where=_ASKS)

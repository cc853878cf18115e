from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.schema import ForeignKey

from app.database import Model, enum_column, new_public_id
from app.models.bundle import Bundle
from app.models.connection import Connection
from app.models.connection_request import ConnectionRequest
from app.tenancy import InWorkspace


class FlowSurface(StrEnum):
    """Where somebody started an authorization, and so which of their sessions it is bound to."""

    INTAKE = "intake"
    PORTAL = "portal"


class FlowStatus(StrEnum):
    """Where an authorization stands. A claimed flow has had its one callback."""

    STARTED = "started"
    CLAIMED = "claimed"
    HELD = "held"
    DONE = "done"
    FAILED = "failed"


class Flow(InWorkspace, Model):
    """One authorization at a provider, bound to the browser that started it; lives 15 minutes.

    It is for a request, or renews the connection of `recipient` alone.
    State and the cookie's secret are stored as SHA-256; endpoints and scopes are frozen at the start; verifier and a
    grant that waits for the client's decision are sealed.
    """

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(20), unique=True, default=new_public_id)
    surface: Mapped[FlowSurface] = mapped_column(
        enum_column(FlowSurface), default=FlowSurface.INTAKE, server_default="intake"
    )
    request_id: Mapped[int | None] = mapped_column(ForeignKey("connection_request.id"), index=True)
    bundle_id: Mapped[int | None] = mapped_column(ForeignKey("bundle.id"), index=True)
    connection_id: Mapped[int | None] = mapped_column(ForeignKey("connection.id"), index=True)
    recipient: Mapped[str] = mapped_column(server_default="")
    generation: Mapped[int]
    app_key: Mapped[str] = mapped_column(String(60))
    oauth_client: Mapped[str] = mapped_column(String(80))
    client_id: Mapped[str | None] = mapped_column(String(400))
    state_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    browser_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    session_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    endpoints: Mapped[dict[str, Any]]
    redirect_uri: Mapped[str] = mapped_column(String(400))
    fields: Mapped[dict[str, str]] = mapped_column(default=dict)
    scopes: Mapped[list[str]] = mapped_column(default=list)
    nonce: Mapped[str | None] = mapped_column(String(64))
    verifier: Mapped[bytes | None] = mapped_column(LargeBinary)
    grant: Mapped[bytes | None] = mapped_column(LargeBinary)
    account: Mapped[str | None] = mapped_column(String(320))
    missing: Mapped[list[str] | None]  # scopes for whose want a renewal came to nothing
    status: Mapped[FlowStatus] = mapped_column(enum_column(FlowStatus), default=FlowStatus.STARTED)
    outcome: Mapped[str | None] = mapped_column(String(40))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    finished_at: Mapped[datetime | None]

    asked: Mapped[ConnectionRequest | None] = relationship()
    bundle: Mapped[Bundle | None] = relationship()
    connection: Mapped[Connection | None] = relationship()

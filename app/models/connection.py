from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates
from sqlalchemy.schema import ForeignKey

from app.database import Model, enum_column, new_public_id
from app.tenancy import MaybeInWorkspace


class Health(StrEnum):
    """Whether a connection works, as far as is known."""

    PENDING = "pending"
    ACTIVE = "active"
    ERROR = "error"
    REVOKED = "revoked"

    @property
    def works(self) -> bool:
        """Whether a workflow can count on it."""
        return self in (Health.PENDING, Health.ACTIVE)


class Revocation(StrEnum):
    """What became of giving a revoked connection's access back to its provider."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    UNSUPPORTED = "unsupported"
    KEPT_FOR_SIBLING = "kept_for_sibling"
    UNCONFIRMED = "unconfirmed"


class Secret(MaybeInWorkspace, Model):
    """A sealed credential; only the vault opens it, at the place that it was sealed for."""

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(20), unique=True, default=new_public_id)
    purpose: Mapped[str] = mapped_column(String(40))
    owner: Mapped[str] = mapped_column(String(60))
    version: Mapped[int] = mapped_column(default=1)
    blob: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_at: Mapped[datetime]


class Connection(MaybeInWorkspace, Model):
    """A stored credential of one app: the agency's when `owner_email` is none, else that client's. Holds the id of its secret only.

    Once its owner was removed (`owner_left_at`) the workspace's members have it. One process at a time refreshes it: the one
    whose lease stands in `refresh_lease`, taken at `refresh_called_at`, right before the provider is asked. `oauth_client` is the key
    of the client that got the grant, and `client_id` its id at the provider: another may have the key by now. None if not known.
    """

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(20), unique=True, default=new_public_id)
    app_key: Mapped[str] = mapped_column(String(60))
    name: Mapped[str] = mapped_column(String(330))
    name_key: Mapped[str] = mapped_column(String(1000))  # casefold() may treble a letter
    health: Mapped[Health] = mapped_column(enum_column(Health), default=Health.PENDING)
    health_reason: Mapped[str | None] = mapped_column(String(40))
    broken_at: Mapped[datetime | None]
    owner_email: Mapped[str | None] = mapped_column(index=True)
    owner_left_at: Mapped[datetime | None]

    issuer: Mapped[str] = mapped_column(String(255))
    external_id: Mapped[str | None] = mapped_column(String(255))
    account: Mapped[str | None] = mapped_column(String(320))

    oauth_client: Mapped[str | None] = mapped_column(String(80))
    client_id: Mapped[str | None] = mapped_column(String(400))
    endpoints: Mapped[dict[str, str] | None]
    fields: Mapped[dict[str, str]] = mapped_column(default=dict)
    kept: Mapped[dict[str, str]] = mapped_column(default=dict)
    scopes: Mapped[list[str]] = mapped_column(default=list)
    secret_id: Mapped[int | None] = mapped_column(ForeignKey("secret.id"), unique=True)
    refreshable: Mapped[bool] = mapped_column(default=False)
    granted_at: Mapped[datetime | None]
    token_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    grant_ends_at: Mapped[datetime | None]
    refresh_lease: Mapped[str | None] = mapped_column(String(20))
    refresh_called_at: Mapped[datetime | None]
    refresh_failures: Mapped[int] = mapped_column(default=0, server_default="0")
    refresh_failed_at: Mapped[datetime | None]
    refresh_after: Mapped[datetime | None]

    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    revocation: Mapped[Revocation | None] = mapped_column(enum_column(Revocation))
    deleted_at: Mapped[datetime | None]

    secret: Mapped[Secret | None] = relationship()

    @validates("name")
    def _name_changed(self, _attribute: str, name: str) -> str:
        self.name_key = name.strip().casefold()
        return name

    @property
    def works(self) -> bool:
        """Whether a workflow can count on it."""
        return self.health.works

    @property
    def is_clients(self) -> bool:
        """Whether a client owns it, who alone can approve it anew."""
        return self.owner_email is not None and self.workspace_id is not None


def _partial(name: str, *columns: object, where: object) -> None:
    Index(name, *columns, unique=True, sqlite_where=where, postgresql_where=where)  # type: ignore[arg-type]


_IN_WORKSPACE, _ACCOUNT_WIDE = Connection.workspace_id.is_not(None), Connection.workspace_id.is_(None)
_KNOWN = Connection.external_id.is_not(None)
_IDENTITY = (Connection.app_key, Connection.issuer, Connection.external_id)
Index("ix_connection_account", Connection.issuer, Connection.external_id)
Index("ix_connection_health", Connection.agency_id, Connection.health, Connection.updated_at)
Index("ix_connection_app", Connection.workspace_id, Connection.app_key, Connection.health)
_ENDS, _LEASED = Connection.grant_ends_at.is_not(None), Connection.refresh_lease.is_not(None)
Index("ix_connection_ends", Connection.agency_id, Connection.grant_ends_at, sqlite_where=_ENDS, postgresql_where=_ENDS)
Index("ix_connection_leased", Connection.refresh_lease, sqlite_where=_LEASED, postgresql_where=_LEASED)
_partial("uq_connection_name", Connection.workspace_id, Connection.app_key, Connection.name_key, where=_IN_WORKSPACE)
_partial(
    "uq_connection_account_name", Connection.agency_id, Connection.app_key, Connection.name_key, where=_ACCOUNT_WIDE
)
_partial("uq_connection_identity", Connection.workspace_id, *_IDENTITY, where=_IN_WORKSPACE & _KNOWN)
_partial("uq_connection_account_identity", Connection.agency_id, *_IDENTITY, where=_ACCOUNT_WIDE & _KNOWN)

from datetime import datetime

from sqlalchemy import LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Model, new_public_id
from app.tenancy import OwnedByAgency


class OAuthClient(OwnedByAgency, Model):
    """The agency's own client of an app, known to the provider by `client_id`; a draft, for its redirect address, until then."""

    __tablename__ = "oauth_client"
    __table_args__ = (UniqueConstraint("agency_id", "app_key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(20), unique=True, default=new_public_id)
    app_key: Mapped[str] = mapped_column(String(60))
    client_id: Mapped[str | None] = mapped_column(String(400))
    client_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]
    configured_at: Mapped[datetime | None]

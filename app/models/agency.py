from datetime import datetime

from sqlalchemy import LargeBinary, String, true
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Model, new_public_id


class Agency(Model):
    """The tenant: whoever asks clients for access, with its branding and its settings."""

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(20), unique=True, default=new_public_id)
    name: Mapped[str] = mapped_column(String(80))
    slug: Mapped[str] = mapped_column(String(60), unique=True)
    created_at: Mapped[datetime]
    timezone: Mapped[str] = mapped_column(String(64), default="UTC")
    locale: Mapped[str] = mapped_column(String(16), default="en")

    sender_name: Mapped[str] = mapped_column(String(80))
    sender_address: Mapped[str | None]
    support_email: Mapped[str]
    accent: Mapped[str] = mapped_column(String(7), default="#0e5a6e")
    logo: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    logo_digest: Mapped[str | None] = mapped_column(String(64))

    hands_over: Mapped[bool] = mapped_column(default=True, server_default=true())
    mails_per_hour: Mapped[int] = mapped_column(default=1000)
    mails_per_recipient_day: Mapped[int] = mapped_column(default=20)

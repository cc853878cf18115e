from datetime import datetime

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Model
from app.tenancy import InWorkspace


class Recipient(InWorkspace, Model):
    """When the last mail to an address was caused, for the wait between resends."""

    __table_args__ = (UniqueConstraint("workspace_id", "email"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    mailed_at: Mapped[datetime]

from datetime import datetime
from enum import StrEnum

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Model, enum_column


class Purpose(StrEnum):
    """What a key is for: sealing what is stored, or signing links and sessions."""

    VAULT = "vault"
    SIGNING = "signing"


class VaultKey(Model):
    """That data was sealed or signed with a key, known by its digest: so that it is missed when it is not there.

    A key is written down here before anything is sealed with it; of each purpose the highest number is in use.
    """

    purpose: Mapped[Purpose] = mapped_column(enum_column(Purpose), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    key_id: Mapped[str] = mapped_column(String(8))
    active_from: Mapped[datetime]
    retired_at: Mapped[datetime | None]

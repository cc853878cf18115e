from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Model


class Counter(Model):
    """How often something happened in one window of time; `key` says what, `window` when it ends, in minutes since 1970."""

    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    window: Mapped[int] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(default=0)

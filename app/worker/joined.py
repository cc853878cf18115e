"""Fresh links for those whom a request came to within five minutes of their last mail."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from app.models import OutboxState
from app.services import joining
from app.services.claims import Claimed
from app.worker.owed import Owed


def is_ready() -> bool:
    """It takes nothing but the database: the mail that comes of it is work of another kind."""
    return True


@contextmanager
def opened(_owed: Owed) -> Iterator[Callable[[Claimed], None]]:
    """A run of them, each on its own."""
    yield lambda item: joining.renew(item.payload)


def settled(_item: Claimed, _state: OutboxState, /, *, at: datetime) -> None:
    """Nothing more is to be said: its mail speaks for itself."""

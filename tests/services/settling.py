"""What has become of a request or of another row since, as tests of views want it."""

from typing import Any

from app import clock
from app.database import transaction
from app.models import Connection, ConnectionRequest
from app.services import bundles, fulfilment
from app.services.audit import SYSTEM


def settle(asked: ConnectionRequest, connection: Connection) -> None:
    """Have a request be fulfilled with a connection."""
    at = clock.now()
    with transaction():
        bundles.touch(asked.workspace_id, at=at)
        assert fulfilment.fulfil(asked, connection, generation=asked.generation, at=at, by=SYSTEM)


def change(row: Any, **values: Any) -> None:
    """Store other values in a row."""
    with transaction():
        for name, value in values.items():
            setattr(row, name, value)

"""What permissions are asked for, and whether a connection has them."""

from collections.abc import Iterable
from dataclasses import dataclass

from app import runtime
from app.catalog.schema import App, departed
from app.models import Connection, ConnectionRequest, Flow, Node, Slot
from app.oauth import scopes as protocol


@dataclass(frozen=True)
class Permission:
    """One scope and what it means in plain language."""

    scope: str
    label: str
    is_new: bool = False
    is_missing: bool = False


def of_slot(slot: Slot) -> tuple[str, ...]:
    """What the slot's nodes need together, in the catalog's order."""
    return app_of(slot).scopes_for(node.action_key for node in slot.nodes)


def app_of(row: Slot | Node | ConnectionRequest | Connection | Flow) -> App:
    """The catalog's app of a row, or a stand-in when it has left the catalog since."""
    return runtime.current().catalog.find(row.app_key) or departed(row.app_key)


def missing(app: App, needed: Iterable[str], connection: Connection) -> tuple[str, ...]:
    """What a connection lacks of these; an API key lacks nothing that we could know of."""
    if app.oauth2 is None or connection.oauth_client is None:
        return ()
    return protocol.missing(needed, connection.scopes, app)


def required(asked: ConnectionRequest) -> tuple[str, ...]:
    """What an authorization for this request must bring: what its slot needs now, and what its connection holds already."""
    app = app_of(asked)
    held = asked.slot.connection if asked.slot and asked.slot.connection else asked.connection
    kept = held.scopes if held and held.oauth_client else ()
    needed = of_slot(asked.slot) if asked.slot else tuple(asked.sent_scopes or ())
    return app.ordered((*needed, *kept, *(asked.extra_scopes or ())))


def permissions(asked: ConnectionRequest) -> list[Permission]:
    """The request's permissions for a person: which are new to an account already connected, which were not granted."""
    app = app_of(asked)
    held = asked.slot.connection if asked.slot and asked.slot.connection else None
    lacking = protocol.missing(required(asked), asked.granted_scopes, app) if app.oauth2 else ()
    new = missing(app, required(asked), held) if held else ()
    return [Permission(s, app.scope_label(s), s in new, s in lacking) for s in required(asked)]


def changed_since_sent(asked: ConnectionRequest) -> bool:
    """Whether the nodes now need something that the mail did not name."""
    return asked.sent_scopes is not None and not set(required(asked)) <= set(asked.sent_scopes)

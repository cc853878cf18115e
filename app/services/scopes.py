"""What permissions are asked for, and whether a connection has them."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sqlalchemy import select
from sqlalchemy.orm import selectinload

from app import runtime
from app.catalog.schema import App, departed
from app.extensions import db
from app.models import Connection, ConnectionRequest, Flow, Kind, Node, Slot
from app.oauth import scopes as protocol
from app.prepared import Row


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


def app_of(row: Slot | Node | ConnectionRequest | Connection | Flow | Row) -> App:
    """The catalog's app of a row, or a stand-in when it has left the catalog since."""
    return runtime.current().catalog.find(row.app_key) or departed(row.app_key)


def granted(app: App, scopes: Iterable[str]) -> list[Permission]:
    """What a connection may do, in the catalog's order."""
    return [Permission(scope, app.scope_label(scope)) for scope in app.ordered(scopes)]


def needed_of(connection: Connection) -> tuple[str, ...]:
    """What all slots that use a connection need of it together."""
    return needed_of_all([connection.id]).get(connection.id, ())


def needed_of_all(connection_ids: Collection[int]) -> dict[int, tuple[str, ...]]:
    """The same of several connections, by their ids; the same few statements however many."""
    if not connection_ids:
        return {}
    using = db.session.scalars(
        select(Slot).where(Slot.connection_id.in_(connection_ids)).options(selectinload(Slot.nodes))
    ).all()
    needed: dict[int, dict[str, None]] = defaultdict(dict)
    for slot in using:
        needed[slot.connection_id or 0] |= dict.fromkeys(of_slot(slot))
    return {key: tuple(found) for key, found in needed.items()}


def needed_to_mend(asked: Iterable[ConnectionRequest]) -> dict[int, tuple[str, ...]]:
    """The same of the connections that any of these requests asks to mend."""
    mends = {each.connection_id for each in asked if each.kind is Kind.REAUTHORIZE and each.connection_id}
    return needed_of_all(mends)


def missing(app: App, needed: Iterable[str], connection: Connection | Row) -> tuple[str, ...]:
    """What a connection lacks of these; an API key lacks nothing that we could know of."""
    if app.oauth2 is None or connection.oauth_client is None:
        return ()
    return protocol.missing(needed, connection.scopes, app)


def required(
    asked: ConnectionRequest, to_mend: Mapping[int, tuple[str, ...]] = MappingProxyType({})
) -> tuple[str, ...]:
    """What an authorization for this request must bring: what its slot needs now, and what its connection holds already.

    `to_mend` is what `needed_to_mend` found; without it what is asked to mend a connection is as it was sent.
    """
    held = asked.slot.connection if asked.slot and asked.slot.connection else asked.connection
    mended = to_mend.get(asked.connection_id or 0) if asked.kind is Kind.REAUTHORIZE else None
    needed = mended or (of_slot(asked.slot) if asked.slot else asked.sent_scopes)
    return together(app_of(asked), needed, held.scopes if held and held.oauth_client else (), asked.extra_scopes)


def together(app: App, *parts: Iterable[str] | None) -> tuple[str, ...]:
    """All of these scopes, each once, in the catalog's order."""
    return app.ordered(scope for part in parts if part for scope in part)


def permissions(
    app: App, needed: Iterable[str], *, granted: Iterable[str] | None, new: Iterable[str] = ()
) -> list[Permission]:
    """What is needed, for a person: which of it is new to an account already connected, which was not granted."""
    lacking = protocol.missing(needed, granted, app) if app.oauth2 else ()
    return [Permission(s, app.scope_label(s), s in new, s in lacking) for s in needed]


def changed_since_sent(asked: ConnectionRequest, to_mend: Mapping[int, tuple[str, ...]] = MappingProxyType({})) -> bool:
    """Whether something is required now that the mail did not name; `to_mend` as for `required`."""
    return asked.sent_scopes is not None and not set(required(asked, to_mend)) <= set(asked.sent_scopes)
